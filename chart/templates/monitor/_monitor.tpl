{{/*
Prometheus' configuration. Targets are the release's own pods: PD's client port, the status ports of TiKV and TiDB, and every port
named `metrics`, which is how a job that runs all the time shows its own.
*/}}
{{- define "tidb.prometheus.config" -}}
global:
  scrape_interval: {{ .Values.monitor.scrapeInterval }}
  evaluation_interval: {{ .Values.monitor.scrapeInterval }}
  external_labels:
    cluster: {{ include "tidb.fullname" . }}
rule_files: [/etc/prometheus/*.rules.yaml]
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: [localhost:9090]
        labels: {namespace: {{ .Release.Namespace }}, cluster: {{ include "tidb.fullname" . }}, component: monitor}
  - job_name: tidb
    kubernetes_sd_configs:
      - role: pod
        namespaces:
          names: [{{ .Release.Namespace }}]
        selectors:
          - role: pod
            label: app.kubernetes.io/name=tidb,app.kubernetes.io/instance={{ include "tidb.fullname" . }}
    relabel_configs:
      - action: drop
        source_labels: [__meta_kubernetes_pod_phase]
        regex: Succeeded|Failed
      - action: keep
        source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component, __meta_kubernetes_pod_container_port_name]
        regex: pd;client|(tikv|tidb);status|.+;metrics
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component], target_label: component}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: instance}
      - {source_labels: [__meta_kubernetes_pod_node_name], target_label: node}
      - {target_label: cluster, replacement: {{ include "tidb.fullname" . }}}
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
