{{- /* Generated from operator/agentjobs/rbac by `python -m agentjobs.rbac.chart`; do not edit. */ -}}
{{- define "agentjobs.rules.operator.cluster" -}}
- apiGroups: ['']
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.operator.jobs" -}}
- apiGroups: [agentjobs.dev]
  resources: [agentqueues]
  verbs: [get, list, watch]
- apiGroups: [agentjobs.dev]
  resources: [agentqueues/status]
  verbs: [patch]
- apiGroups: [agentjobs.dev]
  resources: [agenttemplates]
  verbs: [get, list, watch]
- apiGroups: [agentjobs.dev]
  resources: [agenttemplates/status]
  verbs: [patch]
- apiGroups: [agentjobs.dev]
  resources: [agentschedules]
  verbs: [get, list, watch]
- apiGroups: [agentjobs.dev]
  resources: [agentschedules/status]
  verbs: [patch]
- apiGroups: [agentjobs.dev]
  resources: [agentschedules/finalizers]
  verbs: [update]
- apiGroups: ['']
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [agentjobs.dev]
  resources: [agentjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [agentjobs.dev]
  resources: [agentjobs/status]
  verbs: [patch]
- apiGroups: [agentjobs.dev]
  resources: [agentjobs/finalizers]
  verbs: [update]
- apiGroups: ['']
  resources: [configmaps]
  verbs: [get]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, update, delete]
- apiGroups: ['']
  resources: [persistentvolumeclaims]
  verbs: [get, create]
- apiGroups: ['']
  resources: [events]
  verbs: [get, create, patch]
{{- end }}
{{- define "agentjobs.rules.operator.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end }}
{{- define "agentjobs.rules.gateway.cluster" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
- apiGroups: ['']
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.gateway.jobs" -}}
- apiGroups: ['']
  resources: [pods]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.gateway.own" -}}
[]
{{- end }}
{{- define "agentjobs.rules.proxy.cluster" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: ['']
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.proxy.jobs" -}}
- apiGroups: ['']
  resources: [pods]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.proxy.own" -}}
[]
{{- end }}
{{- define "agentjobs.rules.notifier.cluster" -}}
- apiGroups: ['']
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.notifier.jobs" -}}
[]
{{- end }}
{{- define "agentjobs.rules.notifier.own" -}}
[]
{{- end }}
{{- define "agentjobs.rules.dashboard.cluster" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
- apiGroups: ['']
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
{{- define "agentjobs.rules.dashboard.jobs" -}}
[]
{{- end }}
{{- define "agentjobs.rules.dashboard.own" -}}
[]
{{- end }}
{{- define "agentjobs.rules.impersonation" -}}
- apiGroups: ['']
  resources: [users, groups]
  verbs: [impersonate]
{{- end }}
{{- define "agentjobs.rules.triggers" -}}
- apiGroups: [agentjobs.dev]
  resources: [agentjobs]
  verbs: [create, get]
{{- end }}
