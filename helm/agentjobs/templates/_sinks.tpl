{{/* The sinks file, which the notifier reads, from the values. It has paths of secrets, but no secrets. */}}
{{- define "agentjobs.sinksFile" -}}
{{- $sinks := list -}}
{{- range .Values.notifications.sinks -}}
{{- $sink := omit . "urlSecretKeyRef" "signingKeySecretKeyRef" "headers" -}}
{{- with .urlSecretKeyRef }}{{ $_ := set $sink "urlFile" (include "agentjobs.sinkSecret" .) }}{{ end -}}
{{- with .signingKeySecretKeyRef }}{{ $_ := set $sink "signingKeyFile" (include "agentjobs.sinkSecret" .) }}{{ end -}}
{{- $headers := list -}}
{{- range .headers -}}
{{- $header := omit . "secretKeyRef" -}}
{{- with .secretKeyRef }}{{ $_ := set $header "file" (include "agentjobs.sinkSecret" .) }}{{ end -}}
{{- $headers = append $headers $header -}}
{{- end -}}
{{- with $headers }}{{ $_ := set $sink "headers" . }}{{ end -}}
{{- $sinks = append $sinks $sink -}}
{{- end -}}
{{- toYaml (dict "sinks" $sinks) -}}
{{- end }}

{{/* agentjobs.sinkSecret REFERENCE: the notifier's file with a key of a Secret. */}}
{{- define "agentjobs.sinkSecret" -}}
{{- printf "/etc/agentjobs/sink-secrets/%s/%s" .name .key -}}
{{- end }}

{{/* The volume with the sinks' secrets: only the named keys of each Secret. A missing Secret does not block the
notifier, which sends to the other sinks. */}}
{{- define "agentjobs.sinkSecretsVolume" -}}
{{- $found := list -}}
{{- range .Values.notifications.sinks -}}
{{- $references := list .urlSecretKeyRef .signingKeySecretKeyRef -}}
{{- range .headers }}{{ $references = append $references .secretKeyRef }}{{ end -}}
{{- range compact $references }}{{ $found = append $found (printf "%s/%s" .name .key) }}{{ end -}}
{{- end -}}
{{- with $found | uniq | sortAlpha }}
- name: sink-secrets
  projected:
    sources:
    {{- range . }}
    - secret:
        name: {{ dir . }}
        optional: true
        items:
        - {key: {{ base . | quote }}, path: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- end }}

{{- define "agentjobs.sinkNames" -}}
{{- $names := list -}}
{{- range .Values.notifications.sinks }}{{ $names = append $names .name }}{{ end -}}
{{- join "," $names -}}
{{- end }}
