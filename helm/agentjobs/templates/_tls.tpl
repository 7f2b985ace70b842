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

{{/* The names that gateway, model proxy and dashboard are reached by: in the cluster, and through kubectl port-forward. One
     a line. They do not depend on modelProxy.enabled and dashboard.enabled, so that switching makes no new certificate. */}}
{{- define "agentjobs.tlsNames" -}}
{{- range $host := list (include "agentjobs.gatewayHost" .) (include "agentjobs.modelProxyHost" .) (include "agentjobs.dashboardHost" .) }}
{{- $short := trimSuffix ".svc" $host }}
{{ $host }}
{{ $host }}.{{ $.Values.clusterDomain }}
{{ $short }}
{{ trimSuffix (printf ".%s" $.Release.Namespace) $short }}
{{- end }}
localhost
{{- range .Values.tls.extraNames }}
{{ . }}
{{- end }}
{{- end }}
