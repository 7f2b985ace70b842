{{/* What an installation allows of models: `models` of the values, as the file that operator and model proxy read.

A key is named by `secretKeyRef`; in the file stands the path at which the model proxy finds it. Both are done on the
JSON of `models`, where keys of objects are sorted and a quote within a text is escaped, so that nothing but such a
reference looks like one. What is in it is checked by values.schema.json. */}}
{{- define "agentjobs.modelsFile" -}}
{{- $said := dict -}}
{{- range $name, $value := .Values.models -}}
{{- if and $value (ne (toString $value) "None") (or (ne $name "checker") $value.url) }}{{ $_ := set $said $name $value }}{{ end -}}
{{- end -}}
{{- /* Helm takes null for an absent value; in the file it is no limit. */ -}}
{{- $_ := set $said "defaults" (dict "maxLLMCalls" (.Values.models.defaults.maxLLMCalls | default nil)) -}}
{{- $found := regexReplaceAll (include "agentjobs.secretReference" .) (toJson $said) "\"file\":\"/etc/agentjobs/model-keys/${2}/${1}\"" -}}
{{- $found | fromJson | toYaml -}}
{{- end }}

{{- define "agentjobs.secretReference" -}}
"secretKeyRef":\{"key":"([-._a-zA-Z0-9]+)","name":"([-.a-z0-9]+)"\}
{{- end }}

{{/* The volume with the keys of providers: of each Secret the named keys and no others. A Secret that is not there yet
does not hold up the proxy, which serves the other providers meanwhile. */}}
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

{{/* A change of it starts operator and model proxy again; a changed key does not, the proxy reads it again. */}}
{{- define "agentjobs.modelsChecksum" -}}
agentjobs.dev/models: {{ include "agentjobs.modelsFile" . | sha256sum }}
{{- end }}

{{- define "agentjobs.modelsVolume" -}}
- name: models
  configMap:
    name: {{ include "agentjobs.modelsName" . }}
{{- end }}
