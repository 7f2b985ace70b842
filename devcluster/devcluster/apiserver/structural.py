"""Checks that the schema of a CustomResourceDefinition is structural.

It walks the raw `openAPIV3Schema` and collects the errors of kube-apiserver 1.36, with its messages: unknown keywords
are removed and reported, wrong types are a 400, other errors are causes of a 422.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from devcluster.apiserver import rules
from devcluster.apiserver.errors import Cause
from devcluster.apiserver.formats import go_pattern
from devcluster.apiserver.schema import MAX_DEPTH, Schema, SchemaError, depth_of
from devcluster.apiserver.validators import format_value

Raw = dict[str, Any]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES: Final = ("atomic", "set", "map")
_MAP_TYPES: Final = ("atomic", "granular")
_NARROWINGS: Final = ("allOf", "anyOf", "oneOf")
_RULE_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
# The type of each keyword's value; `schema`, `schemas` and `named` contain schemas.
_KEYWORDS: Final = {
    "$ref": "string",
    "$schema": "string",
    "additionalItems": "any",
    "additionalProperties": "any",
    "allOf": "schemas",
    "anyOf": "schemas",
    "default": "any",
    "definitions": "any",
    "dependencies": "any",
    "description": "string",
    "enum": "array",
    "example": "any",
    "exclusiveMaximum": "boolean",
    "exclusiveMinimum": "boolean",
    "externalDocs": "object",
    "format": "string",
    "id": "string",
    "items": "any",
    "maxItems": "integer",
    "maxLength": "integer",
    "maxProperties": "integer",
    "maximum": "number",
    "minItems": "integer",
    "minLength": "integer",
    "minProperties": "integer",
    "minimum": "number",
    "multipleOf": "number",
    "not": "schema",
    "nullable": "boolean",
    "oneOf": "schemas",
    "pattern": "string",
    "patternProperties": "any",
    "properties": "named",
    "required": "strings",
    "title": "string",
    "type": "string",
    "uniqueItems": "boolean",
    "x-kubernetes-embedded-resource": "boolean",
    "x-kubernetes-int-or-string": "boolean",
    "x-kubernetes-list-map-keys": "strings",
    "x-kubernetes-list-type": "string",
    "x-kubernetes-map-type": "string",
    "x-kubernetes-preserve-unknown-fields": "boolean",
    "x-kubernetes-validations": "array",
}
_PYTHON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "strings": (list,),
    "schemas": (list,),
    "object": (dict,),
    "schema": (dict,),
    "named": (dict,),
}
_FORBIDDEN: Final = {
    "$ref": "$ref is not supported",
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "patternProperties": "patternProperties is not supported",
}
# Keywords that are not allowed below anyOf, allOf, oneOf and not, where a schema may only restrict values.
_UNDEFINED_IN_NARROWING: Final = ("additionalProperties", "default", "description", "nullable", "title", "type")


class WrongType(ValueError):
    """The value of a keyword has the wrong type; the message has the field and the expected type."""


def remove_unknown(schema: Raw, path: str) -> list[str]:
    """Remove unknown keywords and nulls, in place; return the paths of the unknown ones.

    Raises:
        WrongType: the value of a keyword has the wrong type, or the schema nests too deeply.
    """
    if depth_of(schema, MAX_DEPTH) > MAX_DEPTH:
        raise WrongType(f"{path}: nested deeper than {MAX_DEPTH} levels")
    return _remove_unknown(schema, path)


def problems(schema: Raw, path: str) -> list[Cause]:
    """Return why the schema of a version is not structural or refused for other reasons."""
    found = _Causes()
    if not schema.get("type"):
        if not _may_be_untyped(schema):
            found.required(f"{path}.type", "must not be empty at the root")
    elif schema["type"] != "object":
        found.invalid(f"{path}.type", schema["type"], "must be object at the root")
    for key in ("default", "additionalProperties"):
        if schema.get(key) is not None:
            found.forbidden(f"{path}.{key}", "must not be used at the root")
    if schema.get("nullable"):
        found.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    for at, narrowing in _narrowings(schema, path):
        _check_complete(narrowing, at, schema, path, found)
    _check(schema, path, found, is_root=True)
    metadata = (schema.get("properties") or {}).get("metadata")
    if metadata is not None:
        _check_metadata(metadata, f"{path}.properties[metadata]", found)
    if not found.causes:
        _check_defaults(schema, path, found)
        found.causes += rules.problems(schema, path)
    return found.causes


@dataclass(slots=True)
class _Causes:
    causes: list[Cause] = field(default_factory=list)

    def add(self, reason: str, at: str, message: str) -> None:
        self.causes.append({"reason": f"FieldValue{reason}", "message": message, "field": at})

    def required(self, at: str, message: str) -> None:
        self.add("Required", at, f"Required value: {message}")

    def forbidden(self, at: str, message: str) -> None:
        self.add("Forbidden", at, f"Forbidden: {message}")

    def invalid(self, at: str, value: object, message: str) -> None:
        self.add("Invalid", at, f"Invalid value: {format_value(value)}: {message}")

    def unsupported(self, at: str, value: object, supported: tuple[str, ...]) -> None:
        listed = ", ".join(f'"{name}"' for name in supported)
        self.add("NotSupported", at, f"Unsupported value: {format_value(value)}: supported values: {listed}")


def _remove_unknown(schema: Raw, path: str) -> list[str]:
    dropped: list[str] = []
    for key, value in list(schema.items()):
        wanted = _KEYWORDS.get(key)
        if wanted is None or value is None:
            del schema[key]
            if wanted is None:
                dropped.append(f"{path}.{key}")
            continue
        _require_type(value, wanted, f"{path}.{key}")
    for at, child in _below(schema, path, lambda base, name: f"{base}.{name}"):
        dropped += _remove_unknown(child, at)
    return dropped


def _require_type(value: object, wanted: str, path: str) -> None:
    accepted = _PYTHON_TYPES.get(wanted)
    if accepted is None:
        return
    good = isinstance(value, accepted) and (wanted == "boolean" or not isinstance(value, bool))
    children: list[object] = []
    if wanted in ("schemas", "strings") and isinstance(value, list):
        children = value
    elif wanted == "named" and isinstance(value, dict):
        children = list(value.values())
    inner = str if wanted == "strings" else dict
    if not good or not all(isinstance(child, inner) for child in children):
        expected = _EXPECTED.get(wanted, f"a value of type {wanted}")
        raise WrongType(f"{path}: expected {expected}, got {format_value(value)}")


_EXPECTED: Final = {
    "strings": "an array of strings",
    "schemas": "an array of schemas",
    "named": "an object of schemas",
    "schema": "a schema",
}


def _below(schema: Raw, path: str, join: Any) -> Iterator[tuple[str, Raw]]:
    """Yield every direct child schema with its path; `join` makes the path of a property."""
    for name, child in (schema.get("properties") or {}).items():
        yield join(f"{path}.properties", name), child
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield f"{path}.{key}", schema[key]
    for key in _NARROWINGS:
        for index, child in enumerate(schema.get(key) or []):
            yield f"{path}.{key}[{index}]", child


def _bracketed(base: str, name: str) -> str:
    return f"{base}[{name}]"


def _check(schema: Raw, path: str, found: _Causes, *, is_root: bool = False) -> None:
    _check_keywords(schema, path, found)
    _check_extensions(schema, path, found)
    for at, child in _below(schema, path, _bracketed):
        if any(child is narrowing for _, narrowing in _narrowings(schema, path)):
            _check_narrowing(child, at, found, typed=_may_narrow_type(schema, child))
            continue
        _check(child, at, found)
        if not child.get("type") and not _may_be_untyped(child):
            where = "array items" if at == f"{path}.items" else "object fields"
            found.required(f"{at}.type", f"must not be empty for specified {where}")
    if not is_root and schema.get("type") == "array" and not isinstance(schema.get("items"), dict | list):
        found.required(f"{path}.items", "must be specified")


def _narrowings(schema: Raw, path: str) -> Iterator[tuple[str, Raw]]:
    for key in _NARROWINGS:
        for index, child in enumerate(schema.get(key) or []):
            yield f"{path}.{key}[{index}]", child
    if isinstance(schema.get("not"), dict):
        yield f"{path}.not", schema["not"]


def _may_narrow_type(schema: Raw, child: Raw) -> bool:
    """Return whether the child is part of an int-or-string in the one form that may have types."""
    if not schema.get("x-kubernetes-int-or-string"):
        return False
    if schema.get("anyOf") == _INT_OR_STRING:
        return any(child is option for option in schema["anyOf"])
    first = (schema.get("allOf") or [{}])[0]
    return child is first and first.get("anyOf") == _INT_OR_STRING


def _check_complete(narrowing: Raw, at: str, schema: Raw, path: str, found: _Causes) -> None:
    """Check that fields in a narrowing of the root are also defined outside of it."""
    message = "because it is defined in"
    if isinstance(narrowing.get("items"), dict):
        if not isinstance(schema.get("items"), dict):
            found.required(f"{path}.items", f"{message} {at}.items")
        else:
            _check_complete(narrowing["items"], f"{at}.items", schema["items"], f"{path}.items", found)
    defined = schema.get("properties") or {}
    for name, child in (narrowing.get("properties") or {}).items():
        below = f"{at}.properties[{name}]"
        if name in defined:
            _check_complete(child, below, defined[name], f"{path}.properties[{name}]", found)
        elif schema.get("additionalProperties") is None:
            found.required(f"{path}.properties[{name}]", f"{message} {below}")
    for nested, child in _narrowings(narrowing, at):
        _check_complete(child, nested, schema, path, found)


def _may_be_untyped(schema: Raw) -> bool:
    return bool(schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields"))


def _check_keywords(schema: Raw, path: str, found: _Causes) -> None:
    declared = schema.get("type")
    if declared and declared not in _TYPES:
        found.unsupported(f"{path}.type", declared, _TYPES)
    for key, message in _FORBIDDEN.items():
        if schema.get(key):
            found.forbidden(f"{path}.{key}", message)
    if schema.get("uniqueItems"):
        message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.forbidden(f"{path}.uniqueItems", message)
    if isinstance(schema.get("items"), list):
        found.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if schema.get("properties") and schema.get("additionalProperties"):
        message = "additionalProperties and properties are mutual exclusive"
        found.forbidden(f"{path}.additionalProperties", message)
    if schema.get("pattern"):
        try:
            go_pattern(schema["pattern"])
        except ValueError as error:
            message = f"must be a valid regular expression, but isn't: {error}"
            found.invalid(f"{path}.pattern", schema["pattern"], message)
    if schema.get("$schema"):
        found.invalid(path, "", "OpenAPIV3Schema 'schema' is not supported")
    _check_rules(schema.get("x-kubernetes-validations") or [], path, found)


def _check_rules(rules: list[Any], path: str, found: _Causes) -> None:
    for index, rule in enumerate(rules):
        at = f"{path}.x-kubernetes-validations[{index}]"
        if not isinstance(rule, dict) or not str(rule.get("rule") or "").strip():
            found.required(f"{at}.rule", "rule is not specified")
        elif rule.get("reason") and rule["reason"] not in _RULE_REASONS:
            found.unsupported(f"{at}.reason", rule["reason"], _RULE_REASONS)


def _check_extensions(schema: Raw, path: str, found: _Causes) -> None:
    preserve = schema.get("x-kubernetes-preserve-unknown-fields")
    if preserve is False:
        found.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", preserve, "must be true or undefined")
    if schema.get("x-kubernetes-embedded-resource"):
        if schema.get("type") != "object":
            message = "must be object if x-kubernetes-embedded-resource is true"
            found.invalid(f"{path}.type", schema.get("type") or "", message)
        if not schema.get("properties") and not preserve:
            message = (
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            )
            found.required(f"{path}.properties", message)
    if preserve and schema.get("x-kubernetes-int-or-string"):
        message = "must be false if x-kubernetes-int-or-string is true"
        found.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", preserve, message)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type and map_type not in _MAP_TYPES:
        found.unsupported(f"{path}.x-kubernetes-map-type", map_type, _MAP_TYPES)
    for key, wanted in (("x-kubernetes-map-type", "object"), ("x-kubernetes-list-type", "array")):
        if schema.get(key) and schema.get("type") != wanted:
            found.invalid(f"{path}.type", schema.get("type") or "", f"must be {wanted} if {key} is specified")
    _check_list_type(schema, path, found)


def _check_list_type(schema: Raw, path: str, found: _Causes) -> None:
    kind = schema.get("x-kubernetes-list-type")
    if schema.get("x-kubernetes-list-map-keys") and kind != "map":
        message = "must be map if x-kubernetes-list-map-keys is non-empty"
        if kind:
            found.invalid(f"{path}.x-kubernetes-list-type", kind, message)
        else:
            found.required(f"{path}.x-kubernetes-list-type", message)
    if kind and kind not in _LIST_TYPES:
        found.unsupported(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES)
    elif kind == "map":
        _check_list_map(schema, path, found)
    elif kind == "set":
        _check_set(schema, path, found)


def _check_list_map(schema: Raw, path: str, found: _Causes) -> None:
    keys = schema.get("x-kubernetes-list-map-keys") or []
    items = schema.get("items")
    if not keys:
        message = "must not be empty if x-kubernetes-list-type is map"
        found.required(f"{path}.x-kubernetes-list-map-keys", message)
    elif len(set(keys)) != len(keys):
        found.invalid(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")
    if not isinstance(items, dict):
        return
    if items.get("nullable"):
        found.forbidden(f"{path}.items.nullable", "cannot be nullable when x-kubernetes-list-type is map")
    if items.get("type") != "object":
        message = "must be object if parent array's x-kubernetes-list-type is map"
        found.invalid(f"{path}.items.type", items.get("type") or "", message)
        return
    properties = items.get("properties") or {}
    if any(key not in properties for key in keys):
        message = "entries must all be names of item properties"
        found.invalid(f"{path}.x-kubernetes-list-map-keys", keys, message)
        return
    for key in dict.fromkeys(keys):
        if (declared := properties[key].get("type")) in ("array", "object"):
            message = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            found.invalid(f"{path}.items.properties[{key}].type", declared, message)
        if key not in (items.get("required") or []) and "default" not in properties[key]:
            message = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            found.required(f"{path}.items.properties[{key}].default", message)


def _check_set(schema: Raw, path: str, found: _Causes) -> None:
    items = schema.get("items")
    if not isinstance(items, dict):
        return
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        message = "must be atomic as item of a list with x-kubernetes-list-type=set"
        found.invalid(f"{path}.items.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), message)
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") != "atomic":
        message = "must be atomic as item of a list with x-kubernetes-list-type=set"
        found.invalid(f"{path}.items.x-kubernetes-list-type", items.get("x-kubernetes-list-type"), message)


def _check_narrowing(schema: Raw, path: str, found: _Causes, *, typed: bool) -> None:
    _check_keywords({key: value for key, value in schema.items() if key != "type"}, path, found)
    for key in _UNDEFINED_IN_NARROWING:
        if key not in schema or (key == "type" and typed):
            continue
        state = "empty" if key in ("description", "title", "type") else "false" if key == "nullable" else "undefined"
        if schema[key] or state == "undefined":
            found.forbidden(f"{path}.{key}", f"must be {state} to be structural")
    for key in schema:
        if key.startswith("x-kubernetes-") and schema[key]:
            found.forbidden(f"{path}.{key}", "must be undefined to be structural")
    for at, child in _below(schema, path, _bracketed):
        _check_narrowing(child, at, found, typed=typed and at.startswith(f"{path}.anyOf["))


def _check_metadata(metadata: Raw, path: str, found: _Causes) -> None:
    if metadata.get("type") != "object":
        found.invalid(f"{path}.type", metadata.get("type") or "", "must be object")
    properties = metadata.get("properties") or {}
    for at, child in (
        (path, metadata),
        *((f"{path}.properties[{name}]", property_schema) for name, property_schema in properties.items()),
    ):
        if "default" in child:
            found.forbidden(f"{at}.default", "must not be set in top-level metadata")
    if set(properties) - {"name", "generateName"} or set(metadata) - {"type", "properties", "default"}:
        message = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        found.forbidden(path, message)


def _check_defaults(schema: Raw, path: str, found: _Causes) -> None:
    for at, child in _below(schema, path, _bracketed):
        _check_defaults(child, at, found)
        default = child.get("default")
        if default is None:
            continue
        try:
            compiled = Schema({"type": "object", "properties": {"default": child}})
        except SchemaError as error:
            found.invalid(f"{at}.default", default, str(error))
            continue
        if compiled.prune({"default": _copied(default)}):
            found.invalid(f"{at}.default", default, "must not have unknown fields")
        for cause in compiled.validate({"default": default}):
            message = cause["message"].replace("default in body", " in body")
            found.causes.append(cause | {"message": message, "field": f"{at}.{cause['field']}"})


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(child) for key, child in value.items()}
    return [_copied(child) for child in value] if isinstance(value, list) else value
