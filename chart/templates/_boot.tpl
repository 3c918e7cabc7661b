{{/* Small values of the init containers, alike in PD, TiKV and TiDB. */}}

{{- define "tidb.bootImage" -}}
{{- include "tidb.image" (dict "root" . "image" .Values.boot.image "tag" .Chart.Version) }}
{{- end }}

{{/* Who this pod is, for a container that looks itself up. */}}
{{- define "tidb.identityEnv" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end }}

{{/* A token of the pod's own account, for the one container that mounts it: what automounting would give to all. */}}
{{- define "tidb.token" -}}
sources:
  - serviceAccountToken: {path: token, expirationSeconds: 3607}
  - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
  - downwardAPI: {items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]}
{{- end }}
