"""Authorizes requests by the stored Roles, ClusterRoles and their bindings, and checks such objects. Pure.

Used by `server` for each request and by `reviews` for access reviews. Follows the RBAC authorizer of kube-apiserver,
but has no aggregated ClusterRoles and allows users to grant more permissions than they have.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from devcluster.apiserver.errors import Cause, bad_request, bad_value, cause, required
from devcluster.apiserver.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, Kind
from devcluster.apiserver.store import Object, Store

GROUP: Final = "rbac.authorization.k8s.io"
MASTERS: Final = "system:masters"
"""Its members may do everything."""
_ACCOUNT: Final = "system:serviceaccount"
_PUBLIC: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY: Final = (*_PUBLIC, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")
_SELF_REVIEWS: Final = {
    "authorization.k8s.io": ["selfsubjectaccessreviews"],
    "authentication.k8s.io": ["selfsubjectreviews"],
}


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a request: a verb on a resource or on a non-resource path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """Resource and subresource as in rules: `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision and its reason: the binding that allows it, or bindings whose role does not exist."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Decides by the current objects of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, user: str, groups: Iterable[str], attributes: Attributes) -> Decision:
        """Return whether a user may carry out a request."""
        member = frozenset(groups)
        if MASTERS in member:
            return Decision(True)
        errors = []
        for kind, binding in self._bindings(attributes):
            subject = _subject(binding, user, member)
            if subject is None:
                continue
            rules = self._rules(binding)
            if rules is None:
                errors.append(_missing(binding["roleRef"]))
            elif any(_covers(rule, attributes) for rule in rules):
                return Decision(True, _allowed_by(kind, binding, subject))
        return Decision(False, f"RBAC: {', '.join(errors)}" if errors else "")

    def _bindings(self, attributes: Attributes) -> Iterator[tuple[Kind, Object]]:
        for version in self._store.list(CLUSTER_ROLE_BINDING.qualified_name):
            yield CLUSTER_ROLE_BINDING, version.obj
        if attributes.namespace:
            for version in self._store.list(ROLE_BINDING.qualified_name, attributes.namespace):
                yield ROLE_BINDING, version.obj

    def _rules(self, binding: Object) -> list[Object] | None:
        reference = binding["roleRef"]
        if reference["kind"] == CLUSTER_ROLE.kind:
            found = self._store.get(CLUSTER_ROLE.qualified_name, ("", reference["name"]))
        else:
            found = self._store.get(ROLE.qualified_name, (binding["metadata"]["namespace"], reference["name"]))
        return None if found is None else found.obj.get("rules") or []


def denial(user: str, attributes: Attributes, decision: Decision) -> str:
    """Return the real server's message of a 403."""
    why = f": {decision.reason}" if decision.reason else ""
    if attributes.path:
        return f'forbidden: User "{user}" cannot {attributes.verb} path "{attributes.path}"{why}'
    resource = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    name = f' "{attributes.name}"' if attributes.name else ""
    where = f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    return (
        f'{resource}{name} is forbidden: User "{user}" cannot {attributes.verb} resource "{attributes.full_resource}" '
        f'in API group "{attributes.group}"{where}{why}'
    )


def bootstrap() -> list[tuple[Kind, Object]]:
    """Return the default roles of every cluster that users rely on, with their bindings."""
    everything = [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]
    reviews = [
        {"verbs": ["create"], "apiGroups": [group], "resources": resources}
        for group, resources in _SELF_REVIEWS.items()
    ]
    discovery = [{"verbs": ["get"], "nonResourceURLs": list(_DISCOVERY)}]
    public = [{"verbs": ["get"], "nonResourceURLs": list(_PUBLIC)}]
    made: list[tuple[Kind, Object]] = []
    for name, rules, group in (
        ("cluster-admin", everything, MASTERS),
        ("system:basic-user", reviews, "system:authenticated"),
        ("system:discovery", discovery, "system:authenticated"),
        ("system:public-info-viewer", public, "system:authenticated"),
    ):
        subject = {"apiGroup": GROUP, "kind": "Group", "name": group}
        reference = {"apiGroup": GROUP, "kind": CLUSTER_ROLE.kind, "name": name}
        made.append((CLUSTER_ROLE, {"metadata": {"name": name}, "rules": rules}))
        made.append((CLUSTER_ROLE_BINDING, {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}))
    return made


def complete_binding(obj: Object) -> None:
    """Set the defaults of a binding."""
    reference, subjects = obj.get("roleRef"), obj.get("subjects")
    if isinstance(reference, dict):
        reference["apiGroup"] = reference.get("apiGroup") or GROUP
    if isinstance(subjects, list):
        for subject in subjects:
            if isinstance(subject, dict) and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = subject.get("apiGroup") or GROUP


def check_role(new: Object, _old: Object | None) -> list[Cause]:
    """Return the errors of a Role or ClusterRole."""
    namespaced = bool(new["metadata"].get("namespace"))
    rules = new.get("rules") or []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise bad_request("rules must be a list of objects")
    return [problem for index, rule in enumerate(rules) for problem in _check_rule(rule, f"rules[{index}]", namespaced)]


def check_binding(new: Object, old: Object | None) -> list[Cause]:
    """Return the errors of a RoleBinding or ClusterRoleBinding."""
    namespaced = bool(new["metadata"].get("namespace"))
    reference = new.get("roleRef") or {}
    subjects = new.get("subjects") or []
    if not isinstance(reference, dict) or not isinstance(subjects, list):
        raise bad_request("roleRef must be an object and subjects a list")
    causes = _check_reference(reference, namespaced)
    if old is not None and reference != old.get("roleRef"):
        causes.append(bad_value("roleRef", reference, "cannot change roleRef"))
    return causes + [
        problem
        for index, subject in enumerate(subjects)
        for problem in _check_subject(subject, f"subjects[{index}]", namespaced)
    ]


def _check_rule(rule: Mapping[str, Any], at: str, namespaced: bool) -> list[Cause]:
    for field in ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"):
        values = rule.get(field) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise bad_request(f"{at}.{field} must be a list of strings")
    causes = [] if rule.get("verbs") else [required(f"{at}.verbs", "verbs must contain at least one value")]
    paths = rule.get("nonResourceURLs")
    if paths and namespaced:
        causes.append(bad_value(f"{at}.nonResourceURLs", paths, "namespaced rules cannot apply to non-resource URLs"))
    elif paths and any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
        message = "rules cannot apply to both regular resources and non-resource URLs"
        causes.append(bad_value(f"{at}.nonResourceURLs", paths, message))
    if not paths:
        causes += [
            required(f"{at}.{field}", f"resource rules must supply at least one {what}")
            for field, what in (("apiGroups", "api group"), ("resources", "resource"))
            if not rule.get(field)
        ]
    return causes


def _check_reference(reference: Mapping[str, Any], namespaced: bool) -> list[Cause]:
    kinds = (ROLE.kind, CLUSTER_ROLE.kind) if namespaced else (CLUSTER_ROLE.kind,)
    causes = []
    if reference.get("apiGroup") != GROUP:
        causes.append(_unsupported("roleRef.apiGroup", reference.get("apiGroup"), (GROUP,)))
    if reference.get("kind") not in kinds:
        causes.append(_unsupported("roleRef.kind", reference.get("kind"), kinds))
    if not reference.get("name"):
        causes.append(required("roleRef.name"))
    return causes


def _check_subject(subject: object, at: str, namespaced: bool) -> list[Cause]:
    if not isinstance(subject, dict):
        raise bad_request(f"{at} must be an object")
    kind = subject.get("kind")
    causes = [] if subject.get("name") else [required(f"{at}.name")]
    if kind == "ServiceAccount":
        if subject.get("apiGroup"):
            causes.append(_unsupported(f"{at}.apiGroup", subject["apiGroup"], ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(required(f"{at}.namespace"))
    elif kind in ("User", "Group"):
        if subject.get("apiGroup") != GROUP:
            causes.append(_unsupported(f"{at}.apiGroup", subject.get("apiGroup"), (GROUP,)))
    else:
        causes.append(_unsupported(f"{at}.kind", kind, ("ServiceAccount", "User", "Group")))
    return causes


def _unsupported(field: str, value: object, accepted: Iterable[str]) -> Cause:
    listed = ", ".join(f'"{each}"' for each in accepted)
    return cause("FieldValueNotSupported", field, f'Unsupported value: "{value or ""}": supported values: {listed}')


def _subject(binding: Object, user: str, groups: frozenset[str]) -> Object | None:
    for subject in binding.get("subjects") or ():
        match subject["kind"]:
            case "User":
                matches = subject["name"] == user
            case "Group":
                matches = subject["name"] in groups
            case _:
                # An account without a namespace is in the namespace of the binding.
                space = subject.get("namespace") or binding["metadata"].get("namespace")
                matches = f"{_ACCOUNT}:{space}:{subject['name']}" == user
        if matches:
            found: Object = subject
            return found
    return None


def _covers(rule: Mapping[str, Any], attributes: Attributes) -> bool:
    if not _has(rule, "verbs", attributes.verb):
        return False
    if attributes.path:
        paths = rule.get("nonResourceURLs") or ()
        return any(
            p in ("*", attributes.path) or (p.endswith("*") and attributes.path.startswith(p[:-1])) for p in paths
        )
    names = rule.get("resourceNames") or ()
    return (
        _has(rule, "apiGroups", attributes.group)
        and (_has(rule, "resources", attributes.full_resource) or _has_subresource(rule, attributes.subresource))
        and (not names or attributes.name in names)
    )


def _has(rule: Mapping[str, Any], field: str, wanted: str) -> bool:
    values = rule.get(field) or ()
    return "*" in values or wanted in values


def _has_subresource(rule: Mapping[str, Any], subresource: str) -> bool:
    """Return whether the rule has the subresource for all resources: `*/scale`."""
    return bool(subresource) and f"*/{subresource}" in (rule.get("resources") or ())


def _missing(reference: Mapping[str, str]) -> str:
    kind = CLUSTER_ROLE if reference["kind"] == CLUSTER_ROLE.kind else ROLE
    return f'{kind.singular}.{GROUP} "{reference["name"]}" not found'


def _allowed_by(kind: Kind, binding: Object, subject: Mapping[str, str]) -> str:
    meta, reference = binding["metadata"], binding["roleRef"]
    name = f"{meta['name']}/{meta['namespace']}" if kind.namespaced else meta["name"]
    subject_name = (
        f"{subject['name']}/{subject.get('namespace', '')}" if subject["kind"] == "ServiceAccount" else subject["name"]
    )
    return (
        f'RBAC: allowed by {kind.kind} "{name}" of {reference["kind"]} "{reference["name"]}" to '
        f'{subject["kind"]} "{subject_name}"'
    )
