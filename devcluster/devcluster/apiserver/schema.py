"""Structural schemas of custom resources: prune, default, validate.

A schema is compiled to closures when its CustomResourceDefinition is stored. `core` runs them for every write in this
order: `prune`, `default`, `validate`. The first two change the object in place, which is a copy of the request. None of
them raises for any object. Recursion is as deep as the schema, never as deep as the object. `rules` evaluates CEL rules
(`x-kubernetes-validations`) last.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import orjson

from devcluster.apiserver import rules
from devcluster.apiserver.errors import Cause
from devcluster.apiserver.validators import Validator, Violation, compile_validator

Object = dict[str, Any]
Pruner = Callable[[Any], list[str]]
Defaulter = Callable[[Any], None]

# Deeper schemas do not occur; closures nest as deep as the schema, and Python's stack has about 1,000 levels.
MAX_DEPTH: Final = 100
# A list of 500,000 invalid elements must not become a response of 100 MB.
MAX_CAUSES: Final = 1_000

# After these errors the real server does not evaluate CEL rules and adds `_NOT_CHECKED`.
_BLOCKING: Final = frozenset(
    ["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid", "FieldValueNotSupported"]
)
_NOT_CHECKED: Final[Cause] = {
    "reason": "FieldValueInvalid",
    "message": (
        "Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation"
    ),
    "field": "<nil>",
}
_METADATA_FIELDS: Final = frozenset(
    [
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ]
)
_UNSTRUCTURED: Final[Object] = {"x-kubernetes-preserve-unknown-fields": True}


class SchemaError(ValueError):
    """A schema that cannot be compiled; the message says why."""


class Schema:
    """The compiled schema of one version.

    Args:
        raw: the `openAPIV3Schema` of the version; None keeps and accepts everything.

    Raises:
        SchemaError: it nests deeper than MAX_DEPTH, or a pattern or rule is invalid or not supported.
    """

    def __init__(self, raw: Object | None) -> None:
        self.raw = raw or _UNSTRUCTURED
        if depth_of(self.raw, MAX_DEPTH) > MAX_DEPTH:
            raise SchemaError(f"the schema is nested deeper than {MAX_DEPTH} levels")
        try:
            self._validator: Validator = compile_validator(self.raw)
            self._rules = rules.compile_rules(self.raw)
        except ValueError as error:
            raise SchemaError(str(error)) from error
        self._pruner = _pruner(self.raw, root=True)
        self._defaulter = _defaulter(self.raw)

    def prune(self, obj: Object) -> list[str]:
        """Remove unknown fields in place; return their sorted paths, such as `spec.taks[0].nmae`.

        apiVersion, kind and metadata are never pruned.
        """
        return sorted(path.removeprefix(".") for path in self._pruner(obj))

    def default(self, obj: Object) -> None:
        """Remove nulls of fields that are not nullable and set defaults, in place at all levels."""
        self._defaulter(obj)

    def validate(self, obj: Object, old: Object | None = None) -> list[Cause]:
        """Return all errors as causes of a 422, with the real server's messages.

        Args:
            old: the stored object on updates; errors of unchanged values are ignored.
        """
        violations: list[Violation] = []
        self._validator(obj, (), violations)
        if old is not None:
            violations = [
                violation
                for violation in violations
                if not (violation.forgivable and self._unchanged(violation.path, obj, old))
            ]
        causes = [violation.cause for violation in violations[:MAX_CAUSES]]
        if self._rules.is_empty:
            return causes
        if any(cause["reason"] in _BLOCKING for cause in causes):
            return [*causes, dict(_NOT_CHECKED)]
        return [*causes, *self._rules.evaluate(obj, old)][:MAX_CAUSES]

    def _unchanged(self, path: tuple[str | int, ...], new: Any, old: Any) -> bool:
        schema: Any = self.raw
        for step in path:
            if _same(new, old):
                return True
            if isinstance(step, int):
                keys = schema.get("x-kubernetes-list-map-keys")
                old = _partner(new[step], old, keys) if keys and isinstance(old, list) else None
                new, schema = new[step], schema.get("items") or {}
            else:
                old = old.get(step) if isinstance(old, dict) else None
                new, schema = new.get(step), _child(schema, step)
            if old is None:
                return False
        return _same(new, old)


def depth_of(value: object, limit: int) -> int:
    """Return the nesting depth of objects and lists, without recursion; stop counting above the limit."""
    depth = 0
    level = [value]
    while level and depth <= limit:
        below: list[object] = []
        for item in level:
            below.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        depth += any(isinstance(item, dict | list) for item in level)
        level = below
    return depth


def _same(new: object, old: object) -> bool:
    try:
        return new == old
    except RecursionError:  # unknown fields that are preserved may nest deeper than the stack
        return False


def _partner(item: object, old: list[Any], keys: list[str]) -> object:
    if not isinstance(item, dict):
        return None
    wanted = [item.get(key) for key in keys]
    return next(
        (element for element in old if isinstance(element, dict) and [element.get(key) for key in keys] == wanted), None
    )


def _child(schema: Object, name: str) -> Object:
    child = (schema.get("properties") or {}).get(name)
    if child is None:
        child = schema.get("additionalProperties")
    return child if isinstance(child, dict) else {}


def _keep_everything(_value: Any) -> list[str]:
    return []


def _prune_metadata(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    dropped = [key for key in value if key not in _METADATA_FIELDS]
    for key in dropped:
        del value[key]
    return [f".{key}" for key in dropped]


def _pruner(schema: Object, *, root: bool = False) -> Pruner:
    known: dict[str, Pruner] = {
        name: _pruner(child) for name, child in (schema.get("properties") or {}).items() if isinstance(child, dict)
    }
    if root:
        known |= dict.fromkeys(("apiVersion", "kind", "metadata"), _keep_everything)
    elif schema.get("x-kubernetes-embedded-resource"):
        known |= {"apiVersion": _keep_everything, "kind": _keep_everything, "metadata": _prune_metadata}
    additional = schema.get("additionalProperties")
    other = None if additional in (None, False) else _pruner(additional if isinstance(additional, dict) else {})
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    items = schema.get("items")
    if preserve and not known and other is None and not items:
        return _keep_everything
    if preserve:
        other = other or _keep_everything
    item = _pruner(items) if isinstance(items, dict) else (_keep_everything if preserve else None)
    return partial(_prune, known, other, item)


def _prune(known: Mapping[str, Pruner], other: Pruner | None, item: Pruner | None, value: Any) -> list[str]:
    dropped: list[str] = []
    if isinstance(value, dict):
        unknown = []
        for key, child in value.items():
            pruner = known.get(key, other)
            if pruner is None:
                unknown.append(key)
            elif isinstance(child, dict | list):
                dropped += [f".{key}{path}" for path in pruner(child)]
        for key in unknown:
            del value[key]
            dropped.append(f".{key}")
    elif isinstance(value, list):
        pruner = item or _prune_unknown
        for index, child in enumerate(value):
            if isinstance(child, dict | list):
                dropped += [f"[{index}]{path}" for path in pruner(child)]
    return dropped


def _prune_unknown(value: Any) -> list[str]:
    """Empty an object that should be a scalar; validation reports the value itself."""
    if not isinstance(value, dict):
        return []
    dropped = [f".{key}" for key in value]
    value.clear()
    return dropped


def _defaulter(schema: Object) -> Defaulter:
    children = {name: child for name, child in (schema.get("properties") or {}).items() if isinstance(child, dict)}
    makers = {name: _maker(child["default"]) for name, child in children.items() if "default" in child}
    nested: dict[str, Defaulter] = {name: _defaulter(child) for name, child in children.items() if _nests(child)}
    nullable = frozenset(name for name, child in children.items() if child.get("nullable"))
    known = frozenset(children)
    additional = schema.get("additionalProperties")
    other = _defaulter(additional) if isinstance(additional, dict) else None
    other_nullable = isinstance(additional, dict) and bool(additional.get("nullable"))
    items = schema.get("items")
    item = _defaulter(items) if isinstance(items, dict) and _nests(items) else None

    def default(value: Any) -> None:
        if isinstance(value, dict):
            for name, make in makers.items():
                if name not in value or (value[name] is None and name not in nullable):
                    value[name] = make()
            for name, child in list(value.items()):
                if child is None:
                    removable = name not in nullable if name in known else other is not None and not other_nullable
                    if removable:
                        del value[name]
                elif isinstance(child, dict | list):
                    below = nested.get(name) if name in known else other
                    if below is not None:
                        below(child)
        elif item is not None and isinstance(value, list):
            for child in value:
                item(child)

    return default


def _nests(schema: Object) -> bool:
    return any(schema.get(word) for word in ("properties", "additionalProperties", "items"))


def _maker(value: object) -> Callable[[], Any]:
    if isinstance(value, dict | list):
        return partial(orjson.loads, orjson.dumps(value))
    return lambda: value
