{{/*
What a Service, a StatefulSet and everyone else selects a component's pods by. Never changes: selectors are immutable.
Takes (dict "root" $ "component" "pd").
*/}}
{{- define "tidb.selector" -}}
app.kubernetes.io/name: tidb
app.kubernetes.io/instance: {{ include "tidb.fullname" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
Labels of an object's own metadata. Takes (dict "root" $ "component" "pd").
*/}}
{{- define "tidb.labels" -}}
{{ include "tidb.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: tidb
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Labels of a pod template: without the chart's version, which would restart the database at every upgrade of the chart.
Takes (dict "root" $ "component" "pd" "extra" .Values.pd.podLabels); extra may be left out.
*/}}
{{- define "tidb.podLabels" -}}
{{ include "tidb.selector" . }}
{{- with mergeOverwrite (dict) .root.Values.commonLabels (.extra | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The annotations key of an object or pod template, or nothing when there are none: commonAnnotations and further maps, the last wins.
Takes (dict "root" $ "extra" (list map map)); extra may be left out.
*/}}
{{- define "tidb.annotations" -}}
{{- $all := deepCopy .root.Values.commonAnnotations }}
{{- range .extra }}
{{- $all = mergeOverwrite $all (. | default dict | deepCopy) }}
{{- end }}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
