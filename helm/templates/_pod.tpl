{{- define "workflow-bridge.podAnnotations" -}}
kubectl.kubernetes.io/default-container: {{ if .Values.sidecar.application.containers }}{{ (first .Values.sidecar.application.containers).name }}{{ else }}workflow-bridge{{ end }}
{{- if and (not .Values.reload.enabled) (not .Values.existingConfigMap) }}
checksum/config: {{ list .Values.config .Values.configFiles | toJson | sha256sum }}
{{- end }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The Pod that this chart makes: the bridge alone, or an application with it beside. */}}
{{- define "workflow-bridge.podTemplate" -}}
{{- $v := .Values -}}
{{- $sidecar := eq $v.mode "sidecar" -}}
metadata:
  labels:
    {{- include "workflow-bridge.labels" . | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if $sidecar }}
    {{- with $v.sidecar.application.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  annotations:
    {{- include "workflow-bridge.podAnnotations" . | nindent 4 }}
spec:
  serviceAccountName: {{ include "workflow-bridge.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  securityContext:
    {{- if $sidecar }}
    {{- toYaml $v.sidecar.application.podSecurityContext | nindent 4 }}
    {{- else }}
    fsGroup: {{ $v.runAsUser }}
    fsGroupChangePolicy: OnRootMismatch
    runAsNonRoot: true
    seccompProfile: {type: RuntimeDefault}
    {{- end }}
  {{- if and $sidecar $v.sidecar.native }}
  initContainers:
    {{- include "workflow-bridge.sidecar.initContainers" . | nindent 4 }}
  {{- end }}
  containers:
    {{- if $sidecar }}
    {{- toYaml $v.sidecar.application.containers | nindent 4 }}
    {{- if not $v.sidecar.native }}
    {{- include "workflow-bridge.sidecar.containers" . | nindent 4 }}
    {{- end }}
    {{- else }}
    - {{ include "workflow-bridge.container" . | nindent 6 | trim }}
    {{- end }}
    {{- with $v.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "workflow-bridge.volumes" . | nindent 4 }}
    {{- if $sidecar }}
    {{- with $v.sidecar.application.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- range $field := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with index $v $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end }}
