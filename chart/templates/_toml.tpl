{{/*
A map as TOML, for the configuration files of PD, TiKV and TiDB. Helm's own toToml is of no use here: numbers of a values file are
floats in Helm, and it writes 3 as 3.0, which no integer of these programs accepts.
Scalars and lists first, then one [table] a map, since everything below a table's head belongs to it.
Takes (dict "map" map "path" ""); keys are sorted, so that the same values give the same bytes.
*/}}
{{- define "tidb.toml" -}}
{{- $path := .path }}
{{- range $key, $value := .map }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "tidb.toml.key" $key }} = {{ include "tidb.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .map }}
{{- if and (kindIs "map" $value) $value }}
{{- $table := ternary (include "tidb.toml.key" $key) (printf "%s.%s" $path (include "tidb.toml.key" $key)) (empty $path) }}
[{{ $table }}]
{{- include "tidb.toml" (dict "map" $value "path" $table) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tidb.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ . | toRawJson }}{{ end }}
{{- end }}

{{- define "tidb.toml.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "tidb.toml.value" $item }}{{ end }}]
{{- else if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ else }} {{ end }}{{ include "tidb.toml.key" $key }} = {{ include "tidb.toml.value" (get $ $key) }}{{ end }} }
{{- else -}}
{{ . | toRawJson }}
{{- end }}
{{- end }}
