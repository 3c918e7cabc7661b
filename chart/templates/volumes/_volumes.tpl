{{/*
What the volume controller and the fresh-scan Job may do. Each has an account of its own: hook objects are deleted and made anew
with every event, so nothing that runs all the time can lean on them.
*/}}

{{/* In the whole cluster: volumes and what shows their use. */}}
{{- define "tidb.volumes.clusterRules" -}}
- apiGroups: [""]
  resources: [persistentvolumes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [helm-tidb.io]
  resources: [tidbvolumes]
  verbs: [get, list, watch, create, patch]
- apiGroups: [helm-tidb.io]
  resources: [tidbvolumes/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
# Get: before a disk is cleared, its claim is looked for once more.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch]
# A database job's word about volumes that were its own, in its own namespace.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [tidb-finished-volumes]
  verbs: [get, list, watch]
# Events about cluster-scoped objects live in the namespace default.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* In the release's namespace: what it says to agents and hears of them, its Lease, its last plan. */}}
{{- define "tidb.volumes.rules" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end }}

{{/* Arguments that every way of running it has. Takes $. */}}
{{- define "tidb.volumes.args" -}}
{{- $disks := .Values.disks -}}
- volumes
- --namespace={{ .Release.Namespace }}
- --release={{ include "tidb.fullname" . }}
- --storage-class={{ $disks.storageClassName }}
{{- if $disks.sharing.enabled }}
- --shared-class={{ $disks.sharing.storageClassName }}
{{- end }}
- --wipe-after={{ $disks.wipe.after }}
{{- with $disks.takeOver }}
- --take-over={{ . }}
{{- end }}
- --label=app.kubernetes.io/managed-by=helm-tidb
{{- end }}

{{/* A pod's spec around one container of the hooks image. Takes (dict "root" $ "account" name). */}}
{{- define "tidb.volumes.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with include "tidb.pullSecrets" .root }}{{ . | nindent 0 }}{{ end }}
securityContext:
  {{- include "tidb.podSecurity" .root | nindent 2 }}
{{- with include "tidb.hooksScheduling" .root }}{{ . | nindent 0 }}{{ end }}
{{- end }}
