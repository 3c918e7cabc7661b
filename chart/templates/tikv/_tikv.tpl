{{/* TiKV's configuration: what the chart's own values say, under what the user says. */}}
{{- define "tidb.tikv.config" -}}
{{- $ours := dict }}
{{- if include "tidb.atLeast" (dict "root" . "version" "8.5.5") }}
{{- $_ := set $ours "server" (dict "graceful-shutdown-timeout" .Values.tikv.gracefulShutdownTimeout) }}
{{- end }}
{{- include "tidb.toml" (dict "map" (mergeOverwrite $ours (deepCopy .Values.tikv.config)) "path" "") | trim }}
{{- end }}
