{{- /* Contradictions, each with what to do about it: all of them are told at once. */}}
{{- define "workflow-bridge.check" -}}
{{- $v := .Values -}}
{{- $outbox := include "workflow-bridge.outboxType" . -}}
{{- $told := list -}}
{{- if and $v.config $v.existingConfigMap }}
{{- $told = append $told "config and existingConfigMap: the configuration is in one place; leave one of them out" }}
{{- end }}
{{- if not (or $v.config $v.existingConfigMap) }}
{{- $told = append $told "config: give the bridge its configuration there, or name a ConfigMap with bridge.yaml in existingConfigMap" }}
{{- end }}
{{- if and $v.configFiles $v.existingConfigMap }}
{{- $told = append $told "configFiles and existingConfigMap: put the files into that ConfigMap" }}
{{- end }}
{{- if hasKey ($v.configFiles | default dict) "bridge.yaml" }}
{{- $told = append $told "configFiles: bridge.yaml is what config is for" }}
{{- end }}
{{- if and $v.keda.enabled (ne $v.mode "deployment") }}
{{- $told = append $told (printf "keda.enabled: %s; use mode: deployment" (ternary "a sidecar has as many replicas as its application" "a StatefulSet's Pods share fixed partitions, and their number is not changed while it runs" (eq $v.mode "sidecar"))) }}
{{- end }}
{{- if and $v.keda.enabled (not $v.keda.serverAddress) }}
{{- $told = append $told "keda.serverAddress: KEDA asks Prometheus there" }}
{{- end }}
{{- if and $v.keda.enabled (lt (int $v.keda.maxReplicas) (int $v.keda.minReplicas)) }}
{{- $told = append $told "keda.maxReplicas: below keda.minReplicas" }}
{{- end }}
{{- if and (eq $v.mode "statefulset") (eq $outbox "sqlite") (not $v.persistence.enabled) (not $v.outbox.iKnowThisLosesData) }}
{{- $told = append $told "persistence.enabled: a statefulset keeps its outbox on a volume; without one use mode: deployment (memory), where the broker keeps what is not delivered" }}
{{- end }}
{{- if and (ne $v.mode "statefulset") (eq $outbox "sqlite") (not $v.outbox.iKnowThisLosesData) }}
{{- $told = append $told "outbox.type: sqlite on an emptyDir loses with its Pod what it has acknowledged; use memory, or mode: statefulset, or say outbox.iKnowThisLosesData: true" }}
{{- end }}
{{- if and $v.persistence.existingClaim (gt (int $v.replicas) 1) }}
{{- $told = append $told "persistence.existingClaim: one volume is for one replica" }}
{{- end }}
{{- if and $v.persistence.existingClaim (ne $v.mode "statefulset") }}
{{- $told = append $told "persistence.existingClaim: only a statefulset has a volume" }}
{{- end }}
{{- if lt (int $v.replicas) (ternary 0 1 (eq $v.mode "sidecar")) }}
{{- $told = append $told "replicas: at least 1" }}
{{- end }}
{{- if and $v.config (eq $outbox "memory") (not $v.config.dead_letters) }}
{{- $told = append $told "config.dead_letters: a memory outbox keeps none; name a topic or exchange in config.dead_letters.to (or write config.dead_letters: discard)" }}
{{- end }}
{{- with dig "outbox" "type" "" ($v.config | default dict) }}
{{- if ne . $outbox }}
{{- $told = append $told (printf "config.outbox.type: %s, but this mode and outbox.type make it %s" . $outbox) }}
{{- end }}
{{- end }}
{{- if ge (int $v.drain.limitSeconds) (int $v.terminationGracePeriodSeconds) }}
{{- $told = append $told "drain.limitSeconds: has to be below terminationGracePeriodSeconds" }}
{{- end }}
{{- if and $v.drain.enabled (gt (add (int $v.drain.limitSeconds) (int $v.shutdownGraceSeconds) 5) (int $v.terminationGracePeriodSeconds)) }}
{{- $told = append $told "terminationGracePeriodSeconds: has to have room for drain.limitSeconds, shutdownGraceSeconds and 5 seconds to close" }}
{{- end }}
{{- if and $v.networkPolicy.enabled (eq $v.mode "sidecar") (not $v.networkPolicy.alsoForApplication) }}
{{- $told = append $told "networkPolicy.enabled: in a sidecar it cuts off the application too; add its needs to extraIngress and extraEgress, and say networkPolicy.alsoForApplication: true" }}
{{- end }}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.brokers) }}
{{- $told = append $told "networkPolicy.brokers: say where brokers are, or they cannot be reached" }}
{{- end }}
{{- if and $v.serviceMonitor.enabled (eq $v.mode "sidecar") }}
{{- $told = append $told "serviceMonitor.enabled: a sidecar has no Service; use podMonitor.enabled" }}
{{- end }}
{{- if and $v.serviceMonitor.enabled (not $v.service.enabled) }}
{{- $told = append $told "serviceMonitor.enabled: needs service.enabled" }}
{{- end }}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled }}
{{- $told = append $told "podMonitor.enabled and serviceMonitor.enabled: everything would be counted twice; leave one of them out" }}
{{- end }}
{{- if and $v.sidecar.application.containers (ne $v.mode "sidecar") }}
{{- $told = append $told "sidecar.application.containers: belongs to mode: sidecar" }}
{{- end }}
{{- with $told }}
{{- fail (printf "\n- %s\n" (join "\n- " .)) }}
{{- end }}
{{- end }}
