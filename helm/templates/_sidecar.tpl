{{- /* For the chart of an application that has this one as a dependency with mode: sidecar. Each takes this chart's scope:

         {{- $bridge := index .Subcharts "workflow-bridge" }}
         metadata:
           labels: {{- include "workflow-bridge.sidecar.podLabels" $bridge | nindent 4 }}
           annotations: {{- include "workflow-bridge.sidecar.podAnnotations" $bridge | nindent 4 }}
         spec:
           initContainers: {{- include "workflow-bridge.sidecar.initContainers" $bridge | nindent 4 }}
           containers: {{- include "workflow-bridge.sidecar.containers" $bridge | nindent 4 }}
           volumes: {{- include "workflow-bridge.sidecar.volumes" $bridge | nindent 4 }}

       With sidecar.native: true `containers` is empty, with false `initContainers` is: write your own below each. */}}
{{- define "workflow-bridge.sidecar.initContainers" -}}
{{- if .Values.sidecar.native }}
- {{ include "workflow-bridge.container" . | nindent 2 | trim }}
  restartPolicy: Always
{{- end }}
{{- end }}

{{- define "workflow-bridge.sidecar.containers" -}}
{{- if not .Values.sidecar.native }}
- {{ include "workflow-bridge.container" . | nindent 2 | trim }}
{{- end }}
{{- end }}

{{- define "workflow-bridge.sidecar.volumes" -}}
{{ include "workflow-bridge.volumes" . }}
{{- end }}

{{- define "workflow-bridge.sidecar.podLabels" -}}
{{ include "workflow-bridge.selectorLabels" . }}
{{- end }}

{{- define "workflow-bridge.sidecar.podAnnotations" -}}
{{ include "workflow-bridge.podAnnotations" . }}
{{- end }}
