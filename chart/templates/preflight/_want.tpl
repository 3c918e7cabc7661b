{{/*
What the new values ask for, as JSON for `hooks preflight`: each component's pods as far as placing them goes. Takes $.
*/}}
{{- define "tidb.preflight.want" -}}
{{- $components := list }}
{{- range $name := list "pd" "tikv" "tidb" }}
{{- $values := get $.Values $name }}
{{- $this := dict "root" $ "component" $name "values" $values }}
{{- $main := dict "name" $name "resources" (include "tidb.resources" $values.resources | fromYaml) }}
{{- $boot := dict "name" "boot" "resources" (include "tidb.resources" $.Values.boot.resources | fromYaml) }}
{{- $more := list }}
{{- range $values.extraContainers }}
{{- $more = append $more (dict "name" .name "resources" (include "tidb.resources" .resources | fromYaml)) }}
{{- end }}
{{- $spec := dict "containers" (prepend $more $main) "initContainers" (list $boot) "affinity" (include "tidb.affinity" $this | fromYaml) }}
{{- with $values.nodeSelector }}{{ $_ := set $spec "nodeSelector" . }}{{ end }}
{{- with $values.tolerations }}{{ $_ := set $spec "tolerations" . }}{{ end }}
{{- with include "tidb.spread" $this }}{{ $spec = merge $spec (fromYaml .) }}{{ end }}
{{- $labels := include "tidb.podLabels" (dict "root" $ "component" $name "extra" $values.podLabels) | fromYaml }}
{{- $component := dict "name" $name "replicas" (int $values.replicas) "pod" (dict "labels" $labels "spec" $spec) }}
{{- with $values.storageClassName }}{{ $_ := set $component "storageClass" . }}{{ $_ := set $component "storage" $values.storage }}{{ end }}
{{- $components = append $components $component }}
{{- end }}
{{- $classes := list }}
{{- if .Values.disks.enabled }}
{{- $classes = list .Values.disks.storageClassName }}
{{- if .Values.disks.sharing.enabled }}{{ $classes = append $classes .Values.disks.sharing.storageClassName }}{{ end }}
{{- end }}
{{- dict "version" .Values.version "components" $components "classes" $classes "manages" .Values.disks.enabled "takeOver" .Values.disks.takeOver | toJson }}
{{- end }}
