{{/* Names and labels. All names begin with the release's, so that two releases do not collide. */}}

{{- define "agentjobs.fullname" -}}
{{- include "agentjobs.complete" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* agentjobs.complete $: Helm's --reuse-values uses the defaults of the previous chart, which lack new values. Any template
may be rendered first, so each calls this before it reads such a value. */}}
{{- define "agentjobs.complete" -}}
{{- range list "models" "modelProxy" "notifications" "notifier" "dashboard" -}}
{{- if not (kindIs "map" (index $.Values .)) -}}
{{- fail (printf "\n\nThe values have no %s. --reuse-values leaves out what is new in this chart; upgrade with --reset-then-reuse-values.\n" .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* agentjobs.labels (list $ "component") */}}
{{- define "agentjobs.labels" -}}
{{- $root := index . 0 -}}
{{ include "agentjobs.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: agentjobs
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "agentjobs.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: agentjobs
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* agentjobs.key "model-proxy": the key of a part's values, without hyphens. */}}
{{- define "agentjobs.key" -}}
{{- . | camelcase | untitle -}}
{{- end }}

{{/* agentjobs.parts $: the parts with a Deployment and rights, as JSON. */}}
{{- define "agentjobs.parts" -}}
{{- include "agentjobs.complete" . -}}
{{- $parts := list "operator" "gateway" -}}
{{- if .Values.modelProxy.enabled }}{{ $parts = append $parts "model-proxy" }}{{ end -}}
{{- if .Values.notifications.sinks }}{{ $parts = append $parts "notifier" }}{{ end -}}
{{- if .Values.dashboard.enabled }}{{ $parts = append $parts "dashboard" }}{{ end -}}
{{- $parts | toJson -}}
{{- end }}

{{/* agentjobs.serviceAccount (list $ "operator") */}}
{{- define "agentjobs.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- (index $root.Values (include "agentjobs.key" $part)).serviceAccount.name | default (printf "%s-%s" (include "agentjobs.fullname" $root) $part) -}}
{{- end }}

{{/* agentjobs.image (list $ .Values.image): by digest, otherwise by tag; the default is the chart's appVersion. */}}
{{- define "agentjobs.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "agentjobs.gatewayHost" -}}
{{- printf "%s-gateway.%s.svc" (include "agentjobs.fullname" .) .Release.Namespace -}}
{{- end }}

{{- define "agentjobs.modelProxyHost" -}}
{{- printf "%s-model-proxy.%s.svc" (include "agentjobs.fullname" .) .Release.Namespace -}}
{{- end }}

{{- define "agentjobs.dashboardHost" -}}
{{- printf "%s-dashboard.%s.svc" (include "agentjobs.fullname" .) .Release.Namespace -}}
{{- end }}

{{- define "agentjobs.tlsSecret" -}}
{{- if eq .Values.tls.mode "Secret" -}}
{{- required "tls.secretName: set the Secret with tls.crt and tls.key, or choose another tls.mode" .Values.tls.secretName -}}
{{- else -}}
{{- printf "%s-gateway-tls" (include "agentjobs.fullname" .) -}}
{{- end -}}
{{- end }}

{{- define "agentjobs.postgresql" -}}
{{- printf "%s-postgresql" (include "agentjobs.fullname" .) -}}
{{- end }}
