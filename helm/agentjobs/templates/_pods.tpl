{{/* Shared settings of the pods of operator, gateway, model proxy, notifier, dashboard and hooks. */}}

{{/* agentjobs.placement .Values.operator: where a pod runs. */}}
{{- define "agentjobs.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* agentjobs.spread (list $ "gateway"): the given constraints; by default pods are spread over nodes if possible. */}}
{{- define "agentjobs.spread" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
topologySpreadConstraints:
{{- with (index $root.Values (include "agentjobs.key" $part)).topologySpreadConstraints }}
{{ toYaml . }}
{{- else }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "agentjobs.selector" (list $root $part) | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- define "agentjobs.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Rollouts: new pods are not ready before the database is migrated, which takes minutes with many jobs. */}}
{{- define "agentjobs.rollout" -}}
progressDeadlineSeconds: 3600
revisionHistoryLimit: 3
{{- end }}

{{/* What the Restricted profile of Pod Security requires. */}}
{{- define "agentjobs.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "agentjobs.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* agentjobs.env (dict "NAME" "value"): sorted, so that the same values give the same manifest. */}}
{{- define "agentjobs.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* agentjobs.databaseUrl (list $ migrating): the DSN, always from a Secret. */}}
{{- define "agentjobs.databaseUrl" -}}
{{- $root := index . 0 -}}
{{- $database := $root.Values.database -}}
- name: AGENTJOBS_DATABASE_URL
  valueFrom:
    secretKeyRef:
{{- if $root.Values.postgresql.enabled }}
      name: {{ include "agentjobs.postgresql" $root }}
      key: url
{{- else if and (index . 1) $database.migration.existingSecret }}
      name: {{ $database.migration.existingSecret }}
      key: {{ $database.migration.key }}
{{- else }}
      name: {{ $database.existingSecret }}
      key: {{ $database.key }}
{{- end }}
{{- end }}

{{/* Checks that no schema can make. */}}
{{- define "agentjobs.checks" -}}
{{- include "agentjobs.complete" . -}}
{{- if and .Values.postgresql.enabled .Values.database.existingSecret -}}
{{- fail "\n\nTwo databases: database.existingSecret names one, and postgresql.enabled=true creates another. Choose one.\n" -}}
{{- end -}}
{{- if not (or .Values.postgresql.enabled .Values.database.existingSecret) -}}
{{- fail "\n\nNo database. For a trial:      --set postgresql.enabled=true\nFor anything else:           --set database.existingSecret=NAME, a Secret of this namespace whose key url holds\n                             postgresql://user:password@host:5432/database?sslmode=verify-full\n" -}}
{{- end -}}
{{- if and .Values.models.providers (not .Values.modelProxy.enabled) -}}
{{- fail "\n\nmodels.providers with modelProxy.enabled=false: only the model proxy calls providers. Set modelProxy.enabled=true, or remove the providers.\n" -}}
{{- end -}}
{{- with .Values.dashboard -}}
{{- if and .enabled .signIn.headers.user (not .signIn.trustedProxies) -}}
{{- fail "\n\ndashboard.signIn.headers.user without trustedProxies: the header is only accepted from trusted proxies. Set dashboard.signIn.trustedProxies to the networks of your proxy.\n" -}}
{{- end -}}
{{- if and .enabled .signIn.oidc.issuer (not (and .signIn.oidc.clientId .publicUrl)) -}}
{{- fail "\n\ndashboard.signIn.oidc.issuer without clientId or dashboard.publicUrl: the provider needs both, to identify the dashboard and to send people back.\n" -}}
{{- end -}}
{{- if and .enabled (not (or .signIn.token .signIn.oidc.issuer .signIn.headers.user)) -}}
{{- fail "\n\ndashboard.signIn: no way to sign in is enabled. Set token=true, oidc.issuer or headers.user.\n" -}}
{{- end -}}
{{- end -}}
{{- range .Values.triggers -}}
{{- if and $.Values.watchedNamespaces (not (has .namespace $.Values.watchedNamespaces)) -}}
{{- fail (printf "\n\ntriggers: the operator does not watch namespace %s, so no job of its triggers would run. Add it to watchedNamespaces.\n" .namespace) -}}
{{- end -}}
{{- end -}}
{{- $sinks := list -}}
{{- range .Values.notifications.sinks -}}
{{- if has .name $sinks -}}
{{- fail (printf "\n\nnotifications.sinks: two are named %s. Jobs refer to sinks by name, so names must be unique.\n" .name) -}}
{{- end -}}
{{- if and (ne (.format | default "CloudEvents") "Slack") (not .signingKeySecretKeyRef) -}}
{{- fail (printf "\n\nnotifications.sinks: %s needs signingKeySecretKeyRef, with which the receiver verifies messages.\n" .name) -}}
{{- end -}}
{{- $sinks = append $sinks .name -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.models.providers -}}
{{- if has .name $names -}}
{{- fail (printf "\n\nmodels.providers: two are named %s. Limits and records use the name, so names must be unique.\n" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end }}

{{/* agentjobs.uninstallHook WEIGHT: objects that exist only during `helm uninstall`. */}}
{{- define "agentjobs.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
