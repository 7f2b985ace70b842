{{/* The volume with what runners check the gateway's certificate against; the operator hands copies to them. */}}
{{- define "agentjobs.gatewayCaVolume" -}}
{{- if ne .Values.tls.trust "System" }}
- name: gateway-ca
{{- if and (ne .Values.tls.mode "Generated") (eq .Values.tls.trust "Issuer") }}
  # ca.crt alone: the key beside it is not the operator's business.
  secret:
    secretName: {{ include "agentjobs.tlsSecret" . }}
    items:
    - {key: ca.crt, path: ca.crt}
{{- else }}
  configMap:
    name: {{ include "agentjobs.fullname" . }}-gateway-ca
{{- end }}
{{- end }}
{{- end }}

{{/* The names the gateway is reached by: in the cluster, and through kubectl port-forward. One a line. */}}
{{- define "agentjobs.gatewayNames" -}}
{{- $host := include "agentjobs.gatewayHost" . -}}
{{ $host }}
{{ $host }}.{{ .Values.clusterDomain }}
{{ printf "%s-gateway" (include "agentjobs.fullname" .) }}
{{ printf "%s-gateway.%s" (include "agentjobs.fullname" .) .Release.Namespace }}
localhost
{{- range .Values.tls.extraNames }}
{{ . }}
{{- end }}
{{- end }}
