{{/* PD's configuration: the location labels of this chart, under what the user says. */}}
{{- define "tidb.pd.config" -}}
{{- $labels := list }}
{{- range .Values.locationLabels }}{{ $labels = append $labels .name }}{{ end }}
{{- $ours := dict "replication" (dict "location-labels" $labels) }}
{{- include "tidb.toml" (dict "map" (mergeOverwrite $ours (deepCopy .Values.pd.config)) "path" "") | trim }}
{{- end }}

{{/* Where PD says that it has loaded its regions and may be used; older versions know only whether it runs. */}}
{{- define "tidb.pd.readyPath" -}}
{{- if include "tidb.atLeast" (dict "root" . "version" "8.5.2") }}/pd/api/v2/ready{{ else }}/pd/api/v1/ping{{ end }}
{{- end }}
