{{/* TiDB's configuration: what the chart's own values say, under what the user says. */}}
{{- define "tidb.tidb.config" -}}
{{- $ours := dict
  "graceful-wait-before-shutdown" (include "tidb.seconds" .Values.tidb.gracefulShutdownTimeout | int)
  "log" (dict "slow-query-file" "/var/log/tidb/slow.log") }}
{{- if .Values.tidb.initSql }}{{ $_ := set $ours "initialize-sql-file" "/etc/tidb/init.sql" }}{{ end }}
{{- include "tidb.toml" (dict "map" (mergeOverwrite $ours (deepCopy .Values.tidb.config)) "path" "") | trim }}
{{- end }}
