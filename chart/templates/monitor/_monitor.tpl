{{/*
Prometheus' configuration. Targets come from the cluster's DNS, so that Prometheus needs no rights and no token: the SRV records of the
peers' Services name every pod, ready or not; a job that runs all the time is in the metrics Service by a port named `metrics`.
*/}}
{{- define "tidb.prometheus.config" -}}
{{- $name := include "tidb.fullname" . -}}
global:
  scrape_interval: {{ .Values.monitor.scrapeInterval }}
  evaluation_interval: {{ .Values.monitor.scrapeInterval }}
  external_labels: {namespace: {{ .Release.Namespace }}, cluster: {{ $name }}}
rule_files: [/etc/prometheus/*.rules.yaml]
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: [localhost:9090]
        labels: {namespace: {{ .Release.Namespace }}, cluster: {{ $name }}, component: prometheus}
{{- $sources := list
  (dict "component" "pd" "record" (printf "_client._tcp.%s-pd-peer" $name))
  (dict "component" "tikv" "record" (printf "_status._tcp.%s-tikv-peer" $name))
  (dict "component" "tidb" "record" (printf "_status._tcp.%s-tidb-peer" $name))
  (dict "component" "jobs" "record" (printf "_metrics._tcp.%s-metrics" $name)) }}
{{- range $sources }}
  - job_name: {{ .component }}
    dns_sd_configs:
      - names: [{{ .record }}{{ include "tidb.domain" $ }}]
        refresh_interval: 15s
    relabel_configs:
      # shop-pd-0.shop-pd-peer.db.svc.cluster.local.:2379: the pod is the first label.
      - {source_labels: [__address__], regex: '([^.]+)\..*', target_label: instance}
      - {target_label: namespace, replacement: {{ $.Release.Namespace }}}
      - {target_label: cluster, replacement: {{ $name }}}
      - {target_label: component, replacement: {{ .component }}}
{{- end }}
{{- end }}

{{- define "tidb.grafana.datasources" -}}
apiVersion: 1
datasources:
  - name: {{ include "tidb.fullname" . }}
    type: prometheus
    access: proxy
    url: http://{{ include "tidb.fullname" . }}-prometheus{{ include "tidb.domain" . }}:{{ .Values.monitor.prometheus.service.port }}
    isDefault: true
{{- end }}
