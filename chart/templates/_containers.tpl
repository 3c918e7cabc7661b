{{/*
An image reference. A digest beats the tag: it names bytes, a tag names whatever was pushed last.
Takes (dict "root" $ "image" .Values.pd.image "tag" "v8.5.7"); tag is what counts when the image names none.
*/}}
{{- define "tidb.image" -}}
{{- $registry := .image.registry | default .root.Values.imageRegistry }}
{{- $name := ternary .image.repository (printf "%s/%s" $registry .image.repository) (empty $registry) }}
{{- if .image.digest }}{{ printf "%s@%s" $name .image.digest }}
{{- else }}{{ printf "%s:%s" $name (.image.tag | default .tag) }}
{{- end }}
{{- end }}

{{/* The hooks image, which every job runs. Takes $. */}}
{{- define "tidb.hooksImage" -}}
{{- include "tidb.image" (dict "root" . "image" .Values.hooks.image "tag" .Chart.Version) }}
{{- end }}

{{/*
Limits and requests from one map {cpu, memory[, ephemeral-storage]}: they are equal, so every pod is Guaranteed, and no value can
make them differ. Takes the map.
*/}}
{{- define "tidb.resources" -}}
limits:
  {{- include "tidb.quantities" . | nindent 2 }}
requests:
  {{- include "tidb.quantities" . | nindent 2 }}
{{- end }}

{{/* A number of CPUs may be written without quotes; the API server wants one spelling. */}}
{{- define "tidb.quantities" -}}
{{- $written := dict }}
{{- range $name, $quantity := . }}
{{- if $quantity }}{{ $_ := set $written $name (toString $quantity) }}{{ end }}
{{- end }}
{{- toYaml $written }}
{{- end }}

{{/* imagePullSecrets, or nothing. Takes $. */}}
{{- define "tidb.pullSecrets" -}}
{{- with .Values.imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A pod's securityContext under the restricted pod security standard; fsGroup makes claims writable for it. */}}
{{- define "tidb.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
# A data folder of millions of files is not walked at every start.
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* A container's securityContext under the restricted pod security standard. */}}
{{- define "tidb.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/*
Containers from values (extraContainers), with their one resources map rendered as everywhere else. Takes the list.
*/}}
{{- define "tidb.extraContainers" -}}
{{- range $index, $container := . }}
{{- if $index }}{{ "\n" }}{{ end -}}
- {{ toYaml (omit . "resources") | nindent 2 | trim }}
  resources:
    {{- include "tidb.resources" .resources | nindent 4 }}
{{- end }}
{{- end }}

{{/* A duration of whole seconds, minutes or hours ("90s", "30m", "2h") in seconds. Takes the duration. */}}
{{- define "tidb.seconds" -}}
{{- $unit := dict "s" 1 "m" 60 "h" 3600 }}
{{- $last := sub (len .) 1 | int }}
{{- mul (substr 0 $last . | int64) (get $unit (substr $last (len .) .)) }}
{{- end }}

{{/* "true" when the database version is at least this one, else nothing. Takes (dict "root" $ "version" "8.5.2"). */}}
{{- define "tidb.atLeast" -}}
{{- if semverCompare (printf ">=%s-0" .version) .root.Values.version }}true{{ end }}
{{- end }}
