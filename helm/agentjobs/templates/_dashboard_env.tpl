{{/* The dashboard's settings, by their names in operator/agentjobs/dashboard/settings.py. */}}
{{- define "agentjobs.dashboardEnv" -}}
{{- $values := .Values.dashboard -}}
{{- $signIn := $values.signIn -}}
{{- $oidc := $signIn.oidc -}}
{{- $env := dict
  "AGENTJOBS_PORT" 8443
  "AGENTJOBS_SESSION_KEYS_FILE" "/etc/agentjobs/sessions/keys"
  "AGENTJOBS_SESSION_LENGTH" $values.sessions.length
  "AGENTJOBS_TOKEN_SIGN_IN" $signIn.token
  "AGENTJOBS_LOG_LEVEL" .Values.log.level
  "AGENTJOBS_LOG_FORMAT" .Values.log.format
-}}
{{- if $values.tls }}
{{- $_ := set $env "AGENTJOBS_TLS_CERT" "/etc/agentjobs/tls/tls.crt" -}}
{{- $_ := set $env "AGENTJOBS_TLS_KEY" "/etc/agentjobs/tls/tls.key" -}}
{{- end }}
{{- with $values.publicUrl }}{{ $_ := set $env "AGENTJOBS_PUBLIC_URL" . }}{{ end }}
{{- with $values.allowedHosts }}{{ $_ := set $env "AGENTJOBS_ALLOWED_HOSTS" (join "," .) }}{{ end }}
{{- with $signIn.trustedProxies }}{{ $_ := set $env "AGENTJOBS_TRUSTED_PROXIES" (join "," .) }}{{ end }}
{{- with $signIn.headers.user }}{{ $_ := set $env "AGENTJOBS_USER_HEADER" . }}{{ end }}
{{- with $signIn.headers.groups }}{{ $_ := set $env "AGENTJOBS_GROUPS_HEADER" . }}{{ end }}
{{- if $oidc.issuer }}
{{- $_ := set $env "AGENTJOBS_OIDC_ISSUER" $oidc.issuer -}}
{{- $_ := set $env "AGENTJOBS_OIDC_NAME" $oidc.name -}}
{{- $_ := set $env "AGENTJOBS_OIDC_CLIENT_ID" $oidc.clientId -}}
{{- $_ := set $env "AGENTJOBS_OIDC_SCOPES" (join "," $oidc.scopes) -}}
{{- $_ := set $env "AGENTJOBS_OIDC_USERNAME_CLAIM" $oidc.usernameClaim -}}
{{- $_ := set $env "AGENTJOBS_OIDC_USERNAME_PREFIX" $oidc.usernamePrefix -}}
{{- $_ := set $env "AGENTJOBS_OIDC_GROUPS_PREFIX" $oidc.groupsPrefix -}}
{{- $_ := set $env "AGENTJOBS_OIDC_MODE" $oidc.mode -}}
{{- with $oidc.groupsClaim }}{{ $_ := set $env "AGENTJOBS_OIDC_GROUPS_CLAIM" . }}{{ end }}
{{- if $oidc.clientSecretKeyRef.name }}{{ $_ := set $env "AGENTJOBS_OIDC_CLIENT_SECRET_FILE" "/etc/agentjobs/oidc/client-secret" }}{{ end }}
{{- if $oidc.caConfigMapKeyRef.name }}{{ $_ := set $env "AGENTJOBS_OIDC_CA_FILE" "/etc/agentjobs/oidc-ca/ca.crt" }}{{ end }}
{{- end }}
{{- include "agentjobs.env" $env }}
{{- end }}

{{/* agentjobs.dashboardImpersonates $: "yes" if people sign in with a method that the API server does not know. */}}
{{- define "agentjobs.dashboardImpersonates" -}}
{{- $signIn := .Values.dashboard.signIn -}}
{{- if or $signIn.headers.user (and $signIn.oidc.issuer (eq $signIn.oidc.mode "Impersonate")) }}yes{{ end -}}
{{- end }}

{{/* agentjobs.dashboardHostname $: the name in publicUrl. */}}
{{- define "agentjobs.dashboardHostname" -}}
{{- $url := required "dashboard.publicUrl: set the address of the dashboard for browsers, such as https://agentjobs.example.com" .Values.dashboard.publicUrl -}}
{{- regexReplaceAll ":[0-9]+$" (regexReplaceAll "^https?://" $url "") "" -}}
{{- end }}
