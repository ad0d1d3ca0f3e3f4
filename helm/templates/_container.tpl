{{- /* The bridge's container, for every mode. Everything that the restricted profile asks for stands in it, because a
       sidecar has no say over its Pod. */}}
{{- define "workflow-bridge.container" -}}
{{- $v := .Values -}}
{{- $outbox := include "workflow-bridge.outboxType" . -}}
name: workflow-bridge
image: {{ include "workflow-bridge.image" . }}
imagePullPolicy: {{ $v.image.pullPolicy }}
args: [run]
env:
  {{- include "workflow-bridge.environment" . | nindent 2 }}
{{- with $v.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: bridge-health, containerPort: {{ $v.health.port }}, protocol: TCP}
{{- range $name, $path := dict "startup" "/startupz" "liveness" "/livez" "readiness" "/readyz" }}
{{- $probe := index $v.probes $name }}
{{- if $probe.enabled }}
{{ $name }}Probe:
  httpGet: {path: {{ $path }}, port: {{ $v.health.port }}}
  periodSeconds: {{ $probe.periodSeconds }}
  failureThreshold: {{ $probe.failureThreshold }}
  timeoutSeconds: {{ $probe.timeoutSeconds }}
{{- end }}
{{- end }}
{{- if $v.drain.enabled }}
lifecycle:
  preStop:
    exec:
      command: [workflow-bridge, drain, --limit, {{ $v.drain.limitSeconds | quote }}]
{{- end }}
resources:
  {{- toYaml $v.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  privileged: false
  readOnlyRootFilesystem: true
  runAsGroup: {{ $v.runAsUser }}
  runAsNonRoot: true
  runAsUser: {{ $v.runAsUser }}
  seccompProfile: {type: RuntimeDefault}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: bridge-config, mountPath: /etc/workflow-bridge, readOnly: true}
  - {name: bridge-data, mountPath: /var/lib/workflow-bridge}
  - {name: bridge-tmp, mountPath: /tmp}
  {{- if $v.cloudflare.existingSecret }}
  - {name: bridge-cloudflare, mountPath: /run/secrets/cloudflare, readOnly: true}
  {{- end }}
  {{- if $v.admin.existingSecret }}
  - {name: bridge-admin, mountPath: /run/secrets/admin, readOnly: true}
  {{- end }}
  {{- range $number, $mount := $v.secretMounts }}
  - {name: bridge-secret-{{ $number }}, mountPath: {{ $mount.mountPath }}, readOnly: true}
  {{- end }}
  {{- with $v.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* What the chart knows better than a file: it goes over the configuration, wherever that comes from. */}}
{{- define "workflow-bridge.environment" -}}
{{- $v := .Values -}}
{{- $outbox := include "workflow-bridge.outboxType" . -}}
- {name: WORKFLOW_BRIDGE_CONFIG, value: /etc/workflow-bridge/bridge.yaml}
- {name: WORKFLOW_BRIDGE_OUTBOX__TYPE, value: {{ $outbox }}}
{{- if eq $outbox "sqlite" }}
- {name: WORKFLOW_BRIDGE_OUTBOX__PATH, value: /var/lib/workflow-bridge/outbox.db}
{{- else }}
- {name: WORKFLOW_BRIDGE_OUTBOX__MARKS_FOLDER, value: /var/lib/workflow-bridge/marks}
{{- end }}
{{- if $v.outbox.maxEntries }}
- {name: WORKFLOW_BRIDGE_OUTBOX__MAX_ENTRIES, value: {{ int $v.outbox.maxEntries | quote }}}
{{- end }}
- {name: WORKFLOW_BRIDGE_HEALTH__PORT, value: {{ $v.health.port | quote }}}
- {name: WORKFLOW_BRIDGE_LOG__LEVEL, value: {{ $v.log.level }}}
- {name: WORKFLOW_BRIDGE_LOG__FORMAT, value: json}
- {name: WORKFLOW_BRIDGE_RELOAD__WATCH, value: {{ $v.reload.enabled | quote }}}
- {name: WORKFLOW_BRIDGE_SHUTDOWN__GRACE_SECONDS, value: {{ $v.shutdownGraceSeconds | quote }}}
{{- $admin := and $v.admin.enabled (or (ne $v.mode "sidecar") $v.admin.existingSecret) }}
- {name: WORKFLOW_BRIDGE_ADMIN__ENABLED, value: {{ ternary "true" "false" (not (not $admin)) | quote }}}
{{- if $admin }}
- {name: WORKFLOW_BRIDGE_ADMIN__PORT, value: {{ $v.admin.port | quote }}}
{{- if $v.admin.existingSecret }}
- {name: WORKFLOW_BRIDGE_ADMIN__READ_TOKEN_FILE, value: /run/secrets/admin/read-token}
- {name: WORKFLOW_BRIDGE_ADMIN__OPERATOR_TOKEN_FILE, value: /run/secrets/admin/operator-token}
{{- end }}
{{- end }}
{{- with include "workflow-bridge.sharers" . }}
{{- $share := divf 1.0 (float64 .) | printf "%.4f" }}
{{- range $name, $_ := $v.config.targets }}
- {name: WORKFLOW_BRIDGE_TARGETS__{{ upper $name }}__BUDGET__SHARE, value: {{ $share | quote }}}
{{- end }}
{{- end }}
{{- if and (eq $v.mode "statefulset") $v.fixedPartitions }}
{{- range $name, $source := $v.config.sources }}
{{- if and (eq $source.type "kafka") (not $source.assign) }}
- name: WORKFLOW_BRIDGE_SOURCES__{{ upper $name }}__ASSIGN__INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
- {name: WORKFLOW_BRIDGE_SOURCES__{{ upper $name }}__ASSIGN__OF, value: {{ int $v.replicas | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The Pod's volumes, but for the one that a StatefulSet claims. */}}
{{- define "workflow-bridge.volumes" -}}
{{- $v := .Values -}}
- name: bridge-config
  configMap: {name: {{ include "workflow-bridge.configMapName" . }}}
- name: bridge-tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if $v.persistence.existingClaim }}
- name: bridge-data
  persistentVolumeClaim: {claimName: {{ $v.persistence.existingClaim }}}
{{- else if not (and (eq $v.mode "statefulset") $v.persistence.enabled) }}
- name: bridge-data
  emptyDir: {{ ternary (dict "sizeLimit" "64Mi") (dict) (eq (include "workflow-bridge.outboxType" .) "memory") | toJson }}
{{- end }}
{{- if $v.cloudflare.existingSecret }}
- name: bridge-cloudflare
  secret:
    secretName: {{ $v.cloudflare.existingSecret }}
    items: [{key: {{ $v.cloudflare.key }}, path: token}]
{{- end }}
{{- if $v.admin.existingSecret }}
- name: bridge-admin
  secret: {secretName: {{ $v.admin.existingSecret }}}
{{- end }}
{{- range $number, $mount := $v.secretMounts }}
- name: bridge-secret-{{ $number }}
  secret: {secretName: {{ $mount.existingSecret }}}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
