{{/* The model proxy's settings, by their names in operator/agentjobs/settings.py. Answers in progress may take the
grace period, minus the pause before SIGTERM and the time of the last writes. */}}
{{- define "agentjobs.modelProxyEnv" -}}
{{- $env := dict
  "AGENTJOBS_PORT" 8443
  "AGENTJOBS_TLS_CERT" "/etc/agentjobs/tls/tls.crt"
  "AGENTJOBS_TLS_KEY" "/etc/agentjobs/tls/tls.key"
  "AGENTJOBS_CHECK_ADDRESSES" .Values.gateway.checkAddresses
  "AGENTJOBS_DRAIN" (printf "%ds" (sub (int .Values.modelProxy.terminationGracePeriodSeconds) 15))
  "AGENTJOBS_MODELS_FILE" "/etc/agentjobs/models/models.yaml"
  "AGENTJOBS_LOG_LEVEL" .Values.log.level
  "AGENTJOBS_LOG_FORMAT" .Values.log.format
-}}
{{- include "agentjobs.env" (merge $env (include "agentjobs.proxyEnv" . | fromYaml)) }}
{{- end }}
