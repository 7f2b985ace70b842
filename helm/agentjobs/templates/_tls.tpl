{{/* The volume with the CA of the gateway's certificate; the operator copies it for runners. */}}
{{- define "agentjobs.gatewayCaVolume" -}}
{{- if ne .Values.tls.trust "System" }}
- name: gateway-ca
{{- if and (ne .Values.tls.mode "Generated") (eq .Values.tls.trust "Issuer") }}
  # Only ca.crt: the operator does not need the private key.
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

{{/* The DNS names of gateway, model proxy and dashboard, in the cluster and through kubectl port-forward, one per line.
     They do not depend on modelProxy.enabled and dashboard.enabled, so that a switch does not replace the certificate. */}}
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
