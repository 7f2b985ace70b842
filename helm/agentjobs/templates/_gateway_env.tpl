{{/* The gateway's settings, by their names in operator/agentjobs/settings.py. */}}
{{- define "agentjobs.gatewayEnv" -}}
{{- $env := dict
  "AGENTJOBS_PORT" 8443
  "AGENTJOBS_TLS_CERT" "/etc/agentjobs/tls/tls.crt"
  "AGENTJOBS_TLS_KEY" "/etc/agentjobs/tls/tls.key"
  "AGENTJOBS_CHECK_ADDRESSES" .Values.gateway.checkAddresses
  "AGENTJOBS_LOG_LEVEL" .Values.log.level
  "AGENTJOBS_LOG_FORMAT" .Values.log.format
-}}
{{- if .Values.triggers }}{{ $_ := set $env "AGENTJOBS_TRIGGERS_FILE" "/etc/agentjobs/triggers/triggers.yaml" }}{{ end -}}
{{- include "agentjobs.env" $env }}
{{- end }}
