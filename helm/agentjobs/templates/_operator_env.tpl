{{/* The operator's settings, by their names in operator/agentjobs/settings.py. */}}
{{- define "agentjobs.operatorEnv" -}}
{{- $env := dict
  "AGENTJOBS_GATEWAY_URL" (printf "https://%s" (include "agentjobs.gatewayHost" .))
  "AGENTJOBS_GATEWAY_EGRESS" (include "agentjobs.egressTo" (list . "gateway") | fromYamlArray | toJson)
  "AGENTJOBS_RUNNER_IMAGE" (include "agentjobs.image" (list . .Values.runner.image))
  "AGENTJOBS_RUNNER_IMAGE_PULL_POLICY" .Values.runner.image.pullPolicy
  "AGENTJOBS_RUNNER_RESOURCES" (toJson .Values.runner.resources)
  "AGENTJOBS_MODELS_FILE" "/etc/agentjobs/models/models.yaml"
  "AGENTJOBS_QUEUES" (toJson .Values.queues)
  "AGENTJOBS_FOLLOW_UP_DEPTH" .Values.followUps.depth
  "AGENTJOBS_HISTORY_RETENTION" .Values.history.retention
  "AGENTJOBS_EVENT_RETENTION" .Values.history.eventRetention
  "AGENTJOBS_SESSION_RETENTION" .Values.history.sessionRetention
  "AGENTJOBS_WORKERS" .Values.operator.workers
  "AGENTJOBS_RESYNC" .Values.operator.resync
  "AGENTJOBS_LEASE_NAMESPACE" .Release.Namespace
  "AGENTJOBS_LEASE_NAME" (include "agentjobs.lease" .)
  "AGENTJOBS_LEASE_DURATION" .Values.operator.lease.duration
  "AGENTJOBS_LEASE_DEADLINE" .Values.operator.lease.deadline
  "AGENTJOBS_LEASE_RETRY" .Values.operator.lease.retry
  "AGENTJOBS_LOG_LEVEL" .Values.log.level
  "AGENTJOBS_LOG_FORMAT" .Values.log.format
-}}
{{- $runnerEnv := merge (deepCopy .Values.runner.env) (include "agentjobs.proxyEnv" . | fromYaml) }}
{{- with .Values.watchedNamespaces }}{{ $_ := set $env "AGENTJOBS_NAMESPACES" (join "," .) }}{{ end }}
{{- with .Values.runner.serviceAccounts }}{{ $_ := set $env "AGENTJOBS_SERVICE_ACCOUNTS" (join "," .) }}{{ end }}
{{- with include "agentjobs.sinkNames" . }}{{ $_ := set $env "AGENTJOBS_SINKS" . }}{{ end }}
{{- with .Values.runner.images }}{{ $_ := set $env "AGENTJOBS_IMAGES" (join "," .) }}{{ end }}
{{- with .Values.runner.imagePullSecrets }}{{ $_ := set $env "AGENTJOBS_RUNNER_IMAGE_PULL_SECRETS" (join "," .) }}{{ end }}
{{- with .Values.runner.nodeSelector }}{{ $_ := set $env "AGENTJOBS_RUNNER_NODE_SELECTOR" (toJson .) }}{{ end }}
{{- with .Values.runner.tolerations }}{{ $_ := set $env "AGENTJOBS_RUNNER_TOLERATIONS" (toJson .) }}{{ end }}
{{- with .Values.workspaces }}
{{- with .storageClassName }}{{ $_ := set $env "AGENTJOBS_WORKTREE_STORAGE_CLASS" . }}{{ end }}
{{- $_ := set $env "AGENTJOBS_WORKTREE_ACCESS_MODES" (join "," .accessModes) }}
{{- if .cache.enabled }}
{{- $_ := set $env "AGENTJOBS_GIT_CACHE_SIZE" .cache.size }}
{{- with .cache.storageClassName }}{{ $_ := set $env "AGENTJOBS_GIT_CACHE_STORAGE_CLASS" . }}{{ end }}
{{- $_ := set $env "AGENTJOBS_GIT_CACHE_ACCESS_MODES" (join "," .cache.accessModes) }}
{{- end }}
{{- end }}
{{- with $runnerEnv }}{{ $_ := set $env "AGENTJOBS_RUNNER_ENV" (toJson .) }}{{ end }}
{{- if .Values.modelProxy.enabled }}
{{- $_ := set $env "AGENTJOBS_MODELS_URL" (printf "https://%s" (include "agentjobs.modelProxyHost" .)) }}
{{- $_ := set $env "AGENTJOBS_MODELS_EGRESS" (include "agentjobs.egressTo" (list . "model-proxy") | fromYamlArray | toJson) }}
{{- end }}
{{- with .Values.networkPolicy.dnsEgress }}{{ $_ := set $env "AGENTJOBS_DNS_EGRESS" (toJson .) }}{{ end }}
{{- if ne .Values.tls.trust "System" }}{{ $_ := set $env "AGENTJOBS_GATEWAY_CA_FILE" "/etc/agentjobs/gateway-ca/ca.crt" }}{{ end }}
{{- include "agentjobs.env" $env }}
{{- end }}

{{- define "agentjobs.lease" -}}
{{- printf "%s-operator" (include "agentjobs.fullname" .) -}}
{{- end }}

{{/* For pods of jobs and the model proxy. In both spellings, because programs differ in which they read. */}}
{{- define "agentjobs.proxyEnv" -}}
{{- with .Values.proxy.http }}
HTTP_PROXY: {{ . | quote }}
http_proxy: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.https }}
HTTPS_PROXY: {{ . | quote }}
https_proxy: {{ . | quote }}
{{- end }}
{{- $direct := list }}
{{- with .Values.proxy.noProxy }}{{ $direct = append $direct . }}{{ end }}
{{- if and .Values.modelProxy.enabled (or .Values.proxy.http .Values.proxy.https) }}
{{- /* For clients of providers; the runner's connection to the gateway ignores these variables. */}}
{{- $direct = append $direct (include "agentjobs.modelProxyHost" .) }}
{{- end }}
{{- with join "," $direct }}
NO_PROXY: {{ . | quote }}
no_proxy: {{ . | quote }}
{{- end }}
{{- end }}

{{/* agentjobs.egressTo (list $ "gateway"): the egress rule with which a job with isolation.egress.mode Restricted
reaches a part of AgentJobs. It selects pods, so the port is theirs. */}}
{{- define "agentjobs.egressTo" -}}
{{- $root := index . 0 -}}
- to:
  - namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: {{ $root.Release.Namespace }}}
    podSelector:
      matchLabels: {{- include "agentjobs.selector" . | nindent 8 }}
  ports:
  - {protocol: TCP, port: 8443}
{{- end }}
