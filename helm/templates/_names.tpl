{{- define "workflow-bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "workflow-bridge.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "workflow-bridge.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "workflow-bridge.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* What a Pod with a bridge in it is found by: selectors use nothing else, because they cannot be changed. */}}
{{- define "workflow-bridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "workflow-bridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "workflow-bridge.labels" -}}
{{ include "workflow-bridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: bridge
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The metadata of an object. Takes (dict "root" $ "name" "" "labels" map "annotations" map), all but root optional. */}}
{{- define "workflow-bridge.metadata" -}}
name: {{ default (include "workflow-bridge.fullname" .root) .name }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- include "workflow-bridge.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "workflow-bridge.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry .Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "workflow-bridge.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "workflow-bridge.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "workflow-bridge.configMapName" -}}
{{- default (printf "%s-config" (include "workflow-bridge.fullname" .)) .Values.existingConfigMap }}
{{- end }}

{{- /* Whether this release makes Pods: a sidecar without an application leaves them to the chart that includes it. */}}
{{- define "workflow-bridge.makesPods" -}}
{{- if or (ne .Values.mode "sidecar") .Values.sidecar.application.containers }}true{{ end }}
{{- end }}

{{- define "workflow-bridge.outboxType" -}}
{{- default (ternary "sqlite" "memory" (eq .Values.mode "statefulset")) .Values.outbox.type }}
{{- end }}

{{- /* How many bridges share a token, where that is known; else empty. */}}
{{- define "workflow-bridge.sharers" -}}
{{- if and .Values.shareBudget (not .Values.keda.enabled) (gt (int .Values.replicas) 1) }}{{ int .Values.replicas }}{{ end }}
{{- end }}
