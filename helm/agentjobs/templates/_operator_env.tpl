{{/* The operator's settings, each under the name that operator/agentjobs/settings.py gives it. */}}
{{- define "agentjobs.operatorEnv" -}}
{{- $env := dict
  "AGENTJOBS_GATEWAY_URL" (printf "https://%s" (include "agentjobs.gatewayHost" .))
  "AGENTJOBS_RUNNER_IMAGE" (include "agentjobs.image" (list . .Values.runner.image))
  "AGENTJOBS_RUNNER_IMAGE_PULL_POLICY" .Values.runner.image.pullPolicy
  "AGENTJOBS_RUNNER_RESOURCES" (toJson .Values.runner.resources)
  "AGENTJOBS_QUEUE_AGENTS" .Values.queues.agents
  "AGENTJOBS_QUEUE_SCHEDULED" .Values.queues.scheduled
  "AGENTJOBS_WORKERS" .Values.operator.workers
  "AGENTJOBS_RESYNC" .Values.operator.resync
  "AGENTJOBS_LEASE_NAMESPACE" .Release.Namespace
  "AGENTJOBS_LEASE_NAME" (printf "%s-operator" (include "agentjobs.fullname" .))
  "AGENTJOBS_LEASE_DURATION" .Values.operator.lease.duration
  "AGENTJOBS_LEASE_DEADLINE" .Values.operator.lease.deadline
  "AGENTJOBS_LEASE_RETRY" .Values.operator.lease.retry
  "AGENTJOBS_LOG_LEVEL" .Values.log.level
  "AGENTJOBS_LOG_FORMAT" .Values.log.format
-}}
{{- with .Values.watchedNamespaces }}{{ $_ := set $env "AGENTJOBS_NAMESPACES" (join "," .) }}{{ end }}
{{- with .Values.runner.serviceAccounts }}{{ $_ := set $env "AGENTJOBS_SERVICE_ACCOUNTS" (join "," .) }}{{ end }}
{{- if ne .Values.tls.trust "System" }}{{ $_ := set $env "AGENTJOBS_GATEWAY_CA_FILE" "/etc/agentjobs/gateway-ca/ca.crt" }}{{ end }}
{{- include "agentjobs.env" $env }}
{{- end }}
