"""The special behaviour of built-in kinds on create, update and delete. Pure.

Only behaviour that clients depend on: defaults and immutability of pods, phases of namespaces, stringData of secrets.
`podfields` has the names of a pod's fields.
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from devcluster.apiserver import claims, rbac, syntax
from devcluster.apiserver.errors import Cause, bad_request, bad_value, cause, immutable, required
from devcluster.apiserver.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    EVENT,
    LEASE,
    NAMESPACE,
    NETWORK_POLICY,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
)
from devcluster.apiserver.store import Object

_PROTECTED_NAMESPACES: Final = ("default", "kube-public", "kube-system")
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DEFAULT_GRACE_SECONDS: Final = 30
# The limit for the data of a ConfigMap or Secret.
_MAX_DATA: Final = 1024 * 1024


def _nothing(_obj: Object) -> None:
    return


def _keep_nothing(_new: Object, _old: Object) -> None:
    return


def _no_causes(_new: Object, _old: Object | None) -> list[Cause]:
    return []


def _at_once(_obj: Object, _requested: int | None) -> int:
    return 0


def _may_delete(_obj: Object) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Strategy:
    """The special behaviour of one kind.

    Args:
        on_create: sets defaults and the first status of a new object.
        on_write: normalises an object on create and update.
        on_update: copies fields that an update of the first object cannot change from the second.
        check: returns the errors of the new object; the old one is None on create.
        grace: returns the grace period of a delete, given the requested one.
        refuses_delete: returns why the object must not be deleted, or an empty string.
        names: returns the errors of a name.
    """

    on_create: Callable[[Object], None] = _nothing
    on_write: Callable[[Object], None] = _nothing
    on_update: Callable[[Object, Object], None] = _keep_nothing
    check: Callable[[Object, Object | None], list[Cause]] = _no_causes
    grace: Callable[[Object, int | None], int] = _at_once
    refuses_delete: Callable[[Object], str] = _may_delete
    names: Callable[[str], list[str]] = syntax.dns_subdomain
    fields: frozenset[str] = frozenset()
    """Top-level fields besides apiVersion, kind and metadata; empty if all are accepted."""


def _mapping(obj: Object, name: str) -> dict[str, Any]:
    value = obj.get(name)
    if value is None:
        value = obj[name] = {}
    if not isinstance(value, dict):
        raise bad_request(f"{name} must be an object, got {type(value).__name__}")
    return value


def _start_pod(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": _quality_of_service(_mapping(obj, "spec"))}


def _complete_pod(obj: Object) -> None:
    spec = _mapping(obj, "spec")
    for name, value in (
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
        ("serviceAccountName", "default"),
        ("enableServiceLinks", True),
        ("securityContext", {}),
    ):
        if spec.get(name) in (None, ""):
            spec[name] = value
    for container in _containers(spec):
        container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})


def _containers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for field in ("initContainers", "containers"):
        listed = spec.get(field) or []
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise bad_request(f"spec.{field} must be a list of objects")
        found += listed
    return found


def _pull_policy(image: object) -> str:
    tag = str(image).rpartition("/")[2]
    return "Always" if ":" not in tag or tag.endswith(":latest") else "IfNotPresent"


def _quality_of_service(spec: Mapping[str, Any]) -> str:
    """Return the QoS class of a pod."""
    resources = [container.get("resources") or {} for container in _containers(spec)]
    if not any(part.get("requests") or part.get("limits") for part in resources):
        return "BestEffort"
    for part in resources:
        limits = part.get("limits") or {}
        requests = {**limits, **(part.get("requests") or {})}
        if not {"cpu", "memory"} <= limits.keys() or requests != limits:
            return "Burstable"
    return "Guaranteed"


def _check_pod(new: Object, old: Object | None) -> list[Cause]:
    spec = new.get("spec") or {}
    if old is not None:
        return _check_pod_update(spec, old["spec"])
    containers = spec.get("containers")
    if not containers:
        return [required("spec.containers")]
    causes = []
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            causes += _check_container(container, f"spec.{field}[{index}]", names)
    policy = spec["restartPolicy"]
    if policy not in _RESTART_POLICIES:
        causes.append(_not_supported("spec.restartPolicy", policy, _RESTART_POLICIES))
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and (not isinstance(seconds, int) or not 1 <= seconds < 2**31):
        causes.append(bad_value("spec.activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive"))
    return causes


def _check_container(container: Mapping[str, Any], at: str, names: set[str]) -> list[Cause]:
    causes = []
    name = container.get("name")
    if not isinstance(name, str) or not name:
        causes.append(required(f"{at}.name"))
    elif name in names:
        causes.append(cause("FieldValueDuplicate", f"{at}.name", f'Duplicate value: "{name}"'))
    else:
        names.add(name)
    if not container.get("image"):
        causes.append(required(f"{at}.image"))
    for index, variable in enumerate(container.get("env") or ()):
        if not isinstance(variable, dict) or not variable.get("name"):
            causes.append(required(f"{at}.env[{index}].name"))
        elif not isinstance(variable.get("value", ""), str | None):
            raise bad_request(f"{at}.env[{index}].value must be a string, got {type(variable['value']).__name__}")
    return causes


def _not_supported(field: str, value: object, accepted: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in accepted)
    return cause("FieldValueNotSupported", field, f'Unsupported value: "{value}": supported values: {listed}')


_POD_CHANGES: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _check_pod_update(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    def fixed(spec: Mapping[str, Any]) -> dict[str, Any]:
        free = ("activeDeadlineSeconds", "tolerations", "schedulingGates")
        kept = {name: value for name, value in spec.items() if name not in free}
        for field in ("containers", "initContainers"):
            if field in kept:
                kept[field] = [{**container, "image": ""} for container in kept[field]]
        return kept

    if new == old:
        return []
    if fixed(new) != fixed(old):
        return [{"reason": "FieldValueForbidden", "field": "spec", "message": f"Forbidden: {_POD_CHANGES}"}]
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for gate in new.get("schedulingGates") or ():
        if gate.get("name") not in known:
            message = f"Forbidden: only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            return [{"reason": "FieldValueForbidden", "field": "spec.schedulingGates", "message": message}]
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if before is not None and (after is None or after > before):
        return [
            bad_value("spec.activeDeadlineSeconds", after, f"must be less than or equal to previous value {before}")
        ]
    return []


def _pod_grace(obj: Object, requested: int | None) -> int:
    spec = obj.get("spec") or {}
    # No kubelet finishes the deletion of a pod that has no node or has ended.
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_SECONDS) if requested is None else requested
    return max(0, int(grace))


def _create_namespace(obj: Object) -> None:
    meta = obj["metadata"]
    meta["labels"] = {**meta.get("labels", {}), "kubernetes.io/metadata.name": meta["name"]}
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _keep_finalizers(new: Object, old: Object) -> None:
    # Only `namespaces/finalize` changes them.
    new["spec"] = old.get("spec", {})


def _protect_namespace(obj: Object) -> str:
    return "this namespace may not be deleted" if obj["metadata"]["name"] in _PROTECTED_NAMESPACES else ""


def _require_text(obj: Object, field: str) -> dict[str, str]:
    values = obj.get(field) or {}
    if not isinstance(values, dict) or any(not isinstance(value, str) for value in values.values()):
        raise bad_request(f'{obj["kind"]} in version "v1" cannot be handled: {field} must map strings to strings')
    return values


def _write_secret(obj: Object) -> None:
    plain = _require_text(obj, "stringData")
    obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**_require_text(obj, "data"), **encoded}
    for key, value in _require_text(obj, "data").items():
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as problem:
            raise bad_request(f"data[{key}] must be base64: {problem}; put plain text into stringData") from problem
    obj["type"] = obj.get("type") or "Opaque"


def _write_config_map(obj: Object) -> None:
    for field in ("data", "binaryData"):
        _require_text(obj, field)


def _check_keys(new: Object, old: Object | None) -> list[Cause]:
    causes = [
        bad_value(f"{field}[{key}]", key, problem)
        for field in ("data", "binaryData")
        for key in new.get(field) or ()
        for problem in syntax.config_key(key)
    ]
    size = sum(len(value) for field in ("data", "binaryData") for value in (new.get(field) or {}).values())
    if size > _MAX_DATA:
        causes.append(cause("FieldValueTooLong", "[]", f"Too long: may not be more than {_MAX_DATA} bytes"))
    return causes if old is None else causes + _check_frozen(new, old)


def _check_frozen(new: Object, old: Object) -> list[Cause]:
    if old.get("immutable") is True:
        return [
            {
                "reason": "FieldValueForbidden",
                "field": field,
                "message": "Forbidden: field is immutable when `immutable` is set",
            }
            for field in ("immutable", "data", "binaryData")
            if new.get(field) != old.get(field)
        ]
    return [immutable("type", new["type"])] if new.get("type") != old.get("type") else []


def _check_event(new: Object, _old: Object | None) -> list[Cause]:
    involved = new.get("involvedObject") or {}
    namespace = involved.get("namespace") or "default"
    if namespace != new["metadata"]["namespace"]:
        return [bad_value("involvedObject.namespace", namespace, "does not match event.namespace")]
    return []


def _complete_policy(obj: Object) -> None:
    spec = _mapping(obj, "spec")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or () if isinstance(rule, dict) else ():
            if isinstance(port, dict):
                port.setdefault("protocol", "TCP")


def _check_policy(new: Object, _old: Object | None) -> list[Cause]:
    found = []
    for number, rule in enumerate(new["spec"].get("egress") or ()):
        for place, peer in enumerate(rule.get("to") or ()):
            at = f"spec.egress[{number}].to[{place}]"
            if not peer:
                found.append(required(at, "must specify a peer"))
            elif "ipBlock" in peer:
                found += _check_block(f"{at}.ipBlock.cidr", peer["ipBlock"].get("cidr"))
    return found


def _check_block(at: str, block: object) -> list[Cause]:
    try:
        ipaddress.ip_network(str(block or ""), strict=False)
    except ValueError:
        message = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [bad_value(at, block, message)]
    return []


_STRATEGIES: Final[Mapping[tuple[str, str], Strategy]] = {
    POD.key: Strategy(
        on_create=_start_pod,
        on_write=_complete_pod,
        check=_check_pod,
        grace=_pod_grace,
        fields=frozenset({"spec", "status"}),
    ),
    NAMESPACE.key: Strategy(
        on_create=_create_namespace,
        on_update=_keep_finalizers,
        refuses_delete=_protect_namespace,
        names=syntax.dns_label,
        fields=frozenset({"spec", "status"}),
    ),
    SECRET.key: Strategy(
        on_write=_write_secret, check=_check_keys, fields=frozenset({"data", "stringData", "type", "immutable"})
    ),
    CONFIG_MAP.key: Strategy(
        on_write=_write_config_map, check=_check_keys, fields=frozenset({"data", "binaryData", "immutable"})
    ),
    PERSISTENT_VOLUME_CLAIM.key: Strategy(
        on_create=claims.start,
        on_write=claims.complete,
        check=claims.check,
        fields=frozenset({"spec", "status"}),
    ),
    EVENT.key: Strategy(check=_check_event),
    NODE.key: Strategy(fields=frozenset({"spec", "status"})),
    LEASE.key: Strategy(fields=frozenset({"spec"})),
    NETWORK_POLICY.key: Strategy(on_write=_complete_policy, check=_check_policy, fields=frozenset({"spec"})),
    CUSTOM_RESOURCE_DEFINITION.key: Strategy(fields=frozenset({"spec", "status"})),
    **{
        kind.key: Strategy(check=rbac.check_role, names=syntax.path_segment, fields=frozenset({"rules", *more}))
        for kind, more in ((ROLE, ()), (CLUSTER_ROLE, ("aggregationRule",)))
    },
    **{
        kind.key: Strategy(
            on_write=rbac.complete_binding,
            check=rbac.check_binding,
            names=syntax.path_segment,
            fields=frozenset({"roleRef", "subjects"}),
        )
        for kind in (ROLE_BINDING, CLUSTER_ROLE_BINDING)
    },
    SERVICE_ACCOUNT.key: Strategy(fields=frozenset({"secrets", "imagePullSecrets", "automountServiceAccountToken"})),
}
_PLAIN: Final = Strategy()


def strategy(kind: Kind) -> Strategy:
    """Return the special behaviour of a kind; most kinds have none."""
    return _STRATEGIES.get(kind.key, _PLAIN)
