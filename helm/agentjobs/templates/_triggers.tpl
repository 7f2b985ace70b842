{{/* The triggers of the values, as the file that the gateway reads. It names files of secrets and holds none. */}}
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

{{/* The volumes of the file and of the secrets: of each Secret the named keys and no others. One that is not there yet
does not hold up the gateway; its trigger accepts no call meanwhile. */}}
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
