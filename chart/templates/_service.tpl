{{/*
What every client Service has in its spec besides ports and selector, from its values. guards.yaml refuses what a type cannot have.
Takes the service's values.
*/}}
{{- define "tidb.serviceType" -}}
type: {{ .type }}
{{- with .loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- end }}
