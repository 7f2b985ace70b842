"""Checks and completes `metadata`: names, labels, annotations, owners, finalizers. Pure."""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from devcluster.apiserver import syntax
from devcluster.apiserver.errors import Cause, StatusError, bad_request, bad_value, immutable, required

# The limit of Kubernetes for the size of all annotations of an object.
_MAX_ANNOTATIONS: Final = 256 * 1024
# The alphabet of generated names has no vowels, so that no words appear (apimachinery's rand.String).
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_BASE: Final = 58

_SHAPES: Final[Mapping[str, type]] = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "selfLink": str,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "labels": dict,
    "annotations": dict,
    "finalizers": list,
    "ownerReferences": list,
    "managedFields": list,
    "generation": int,
    "deletionGracePeriodSeconds": int,
}


def generated_name(prefix: str) -> str:
    """Return `prefix` and five random characters."""
    return prefix[:_MAX_GENERATED_BASE] + "".join(random.choices(_ALPHABET, k=5))  # noqa: S311  a name, not a secret


def read(obj: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of `metadata` without nulls and unknown fields, and the paths of the latter.

    Raises:
        StatusError: 400 for values of the wrong type.
    """
    raw = obj.get("metadata") or {}
    if not isinstance(raw, dict):
        raise bad_request(f"metadata must be an object, got {type(raw).__name__}")
    meta: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in raw.items():
        shape = _SHAPES.get(name)
        if shape is None:
            dropped.append(f"metadata.{name}")
        elif value is None:
            continue
        elif not isinstance(value, shape) or isinstance(value, bool):
            raise bad_request(f"metadata.{name} must be {_NAMES[shape]}, got {type(value).__name__}")
        elif name != "managedFields":
            meta[name] = value
    for name in ("labels", "annotations"):
        _require_strings(meta.get(name, {}), name)
    if any(not isinstance(item, str) for item in meta.get("finalizers", ())):
        raise bad_request("metadata.finalizers must be a list of strings")
    if any(not isinstance(item, dict) for item in meta.get("ownerReferences", ())):
        raise bad_request("metadata.ownerReferences must be a list of objects")
    return {name: value for name, value in meta.items() if value not in ({}, [], "")}, dropped


_NAMES: Final = {str: "a string", dict: "an object", list: "a list", int: "an integer"}


def _require_strings(mapping: Mapping[str, Any], name: str) -> None:
    for key, value in mapping.items():
        if not isinstance(value, str):
            shown = type(value).__name__
            raise bad_request(f"metadata.{name}[{key}] must be a string, got {shown}; put the value in quotes")


def check(meta: Mapping[str, Any], *, namespaced: bool, names: Callable[[str], list[str]]) -> list[Cause]:
    """Return the errors of an object's metadata.

    Args:
        namespaced: whether its kind is namespaced.
        names: returns the errors of a name of its kind.
    """
    causes = _check_name(meta.get("name", ""), names)
    if not namespaced and meta.get("namespace"):
        causes.append(
            {
                "reason": "FieldValueForbidden",
                "field": "metadata.namespace",
                "message": "Forbidden: not allowed on this type",
            }
        )
    labels = meta.get("labels", {})
    causes += _check_keys("metadata.labels", labels)
    causes += [bad_value("metadata.labels", v, problem) for v in labels.values() for problem in syntax.label_value(v)]
    causes += _check_keys("metadata.annotations", (key.lower() for key in meta.get("annotations", {})))
    if sum(len(k.encode()) + len(v.encode()) for k, v in meta.get("annotations", {}).items()) > _MAX_ANNOTATIONS:
        message = f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        causes.append({"reason": "FieldValueTooLong", "field": "metadata.annotations", "message": message})
    causes += _check_keys("metadata.finalizers", meta.get("finalizers", ()))
    return causes + _check_owners(meta.get("ownerReferences", ()))


def check_update(meta: dict[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    """Copy fields that a write cannot change from `old` to `meta`; return errors for changes of immutable fields."""
    causes = [
        immutable(f"metadata.{name}", meta[name])
        for name in ("name", "namespace", "uid")
        if meta.setdefault(name, old.get(name)) != old.get(name)
    ]
    for name in ("namespace", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        if name in old:
            meta[name] = old[name]
        else:
            meta.pop(name, None)
    if "deletionTimestamp" in old:
        added = set(meta.get("finalizers", ())) - set(old.get("finalizers", ()))
        if added:
            message = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers"
            problem = {"reason": "FieldValueForbidden", "field": "metadata.finalizers"}
            causes.append({**problem, "message": f"{message} {', '.join(sorted(added))}"})
    return causes


def _check_name(name: str, names: Callable[[str], list[str]]) -> list[Cause]:
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    return [bad_value("metadata.name", name, problem) for problem in names(name)]


def _check_keys(field: str, keys: Iterable[str]) -> list[Cause]:
    return [bad_value(field, key, problem) for key in keys for problem in syntax.qualified_name(key)]


def _check_owners(owners: Any) -> list[Cause]:
    causes = []
    for owner in owners:
        at = "metadata.ownerReferences"
        causes += [
            bad_value(f"{at}.{name}", owner.get(name, ""), "must not be empty")
            for name in ("apiVersion", "kind", "name", "uid")
            if not isinstance(owner.get(name), str) or not owner[name]
        ]
    controllers = [f"{owner.get('kind')}/{owner.get('name')}" for owner in owners if owner.get("controller") is True]
    if len(controllers) > 1:
        message = (
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        )
        causes.append(bad_value("metadata.ownerReferences", orjson.dumps(owners).decode(), message))
    return causes


def path_namespace(meta: dict[str, Any], namespace: str) -> None:
    """Set the namespace of the request's path in `meta`.

    Raises:
        StatusError: 400 when the object has another namespace.
    """
    if meta.get("namespace", namespace) != namespace:
        raise StatusError(400, "the namespace of the provided object does not match the namespace sent on the request")
    if namespace:
        meta["namespace"] = namespace
