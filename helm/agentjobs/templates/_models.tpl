{{/* The models file, which the operator and the model proxy read, from `models` of the values.

Each `secretKeyRef` becomes the path of the key's file in the model proxy. References are found in the JSON of `models`:
it sorts the keys of objects and escapes quotes in texts, so only a reference matches. values.schema.json checks the
values. */}}
{{- define "agentjobs.modelsFile" -}}
{{- $file := dict -}}
{{- range $name, $value := .Values.models -}}
{{- if and $value (ne (toString $value) "None") (or (ne $name "checker") $value.url) }}{{ $_ := set $file $name $value }}{{ end -}}
{{- end -}}
{{- /* Helm treats null as an absent value; in the file it means no limit. */ -}}
{{- $_ := set $file "defaults" (dict "maxLLMCalls" (.Values.models.defaults.maxLLMCalls | default nil)) -}}
{{- $found := regexReplaceAll (include "agentjobs.secretReference" .) (toJson $file) "\"file\":\"/etc/agentjobs/model-keys/${2}/${1}\"" -}}
{{- $found | fromJson | toYaml -}}
{{- end }}

{{- define "agentjobs.secretReference" -}}
"secretKeyRef":\{"key":"([-._a-zA-Z0-9]+)","name":"([-.a-z0-9]+)"\}
{{- end }}

{{/* The volume with the providers' keys: only the named keys of each Secret. A missing Secret does not block the proxy,
which serves the other providers. */}}
{{- define "agentjobs.modelKeysVolume" -}}
{{- $pattern := include "agentjobs.secretReference" . -}}
{{- with regexFindAll $pattern (toJson .Values.models) -1 | uniq | sortAlpha }}
- name: model-keys
  projected:
    sources:
    {{- range . }}
    {{- $key := regexReplaceAll $pattern . "${1}" }}
    {{- $secret := regexReplaceAll $pattern . "${2}" }}
    - secret:
        name: {{ $secret }}
        optional: true
        items:
        - {key: {{ $key | quote }}, path: {{ printf "%s/%s" $secret $key | quote }}}
    {{- end }}
{{- end }}
{{- end }}

{{- define "agentjobs.modelsName" -}}
{{- printf "%s-models" (include "agentjobs.fullname" .) -}}
{{- end }}

{{/* A change of the file restarts the operator and the model proxy. The proxy reads changed keys without a restart. */}}
{{- define "agentjobs.modelsChecksum" -}}
agentjobs.dev/models: {{ include "agentjobs.modelsFile" . | sha256sum }}
{{- end }}

{{- define "agentjobs.modelsVolume" -}}
- name: models
  configMap:
    name: {{ include "agentjobs.modelsName" . }}
{{- end }}
