{{/*
Affinity of a component: at most one of its pods a node (or preferably so), and what the user adds.
Takes (dict "root" $ "component" "pd" "values" .Values.pd).
*/}}
{{- define "tidb.affinity" -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "tidb.selector" . | fromYaml)) }}
{{- $apart := dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term) }}
{{- if eq .values.antiAffinity "preferred" }}
{{- $apart = dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term)) }}
{{- end }}
{{- $theirs := deepCopy .values.affinity }}
{{- range $rule, $terms := $theirs.podAntiAffinity | default dict }}
{{- $_ := set $apart $rule (concat (get $apart $rule | default list) $terms) }}
{{- end }}
{{- $_ := set $theirs "podAntiAffinity" $apart }}
{{- toYaml $theirs }}
{{- end }}

{{/*
topologySpreadConstraints, each for the component's own pods unless it says otherwise; nothing when there are none.
Takes (dict "root" $ "component" "pd" "values" .Values.pd).
*/}}
{{- define "tidb.spread" -}}
{{- $ours := dict "labelSelector" (dict "matchLabels" (include "tidb.selector" . | fromYaml)) }}
{{- with .values.topologySpreadConstraints -}}
topologySpreadConstraints:
  {{- range . }}
  - {{ merge (deepCopy .) $ours | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where a job's pods may run: nodeSelector, tolerations, priorityClassName of `hooks`; nothing when none is set. Takes $. */}}
{{- define "tidb.hooksScheduling" -}}
{{- $set := dict }}
{{- range $key := list "nodeSelector" "tolerations" "priorityClassName" }}
{{- with get $.Values.hooks $key }}{{ $_ := set $set $key . }}{{ end }}
{{- end }}
{{- with $set }}{{ toYaml . }}{{ end }}
{{- end }}
