"""The built-in kinds of the development API server, and the description of a kind.

All of it is data: names, scopes, verbs, subresources, table columns, merge keys and selectable fields. `crds` returns
kinds of custom resources; the rest of the server treats both the same way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

READ_WRITE = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`.

    Args:
        path: JSONPath of the value, such as `.status.phase`. Empty if `tables` computes the cell.
        priority: 0 is always shown, higher ones only with `-o wide`.
    """

    name: str
    type: str = "string"
    path: str = ""
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource such as `pods/log`; group and version are those of its body if they differ."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class MergeRule:
    """How a strategic merge patch merges a list.

    Args:
        key: the merge key; None for a list of scalars that is merged as a set.
        retain_keys: whether patches of the elements have `$retainKeys`.
    """

    key: str | None
    retain_keys: bool = False


COMMON_MERGE_RULES: Mapping[str, MergeRule] = MappingProxyType(
    {"metadata.finalizers": MergeRule(None), "metadata.ownerReferences": MergeRule("uid")}
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource in one version, as discovery describes it.

    Args:
        virtual: a create is answered and nothing is stored (the review kinds).
        custom: defined by a CustomResourceDefinition. Strategic merge patches are refused.
        merge_rules: rules by dotted path, without steps for list elements (`spec.containers.env`).
        selectable_fields: paths allowed in field selectors.
        tracks_generation: metadata.generation counts changes outside of metadata and status.
        unconditional_update: a PUT may omit metadata.resourceVersion.
        create_on_update: a PUT of an object that does not exist creates it.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = READ_WRITE
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()
    merge_rules: Mapping[str, MergeRule] = field(default_factory=lambda: COMMON_MERGE_RULES, compare=False)
    selectable_fields: tuple[str, ...] = ()
    virtual: bool = False
    custom: bool = False
    tracks_generation: bool = False
    unconditional_update: bool = True
    create_on_update: bool = False

    def __post_init__(self) -> None:
        if not self.list_kind:
            object.__setattr__(self, "list_kind", f"{self.kind}List")

    @property
    def api_version(self) -> str:
        """The apiVersion of objects: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """Group and plural, which identify the resource in all versions."""
        return (self.group, self.plural)

    @property
    def qualified_name(self) -> str:
        """The resource in error messages: `pods` or `leases.coordination.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def root(self) -> str:
        """The path of the group and version: `/api/v1` or `/apis/GROUP/VERSION`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def status_subresource(self) -> bool:
        """Whether only `/status` writes the status."""
        return self.subresource("status") is not None

    def subresource(self, name: str) -> Subresource | None:
        """Return the subresource of that name, or None."""
        return next((sub for sub in self.subresources if sub.name == name), None)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of the collection, of one object or of its subresource."""
        pieces = [self.root]
        if namespace and self.namespaced:
            pieces += ["namespaces", namespace]
        return "/".join([*pieces, self.plural, *(piece for piece in (name, subresource) if piece)])

    def selectable(self) -> tuple[str, ...]:
        """Return every path allowed in a field selector."""
        has_default = not self.custom and not self.selectable_fields
        if self.namespaced or has_default:
            return ("metadata.name", "metadata.namespace", *self.selectable_fields)
        return ("metadata.name", *self.selectable_fields)


def version_order(version: str) -> tuple[int, int, int, str]:
    """Return a sort key for versions in the order of discovery: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    found = re.fullmatch(r"v([0-9]{1,9})(?:(alpha|beta)([0-9]{1,9}))?", version)
    if found is None:
        return (3, 0, 0, version)
    rank = {None: 0, "beta": 1, "alpha": 2}[found.group(2)]
    return (rank, -int(found.group(1)), -int(found.group(3) or 0), "")


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, STATUS_VERBS)


def _rules(**rules: MergeRule) -> Mapping[str, MergeRule]:
    return MappingProxyType({**COMMON_MERGE_RULES, **{path.replace("__", "."): rule for path, rule in rules.items()}})


_NAME = Column("Name", format="name", path=".metadata.name", description="Name must be unique within a namespace.")
_AGE = Column("Age", path=".metadata.creationTimestamp", description="Time since the server created the object.")
_CREATED = Column("Created At", "date", ".metadata.creationTimestamp", description="When it was created.")

_POD_COLUMNS = (
    _NAME,
    Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", description="The aggregate status of the containers in this pod."),
    Column("Restarts", description="How often the containers in this pod have been restarted, and when last."),
    _AGE,
    Column("IP", path=".status.podIP", description="Address allocated to the pod.", priority=1),
    Column("Node", path=".spec.nodeName", description="The node this pod is bound to.", priority=1),
    Column("Nominated Node", path=".status.nominatedNodeName", description="Set on preemption only.", priority=1),
    Column("Readiness Gates", description="Gates that are true, of all gates.", priority=1),
)

_EVENT_COLUMNS = (
    Column("Last Seen", description="The time at which the most recent occurrence of this event was recorded."),
    Column("Type", path=".type", description="Normal or Warning; new types could be added in the future."),
    Column("Reason", path=".reason", description="Why the object came into its current state, in one word."),
    Column("Object", description="The object that this event is about."),
    Column("Subobject", path=".involvedObject.fieldPath", description="The part of the object.", priority=1),
    Column("Source", description="The component reporting this event.", priority=1),
    Column("Message", description="A human-readable description of what happened."),
    Column("First Seen", description="The time at which the event was first recorded.", priority=1),
    Column("Count", description="The number of times this event has occurred.", priority=1),
    Column("Name", format="name", path=".metadata.name", description="The name of the event itself.", priority=1),
)

_NODE_COLUMNS = (
    _NAME,
    Column("Status", description="The status of the node."),
    Column("Roles", description="The roles of the node."),
    _AGE,
    Column("Version", path=".status.nodeInfo.kubeletVersion", description="Kubelet version reported by the node."),
    *(Column(name, description="An address of the node.", priority=1) for name in ("Internal-IP", "External-IP")),
    Column("OS-Image", description="OS image reported by the node.", priority=1),
    Column("Kernel-Version", description="Kernel version reported by the node.", priority=1),
    Column("Container-Runtime", description="Container runtime reported by the node.", priority=1),
)

_CLAIM_COLUMNS = (
    _NAME,
    Column("Status", description="The phase of the claim."),
    Column("Volume", path=".spec.volumeName", description="The volume that the claim is bound to."),
    *(Column(name, description="Of the volume.") for name in ("Capacity", "Access Modes")),
    *(Column(name, description="Class of the volume.") for name in ("StorageClass", "VolumeAttributesClass")),
    _AGE,
    Column("VolumeMode", path=".spec.volumeMode", description="Filesystem or Block.", priority=1),
)

_CONTAINER_RULES = {
    f"spec.{containers}.{field}": MergeRule(key)
    for containers in ("containers", "initContainers", "ephemeralContainers")
    for field, key in (
        ("env", "name"),
        ("ports", "containerPort"),
        ("volumeDevices", "devicePath"),
        ("volumeMounts", "mountPath"),
    )
}

_POD_RULES: Mapping[str, MergeRule] = MappingProxyType(
    {
        **_rules(
            spec__containers=MergeRule("name"),
            spec__initContainers=MergeRule("name"),
            spec__ephemeralContainers=MergeRule("name"),
            spec__hostAliases=MergeRule("ip"),
            spec__imagePullSecrets=MergeRule("name"),
            spec__resourceClaims=MergeRule("name", retain_keys=True),
            spec__schedulingGates=MergeRule("name"),
            spec__topologySpreadConstraints=MergeRule("topologyKey"),
            spec__volumes=MergeRule("name", retain_keys=True),
            status__conditions=MergeRule("type"),
            status__hostIPs=MergeRule("ip"),
            status__podIPs=MergeRule("ip"),
            status__resourceClaimStatuses=MergeRule("name", retain_keys=True),
        ),
        **_CONTAINER_RULES,
    }
)


def _review(group: str, kind: str, *, namespaced: bool = False) -> Kind:
    name = kind.lower()
    return Kind(group, "v1", f"{name}s", name, kind, namespaced=namespaced, verbs=("create",), virtual=True)


def _rbac(kind: str, *columns: Column, namespaced: bool = True) -> Kind:
    name = kind.lower()
    group = "rbac.authorization.k8s.io"
    return Kind(group, "v1", f"{name}s", name, kind, namespaced=namespaced, columns=(_NAME, *columns))


_BINDING_COLUMNS = (
    Column("Role", description="Kind and name of the role that is bound."),
    _AGE,
    *(Column(name, priority=1, description="Who is bound.") for name in ("Users", "Groups", "ServiceAccounts")),
)
NAMESPACE = Kind(
    "",
    "v1",
    "namespaces",
    "namespace",
    "Namespace",
    short_names=("ns",),
    namespaced=False,
    verbs=tuple(verb for verb in READ_WRITE if verb != "deletecollection"),
    subresources=(Subresource("finalize", "Namespace", ("update",)), _status("Namespace")),
    columns=(_NAME, Column("Status", path=".status.phase", description="The status of the namespace."), _AGE),
    merge_rules=_rules(status__conditions=MergeRule("type")),
    selectable_fields=("status.phase",),
)
POD = Kind(
    "",
    "v1",
    "pods",
    "pod",
    "Pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("binding", "Binding", ("create",)),
        Subresource("log", "Pod", ("get",)),
        _status("Pod"),
    ),
    columns=_POD_COLUMNS,
    merge_rules=_POD_RULES,
    selectable_fields=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    tracks_generation=True,
)
CONFIG_MAP = Kind(
    "",
    "v1",
    "configmaps",
    "configmap",
    "ConfigMap",
    short_names=("cm",),
    columns=(_NAME, Column("Data", description="The number of entries in data and binaryData."), _AGE),
)
SECRET = Kind(
    "",
    "v1",
    "secrets",
    "secret",
    "Secret",
    columns=(
        _NAME,
        Column("Type", path=".type", description="What the data is for."),
        Column("Data", description="The number of entries in data."),
        _AGE,
    ),
    selectable_fields=("type",),
)
SERVICE_ACCOUNT = Kind(
    "",
    "v1",
    "serviceaccounts",
    "serviceaccount",
    "ServiceAccount",
    short_names=("sa",),
    subresources=(Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),),
    columns=(_NAME, _AGE),
    merge_rules=_rules(secrets=MergeRule("name")),
)
NODE = Kind(
    "",
    "v1",
    "nodes",
    "node",
    "Node",
    short_names=("no",),
    namespaced=False,
    subresources=(_status("Node"),),
    columns=_NODE_COLUMNS,
    merge_rules=_rules(
        spec__podCIDRs=MergeRule(None),
        status__addresses=MergeRule("type"),
        status__conditions=MergeRule("type"),
    ),
    selectable_fields=("spec.unschedulable",),
)
EVENT = Kind(
    "",
    "v1",
    "events",
    "event",
    "Event",
    short_names=("ev",),
    columns=_EVENT_COLUMNS,
    selectable_fields=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    create_on_update=True,
)
LEASE = Kind(
    "coordination.k8s.io",
    "v1",
    "leases",
    "lease",
    "Lease",
    columns=(_NAME, Column("Holder", path=".spec.holderIdentity", description="Who holds the lease."), _AGE),
    unconditional_update=False,
    create_on_update=True,
)
NETWORK_POLICY = Kind(
    "networking.k8s.io",
    "v1",
    "networkpolicies",
    "networkpolicy",
    "NetworkPolicy",
    short_names=("netpol",),
    columns=(_NAME, Column("Pod-Selector", description="Which pods it applies to."), _AGE),
    tracks_generation=True,
)
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "customresourcedefinition",
    "CustomResourceDefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=(_status("CustomResourceDefinition"),),
    columns=(_NAME, _CREATED),
    tracks_generation=True,
    unconditional_update=False,
)
PERSISTENT_VOLUME_CLAIM = Kind(
    "",
    "v1",
    "persistentvolumeclaims",
    "persistentvolumeclaim",
    "PersistentVolumeClaim",
    short_names=("pvc",),
    subresources=(_status("PersistentVolumeClaim"),),
    columns=_CLAIM_COLUMNS,
    merge_rules=_rules(status__conditions=MergeRule("type")),
)
ROLE = _rbac("Role", _CREATED)
CLUSTER_ROLE = _rbac("ClusterRole", _CREATED, namespaced=False)
ROLE_BINDING = _rbac("RoleBinding", *_BINDING_COLUMNS)
CLUSTER_ROLE_BINDING = _rbac("ClusterRoleBinding", *_BINDING_COLUMNS, namespaced=False)
TOKEN_REVIEW = _review("authentication.k8s.io", "TokenReview")
SELF_SUBJECT_REVIEW = _review("authentication.k8s.io", "SelfSubjectReview")
SUBJECT_ACCESS_REVIEW = _review("authorization.k8s.io", "SubjectAccessReview")
SELF_SUBJECT_ACCESS_REVIEW = _review("authorization.k8s.io", "SelfSubjectAccessReview")

BUILTIN: tuple[Kind, ...] = (
    CONFIG_MAP,
    EVENT,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SUBJECT_ACCESS_REVIEW,
    LEASE,
    NETWORK_POLICY,
    ROLE,
    CLUSTER_ROLE,
    ROLE_BINDING,
    CLUSTER_ROLE_BINDING,
    CUSTOM_RESOURCE_DEFINITION,
)
