"""Tables for `kubectl get`, in responses to list, get and watch requests with `as=Table`. Pure.

Cells of built-in kinds follow the printers of kube-apiserver 1.36, those of custom resources their printer columns.
Rows share parts of the objects, which are only read.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.jsonpath import compile_path
from devcluster.apiserver.kinds import Column, Kind
from devcluster.apiserver.podstatus import pod_cells

Object = Mapping[str, Any]
Cell = str | int | float | bool | None

_INCLUDE: Final = ("", "Metadata", "Object", "None")
_NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"
_INVALID: Final = "<invalid>"
_UNSET: Final = "<unset>"
_ABSENT: Final = object()
# In the order of the printer, not of the claim.
_ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_FINISHED: Final = {
    "Succeeded": ("Succeeded", "The pod has completed successfully."),
    "Failed": ("Failed", "The pod failed."),
}


def table(
    kind: Kind,
    objects: Iterable[Object],
    *,
    now: datetime,
    include: str = "",
    api_version: str = "meta.k8s.io/v1",
    metadata: Mapping[str, Any] | None = None,
    headers: bool = True,
) -> dict[str, Any]:
    """Return a Table of the objects.

    Args:
        include: the `includeObject` parameter: Metadata (the default), Object or None.
        api_version: the requested one, `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`.
        metadata: of the list: resourceVersion, continue, remainingItemCount.
        headers: whether to add the column definitions; a watch has them in its first event only.

    Raises:
        StatusError: 400 for an unknown `include`.
    """
    if include not in _INCLUDE:
        message = f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        raise StatusError(400, f"Unable to convert to Table as requested: {message}")
    rows = []
    for obj in objects:
        cells = _row(kind, obj, now)
        row: dict[str, Any] = {"cells": cells, "object": _included(obj, include, api_version, kind)}
        if kind.key == ("", "pods") and (finished := _FINISHED.get((obj.get("status") or {}).get("phase", ""))):
            row["conditions"] = [{"type": "Completed", "status": "True", "reason": finished[0], "message": finished[1]}]
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": dict(metadata or {}),
        "columnDefinitions": [_definition(column) for column in kind.columns] if headers else None,
        "rows": rows,
    }


def human_duration(elapsed: timedelta) -> str:
    """Return a duration as kubectl prints ages: `45s`, `3m20s`, `17h`, `2d5h`, `1y30d`.

    Up to two seconds in the future are 0s; more is `<invalid>`.
    """
    seconds = int(elapsed.total_seconds())
    if seconds < 0:
        return "0s" if seconds >= -1 else _INVALID
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def age(timestamp: object, now: datetime) -> str:
    """Return the age of an RFC 3339 timestamp; `<unknown>` without one, `<invalid>` for any other value."""
    if not timestamp:
        return _UNKNOWN
    if not isinstance(timestamp, str):
        return _INVALID
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return _INVALID
    return human_duration(now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC)))


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _definition(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _included(obj: Object, include: str, api_version: str, kind: Kind) -> Any:
    if include == "None":
        return None
    if include == "Object":
        return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj.get("metadata") or {}}


def _row(kind: Kind, obj: Object, now: datetime) -> list[Cell]:
    printer = None if kind.custom else _CELLS.get(kind.key)
    if printer is None:
        return [_cell(column, obj, now, kind.custom) for column in kind.columns]
    try:
        return printer(obj, now)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # Built-in kinds are not fully validated: a field of the wrong type must not fail the whole list.
        return [_name(obj), *(_INVALID for _ in kind.columns[1:])]


def _cell(column: Column, obj: Object, now: datetime, custom: bool) -> Cell:
    if not custom and column.name == "Age":
        return age((obj.get("metadata") or {}).get("creationTimestamp"), now)
    try:
        value = next(compile_path(column.path)(obj), _ABSENT)
    except ValueError:
        value = _ABSENT
    if not custom:
        return "" if value in (None, _ABSENT) else _text(value)
    return None if value is _ABSENT else _converted(column.type, value, now)


def _converted(wanted: str, value: Any, now: datetime) -> Cell:
    if value is None:
        return "<no value>" if wanted == "string" else None
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    match wanted:
        case "string":
            return _text(value)
        case "integer":
            return None if number is None else int(number)
        case "number":
            return None if number is None else float(number)
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            return age(value, now) if isinstance(value, str) else None
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    except RecursionError:
        return _INVALID


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def _created(obj: Object, now: datetime) -> str:
    return age((obj.get("metadata") or {}).get("creationTimestamp"), now)


def _config_map(obj: Object, now: datetime) -> list[Cell]:
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _created(obj, now)]


def _secret(obj: Object, now: datetime) -> list[Cell]:
    return [_name(obj), str(obj.get("type", "")), len(obj.get("data") or ()), _created(obj, now)]


def _definition_row(obj: Object, _now: datetime) -> list[Cell]:
    return [_name(obj), str((obj.get("metadata") or {}).get("creationTimestamp") or "")]


def _node(obj: Object, now: datetime) -> list[Cell]:
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    info = status.get("nodeInfo") or {}
    ready = next((condition for condition in status.get("conditions") or () if condition.get("type") == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if spec.get("unschedulable"):
        state += ",SchedulingDisabled"
    return [
        _name(obj),
        state,
        _roles((obj.get("metadata") or {}).get("labels") or {}),
        _created(obj, now),
        str(info.get("kubeletVersion") or ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        str(info.get("osImage") or _UNKNOWN),
        str(info.get("kernelVersion") or _UNKNOWN),
        str(info.get("containerRuntimeVersion") or _UNKNOWN),
    ]


def _roles(labels: Mapping[str, str]) -> str:
    roles = {label.removeprefix(_ROLE_PREFIX) for label in labels if label.startswith(_ROLE_PREFIX)}
    roles |= {labels.get("kubernetes.io/role", "")}
    return ",".join(sorted(roles - {""})) or _NONE


def _address(status: Mapping[str, Any], kind: str) -> str:
    return next((address["address"] for address in status.get("addresses") or () if address.get("type") == kind), _NONE)


def _event(obj: Object, now: datetime) -> list[Cell]:
    subject = obj.get("involvedObject") or {}
    source = obj.get("source") or {}
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    component = [source.get("component") or obj.get("reportingComponent") or ""]
    host = source.get("host") or (obj.get("reportingInstance") if not source.get("component") else "")
    kind, name = str(subject.get("kind") or "").lower(), subject.get("name")
    return [
        age(last, now),
        str(obj.get("type") or ""),
        str(obj.get("reason") or ""),
        f"{kind}/{name}" if name else kind,
        str(subject.get("fieldPath") or ""),
        ", ".join([*component, *([host] if host else [])]),
        str(obj.get("message") or "").strip(),
        age(first, now),
        int(series.get("count") or obj.get("count") or 1),
        _name(obj),
    ]


def _pod(obj: Object, now: datetime) -> list[Cell]:
    cells = pod_cells(obj, lambda moment: age(moment, now))
    return [_name(obj), cells.ready, cells.reason, cells.restarts, _created(obj, now), *cells.wide]


def _binding(obj: Object, now: datetime) -> list[Cell]:
    subjects = obj.get("subjects") or ()
    named: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in subjects:
        space = f"{subject.get('namespace', '')}/" if subject["kind"] == "ServiceAccount" else ""
        named[subject["kind"]].append(f"{space}{subject['name']}")
    role = f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"
    return [_name(obj), role, _created(obj, now), *(", ".join(names) for names in named.values())]


def _claim(obj: Object, now: datetime) -> list[Cell]:
    meta, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
    phase = "Terminating" if meta.get("deletionTimestamp") else str(status.get("phase") or "")
    volume = str(spec.get("volumeName") or "")
    modes = [_ACCESS_MODES[mode] for mode in _ACCESS_MODES if mode in (status.get("accessModes") or ())]
    return [
        _name(obj),
        phase,
        volume,
        str((status.get("capacity") or {}).get("storage") or "") if volume else "",
        ",".join(modes) if volume else "",
        str(spec.get("storageClassName") or ""),
        str(spec.get("volumeAttributesClassName") or _UNSET),
        _created(obj, now),
        str(spec.get("volumeMode") or _UNSET),
    ]


def _policy(obj: Object, now: datetime) -> list[Cell]:
    selector = (obj.get("spec") or {}).get("podSelector") or {}
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    terms += [_term(requirement) for requirement in selector.get("matchExpressions") or ()]
    return [_name(obj), ",".join(terms) or _NONE, _created(obj, now)]


def _term(expression: Mapping[str, Any]) -> str:
    key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
    match expression["operator"]:
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case operator:
            return f"{key} {operator.lower()} ({values})"


_CELLS: Final[Mapping[tuple[str, str], Callable[[Object, datetime], list[Cell]]]] = {
    ("", "configmaps"): _config_map,
    ("", "events"): _event,
    ("", "nodes"): _node,
    ("", "persistentvolumeclaims"): _claim,
    ("", "pods"): _pod,
    ("", "secrets"): _secret,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition_row,
    ("networking.k8s.io", "networkpolicies"): _policy,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _binding,
    ("rbac.authorization.k8s.io", "clusterroles"): _definition_row,
    ("rbac.authorization.k8s.io", "rolebindings"): _binding,
    ("rbac.authorization.k8s.io", "roles"): _definition_row,
}
