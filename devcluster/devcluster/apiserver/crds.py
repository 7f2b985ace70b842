"""CustomResourceDefinitions: prunes, completes and checks them, and returns their kinds and schemas.

Error messages are those of kube-apiserver 1.36. The only conversion between versions is `None`: objects of all versions
have the same fields.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from devcluster.apiserver import structural, syntax
from devcluster.apiserver.errors import Cause, StatusError, bad_value, cause, required
from devcluster.apiserver.kinds import STATUS_VERBS, Column, Kind, Subresource, version_order
from devcluster.apiserver.schema import Schema
from devcluster.apiserver.validators import format_value
from devcluster.timestamps import timestamp

Object = dict[str, Any]

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_COLUMN_DESCRIPTION: Final = "Custom resource definition column (in JSONPath format)"
_SCOPES: Final = ("Cluster", "Namespaced")
_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", description="Time since the object was created.")
_NAME: Final = Column("Name", format="name", path=".metadata.name", description="Unique within a namespace.")


@dataclass(frozen=True, slots=True)
class CustomResource:
    """One served version of a CRD."""

    kind: Kind
    schema: Schema
    storage: bool


def _object(**properties: Object) -> Object:
    return {"type": "object", "properties": properties}


def _list(items: Object) -> Object:
    return {"type": "array", "items": items}


_STRING: Final[Object] = {"type": "string"}
_BOOLEAN: Final[Object] = {"type": "boolean"}
_ANYTHING: Final[Object] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}

_VERSION: Final = _object(
    name=_STRING,
    served=_BOOLEAN,
    storage=_BOOLEAN,
    deprecated=_BOOLEAN,
    deprecationWarning=_STRING,
    schema=_object(openAPIV3Schema=_ANYTHING),
    subresources=_object(
        status=_ANYTHING,
        scale=_object(specReplicasPath=_STRING, statusReplicasPath=_STRING, labelSelectorPath=_STRING),
    ),
    additionalPrinterColumns=_list(
        _object(
            name=_STRING,
            type=_STRING,
            format=_STRING,
            description=_STRING,
            priority={"type": "integer", "format": "int32"},
            jsonPath=_STRING,
        )
    ),
    selectableFields=_list(_object(jsonPath=_STRING)),
)
_CONDITION: Final = _object(
    type=_STRING,
    status=_STRING,
    reason=_STRING,
    message=_STRING,
    lastTransitionTime=_STRING,
    observedGeneration={"type": "integer"},
)
_NAMES: Final = _object(
    plural=_STRING,
    singular=_STRING,
    kind=_STRING,
    listKind=_STRING,
    shortNames=_list(_STRING),
    categories=_list(_STRING),
)
# The schema of CustomResourceDefinitions, for their unknown fields and wrong types.
_SHAPE: Final = Schema(
    _object(
        spec=_object(
            group=_STRING,
            scope=_STRING,
            names=_NAMES,
            versions=_list(_VERSION),
            conversion=_ANYTHING,
            preserveUnknownFields=_BOOLEAN,
        ),
        status=_object(
            acceptedNames=_NAMES,
            storedVersions=_list(_STRING),
            conditions=_list(_CONDITION),
            observedGeneration={"type": "integer"},
        ),
    )
)


def prune(obj: Object) -> list[str]:
    """Remove unknown fields of a CRD and its schemas in place; return their paths.

    Raises:
        StatusError: 400 for values of the wrong type.
    """
    dropped = _SHAPE.prune(obj)
    _SHAPE.default(obj)
    wrong = _SHAPE.validate(obj)
    if wrong:
        raise _undecodable(f"{wrong[0]['field']}: {wrong[0]['message'].partition(' in body ')[2]}")
    obj.setdefault("spec", {})
    for index, version in enumerate(_versions(obj)):
        raw = (version.get("schema") or {}).get("openAPIV3Schema")
        if raw is not None:
            try:
                dropped += structural.remove_unknown(raw, f"spec.versions[{index}].schema.openAPIV3Schema")
            except structural.WrongType as error:
                raise _undecodable(str(error)) from error
    return sorted(dropped)


def complete(obj: Object, old: Object | None = None) -> None:
    """Set defaults in place: singular, listKind, conversion, stored versions. An update keeps the old status."""
    spec = obj["spec"]
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    for version in _versions(obj):
        version.setdefault("served", False)
        version.setdefault("storage", False)
    spec.setdefault("conversion", {"strategy": "None"})
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]
    status = obj["status"] = dict((old or {}).get("status") or {})
    stored = list(status.get("storedVersions") or [])
    current = [version.get("name") for version in _versions(obj) if version["storage"]]
    status["storedVersions"] = stored + [name for name in current if name not in stored]
    status.setdefault("conditions", [])
    status.setdefault("acceptedNames", {"plural": "", "kind": ""})


def check(obj: Object, old: Object | None = None) -> list[Cause]:
    """Return the errors of a completed CRD, as causes of a 422."""
    spec, name = obj["spec"], (obj.get("metadata") or {}).get("name", "")
    group, names = spec.get("group") or "", spec.get("names") or {}
    causes: list[Cause] = []
    if name != f"{names.get('plural') or ''}.{group}":
        causes.append(bad_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    bad_group = _named("spec.group", group, syntax.dns_subdomain)
    if not bad_group and "." not in group:
        bad_group.append(bad_value("spec.group", group, "should be a domain with at least one dot"))
    causes += bad_group
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    protected = group.endswith((".k8s.io", ".kubernetes.io")) or group in ("k8s.io", "kubernetes.io")
    if protected and not annotations.get("api-approved.kubernetes.io"):
        message = 'protected groups must have approval annotation "api-approved.kubernetes.io"'
        causes.append(required("metadata.annotations[api-approved.kubernetes.io]", message))
    causes += _check_scope(spec)
    causes += _check_versions(spec)
    causes += _check_names(names)
    if (spec["conversion"].get("strategy") or "None") != "None":
        message = "conversion webhooks are not served by the development server; use None"
        causes.append(bad_value("spec.conversion.strategy", spec["conversion"].get("strategy"), message))
    if spec.get("preserveUnknownFields"):
        message = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        causes.append(cause("FieldValueInvalid", "spec.preserveUnknownFields", f"Invalid value: true: {message}"))
    return causes + _check_changes(obj, old)


def establish(obj: Object, taken: Iterable[Kind], now: datetime) -> bool:
    """Set the conditions NamesAccepted and Established in the status of a CRD; return whether to serve it.

    Args:
        taken: other kinds of the group; their names are in use.
    """
    spec, status = obj["spec"], obj["status"]
    clashes = _clashes(spec, taken)
    reason, message = ("NoConflicts", "no conflicts found") if not clashes else clashes[0]
    _set_condition(status, "NamesAccepted", "False" if clashes else "True", reason, message, now)
    if clashes:
        if not _is_established(status):
            _set_condition(status, "Established", "False", "NotAccepted", "not all names are accepted", now)
    else:
        status["acceptedNames"] = dict(spec["names"])
        _set_condition(
            status, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now
        )
    return _is_established(status)


def resources_of(obj: Object) -> list[CustomResource]:
    """Return the served versions of a checked CRD, newest first as in discovery."""
    found = []
    for version in sorted(_versions(obj), key=lambda each: version_order(each["name"])):
        if version.get("served"):
            raw = (version.get("schema") or {}).get("openAPIV3Schema")
            found.append(CustomResource(_kind(obj["spec"], version), Schema(raw), bool(version.get("storage"))))
    return found


def _kind(spec: Object, version: Object) -> Kind:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    columns = [
        Column(
            name=column["name"],
            type=column["type"],
            path=column["jsonPath"],
            format=column.get("format", ""),
            description=column.get("description") or f"{_COLUMN_DESCRIPTION}: {column['jsonPath']}",
            priority=column.get("priority", 0),
        )
        for column in version.get("additionalPrinterColumns") or []
    ]
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        singular=names["singular"],
        kind=names["kind"],
        list_kind=names["listKind"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec["scope"] == "Namespaced",
        subresources=(Subresource("status", names["kind"], STATUS_VERBS),) if "status" in subresources else (),
        columns=(_NAME, *(columns or [_AGE])),
        selectable_fields=tuple(
            field["jsonPath"].removeprefix(".")
            for field in version.get("selectableFields") or []
            if field.get("jsonPath")
        ),
        custom=True,
        tracks_generation=True,
        unconditional_update=False,
    )


def _versions(obj: Object) -> list[Object]:
    return [version for version in obj["spec"].get("versions") or [] if isinstance(version, dict)]


def _undecodable(message: str) -> StatusError:
    kind = "CustomResourceDefinition"
    return StatusError(400, f'{kind} in version "v1" cannot be handled as a {kind}: {message}')


def _named(field: str, value: str, rule: Any, *, mixed_case: bool = False) -> list[Cause]:
    if not value:
        return [required(field)]
    prefix = "may have mixed case, but should otherwise match: " if mixed_case else ""
    return [bad_value(field, value, prefix + problem) for problem in rule(value.lower() if mixed_case else value)]


def _check_scope(spec: Object) -> list[Cause]:
    scope = spec.get("scope")
    if not scope:
        return [required("spec.scope")]
    if scope not in _SCOPES:
        message = f'Unsupported value: {format_value(scope)}: supported values: "Cluster", "Namespaced"'
        return [cause("FieldValueNotSupported", "spec.scope", message)]
    return []


def _check_names(names: Object) -> list[Cause]:
    causes = _named("spec.names.plural", names.get("plural") or "", syntax.dns_label_1035)
    causes += _named("spec.names.singular", names.get("singular") or "", syntax.dns_label_1035)
    for field in ("kind", "listKind"):
        causes += _named(f"spec.names.{field}", names.get(field) or "", syntax.dns_label_1035, mixed_case=True)
    for field in ("shortNames", "categories"):
        for index, name in enumerate(names.get(field) or []):
            causes += _named(f"spec.names.{field}[{index}]", name, syntax.dns_label_1035)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        causes.append(bad_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same"))
    return causes


def _check_versions(spec: Object) -> list[Cause]:
    versions = spec.get("versions") or []
    names = [version.get("name") or "" for version in versions]
    causes: list[Cause] = []
    if sum(1 for version in versions if version.get("storage")) != 1:
        causes.append(_bad_versions(names, "must have exactly one version marked as storage version"))
    if len(set(names)) != len(names):
        causes.append(_bad_versions(names, "must contain unique version names"))
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        causes += _named(f"{at}.name", version.get("name") or "", syntax.dns_label_1035)
        raw = (version.get("schema") or {}).get("openAPIV3Schema")
        if raw is None:
            causes.append(required(f"{at}.schema.openAPIV3Schema"))
        else:
            # The real server moves a schema that all versions share to its field in v1beta1.
            base = "spec.validation" if len(versions) == 1 else f"{at}.schema"
            causes += structural.problems(raw, f"{base}.openAPIV3Schema")
        base = "spec" if len(versions) == 1 else at
        causes += _check_columns(version.get("additionalPrinterColumns") or [], f"{base}.additionalPrinterColumns")
        for place, selectable in enumerate(version.get("selectableFields") or []):
            path = selectable.get("jsonPath") or ""
            if not path.startswith("."):
                message = "is an invalid path: expected [ or . but got: " + path
                causes.append(bad_value(f"{base}.selectableFields[{place}].jsonPath", path, message))
        if (version.get("subresources") or {}).get("scale") is not None:
            message = "the scale subresource is not served by the development server"
            causes.append(cause("FieldValueForbidden", f"{base}.subresources.scale", f"Forbidden: {message}"))
    return causes


def _bad_versions(names: list[str], message: str) -> Cause:
    return cause("FieldValueInvalid", "spec.versions", f"Invalid value: {format_value(names)}: {message}")


def _check_columns(columns: list[Object], at: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, column in enumerate(columns):
        field = f"{at}[{index}]"
        if not column.get("name"):
            causes.append(required(f"{field}.name"))
        if not column.get("type"):
            causes.append(required(f"{field}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
        elif column["type"] not in _COLUMN_TYPES:
            causes.append(bad_value(f"{field}.type", column["type"], f"must be one of {','.join(_COLUMN_TYPES)}"))
        if column.get("format") and column["format"] not in _COLUMN_FORMATS:
            message = f"must be one of {','.join(_COLUMN_FORMATS)}"
            causes.append(bad_value(f"{field}.format", column["format"], message))
        path = column.get("jsonPath")
        if not path:
            causes.append(required(f"{field}.JSONPath"))
        elif not path.startswith("."):
            message = "must be a simple json path starting with ."
            causes.append(bad_value(f"{field}.JSONPath", path, message))
    return causes


def _check_changes(obj: Object, old: Object | None) -> list[Cause]:
    if old is None:
        return []
    causes = [
        bad_value(f"spec.{field}", obj["spec"].get(field), "field is immutable")
        for field in ("group", "scope")
        if obj["spec"].get(field) != old["spec"].get(field)
    ]
    new_names, old_names = obj["spec"].get("names") or {}, old["spec"]["names"]
    causes += [
        bad_value(f"spec.names.{field}", new_names.get(field), "field is immutable")
        for field in ("plural", "kind")
        if new_names.get(field) != old_names[field]
    ]
    names = [version.get("name") for version in _versions(obj)]
    causes += [
        bad_value("status.storedVersions", stored, "must appear in spec.versions")
        for stored in obj["status"]["storedVersions"]
        if stored not in names
    ]
    return causes


def _clashes(spec: Object, taken: Iterable[Kind]) -> list[tuple[str, str]]:
    names = spec["names"]
    others = [kind for kind in taken if kind.group == spec["group"] and kind.plural != names["plural"]]
    words = {word for kind in others for word in (kind.plural, kind.singular, *kind.short_names)}
    kinds = {word for kind in others for word in (kind.kind, kind.list_kind)}
    found = []
    for field, used in (("plural", words), ("singular", words), ("kind", kinds), ("listKind", kinds)):
        if names[field] in used:
            found.append((f"{field[0].upper()}{field[1:]}Conflict", f'"{names[field]}" is already in use'))
    short_names = [name for name in names.get("shortNames") or [] if name in words]
    return found + [("ShortNamesConflict", f'"{name}" is already in use') for name in short_names]


def _is_established(status: Object) -> bool:
    return any(
        condition["type"] == "Established" and condition["status"] == "True" for condition in status["conditions"]
    )


def _set_condition(status: Object, kind: str, value: str, reason: str, message: str, now: datetime) -> None:
    stamp = timestamp(now)
    conditions = status["conditions"] = [dict(condition) for condition in status["conditions"]]
    present = next((condition for condition in conditions if condition["type"] == kind), None)
    if present is None:
        conditions.append(
            {"type": kind, "status": value, "lastTransitionTime": stamp, "reason": reason, "message": message}
        )
        return
    if present["status"] != value:
        present["lastTransitionTime"] = stamp
    present.update(status=value, reason=reason, message=message)
