{{/*
Names. Every object of a release is called <fullname>-<what it is>; fullname is the release's own name, so that
`helm install demo` gives the pods demo-pd-0, demo-tikv-0, demo-tidb-0, as users of PingCAP's chart know them.
guards.yaml keeps fullname to 40 characters and free of dots: the longest name made of it is a Job's pod.
*/}}
{{- define "tidb.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name -}}
{{- end }}

{{/* The name of a cluster-scoped object: two namespaces may each hold a release of one name.
The dot is in neither part, so no two pairs give one name. */}}
{{- define "tidb.clusterwide" -}}
{{- printf "%s.%s" .Release.Namespace (include "tidb.fullname" .) -}}
{{- end }}

{{/* What follows a Service's name in an address inside the cluster: ".<namespace>.svc[.<clusterDomain>]". */}}
{{- define "tidb.domain" -}}
{{- printf ".%s.svc%s" .Release.Namespace (ternary "" (printf ".%s" .Values.clusterDomain) (empty .Values.clusterDomain)) -}}
{{- end }}
