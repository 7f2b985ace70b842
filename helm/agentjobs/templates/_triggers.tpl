{{/* The triggers file, which the gateway reads, from the values. It has paths of secrets, but no secrets. */}}
{{- define "agentjobs.triggersFile" -}}
{{- $triggers := list -}}
{{- range .Values.triggers -}}
{{- $files := list -}}
{{- range .secrets }}{{ $files = append $files (printf "/etc/agentjobs/trigger-secrets/%s/%s" .name .key) }}{{ end -}}
{{- $triggers = append $triggers (set (omit . "secrets") "secretFiles" $files) -}}
{{- end -}}
{{- toYaml (dict "triggers" $triggers) -}}
{{- end }}

{{- define "agentjobs.triggersName" -}}
{{- printf "%s-triggers" (include "agentjobs.fullname" .) -}}
{{- end }}

{{/* The volumes with the file and the secrets: only the named keys of each Secret. A missing Secret does not block the
gateway; its trigger rejects all calls until it exists. */}}
{{- define "agentjobs.triggersVolumes" -}}
{{- if .Values.triggers }}
- name: triggers
  configMap:
    name: {{ include "agentjobs.triggersName" . }}
{{- $found := list -}}
{{- range .Values.triggers }}{{ range .secrets }}{{ $found = append $found (printf "%s/%s" .name .key) }}{{ end }}{{ end }}
- name: trigger-secrets
  projected:
    sources:
    {{- range $found | uniq | sortAlpha }}
    - secret:
        name: {{ dir . }}
        optional: true
        items:
        - {key: {{ base . | quote }}, path: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- end }}

{{- define "agentjobs.triggersMounts" -}}
{{- if .Values.triggers }}
- {name: triggers, mountPath: /etc/agentjobs/triggers, readOnly: true}
- {name: trigger-secrets, mountPath: /etc/agentjobs/trigger-secrets, readOnly: true}
{{- end }}
{{- end }}
