{{/* The notifier's settings, by their names in operator/agentjobs/settings.py. */}}
{{- define "agentjobs.notifierEnv" -}}
{{- $env := dict
  "AGENTJOBS_SINKS_FILE" "/etc/agentjobs/sinks/sinks.yaml"
  "AGENTJOBS_NOTIFICATION_LONGEST_WAIT" .Values.notifications.longestWait
  "AGENTJOBS_NOTIFICATION_GIVE_UP_AFTER" .Values.notifications.giveUpAfter
  "AGENTJOBS_LOG_LEVEL" .Values.log.level
  "AGENTJOBS_LOG_FORMAT" .Values.log.format
-}}
{{- include "agentjobs.env" (merge $env (include "agentjobs.proxyEnv" . | fromYaml)) }}
{{- end }}
