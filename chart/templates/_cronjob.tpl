{{/*
The CronJob of a job that works on one release. Takes (dict "root" $ "component" "failover" "values" .Values.failover "args" (list …)).
A pod at a time (Forbid), and a Lease besides: safety lies in what the job checks before each write, not here.
*/}}
{{- define "tidb.cronJobSpec" -}}
{{- $this := dict "root" .root "component" .component }}
schedule: {{ .values.schedule | quote }}
concurrencyPolicy: Forbid
# A run that could not start in time is dropped: the next one sees the same world.
startingDeadlineSeconds: 60
successfulJobsHistoryLimit: 1
failedJobsHistoryLimit: 3
jobTemplate:
  metadata:
    labels:
      {{- include "tidb.podLabels" $this | nindent 6 }}
  spec:
    # The next run is the retry.
    backoffLimit: 0
    activeDeadlineSeconds: 300
    template:
      metadata:
        labels:
          {{- include "tidb.podLabels" $this | nindent 10 }}
        {{- with include "tidb.annotations" (dict "root" .root) }}{{ . | nindent 8 }}{{ end }}
      spec:
        restartPolicy: Never
        serviceAccountName: {{ include "tidb.fullname" .root }}-{{ .component }}
        automountServiceAccountToken: true
        enableServiceLinks: false
        {{- with include "tidb.pullSecrets" .root }}{{ . | nindent 8 }}{{ end }}
        securityContext:
          {{- include "tidb.podSecurity" .root | nindent 10 }}
        {{- with include "tidb.hooksScheduling" .root }}{{ . | nindent 8 }}{{ end }}
        containers:
          - name: {{ .component }}
            image: {{ include "tidb.hooksImage" .root }}
            imagePullPolicy: {{ .root.Values.hooks.image.pullPolicy }}
            args:
              - {{ .component }}
              - --release={{ include "tidb.fullname" .root }}
              - --namespace={{ .root.Release.Namespace }}
              - --domain={{ include "tidb.domain" .root }}
              - --scheduled
              {{- range .args }}
              - {{ . }}
              {{- end }}
            resources:
              {{- include "tidb.resources" .root.Values.hooks.resources | nindent 14 }}
            securityContext:
              {{- include "tidb.containerSecurity" .root | nindent 14 }}
            terminationMessagePolicy: FallbackToLogsOnError
{{- end }}
