"""The resources of the Kubernetes API that we use."""

from typing import Final

from agentjobs.api_resource import Resource
from agentjobs.contract import GROUP, VERSION

AGENTJOBS: Final = Resource(GROUP, VERSION, "agentjobs", "AgentJob")
AGENTSCHEDULES: Final = Resource(GROUP, VERSION, "agentschedules", "AgentSchedule")
AGENTQUEUES: Final = Resource(GROUP, VERSION, "agentqueues", "AgentQueue")
AGENTTEMPLATES: Final = Resource(GROUP, VERSION, "agenttemplates", "AgentTemplate")
PODS: Final = Resource("", "v1", "pods", "Pod")
CONFIGMAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
PERSISTENTVOLUMECLAIMS: Final = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
EVENTS: Final = Resource("", "v1", "events", "Event")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NETWORKPOLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
TOKENREVIEWS: Final = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
SUBJECTACCESSREVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
USERS: Final = Resource("", "v1", "users", "User", namespaced=False)
"""This and the next have no objects; permissions for impersonation refer to them."""
GROUPS: Final = Resource("", "v1", "groups", "Group", namespaced=False)
CRDS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
