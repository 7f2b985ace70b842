"""Structural schemas for CustomResourceDefinitions, made from pydantic's JSON Schema."""

import copy
from collections.abc import Mapping
from typing import Any, Final

from agentjobs.api.problems import PATTERN_CURES
from agentjobs.api.raw_status import crd_name

Schema = dict[str, Any]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
)


def structural(schema: Schema) -> Schema:
    """Return pydantic's JSON Schema as a structural schema: references inlined, no titles, no defaults, no null."""
    return _structural(schema, schema.get("$defs", {}))


def _raw(text: str) -> str:
    """Write `text` as a raw CEL string, which has no escapes: the text must not contain the chosen quote."""
    quote = next(quote for quote in ("'", '"', "'''", '"""') if quote not in text)
    return f"r{quote}{text}{quote}"


def _resolved(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return a schema with what it refers to, and without null as an alternative."""
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        (some,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _resolved({**some, **rest}, definitions)
    return node


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    node = _resolved(node, definitions)
    # Copied, because a shared dict would be written as a YAML anchor.
    result: Schema = {key: copy.deepcopy(node[key]) for key in _KEPT if key in node}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "const" in node:
        result["enum"] = [node["const"]]
    if node.get("type") == "integer":
        result["format"] = "int64"
    if node.get("type") == "string" and node.get("pattern") in PATTERN_CURES:
        # The message of a pattern is the pattern; the rule's message names the cure.
        pattern = node["pattern"]
        add_rule(result, f"self.matches({_raw(pattern)})", PATTERN_CURES[pattern])
    if "properties" in node:
        # The status is plain dataclasses, which have no aliases; aliases stay as they are.
        children = node["properties"].items()
        result["properties"] = {crd_name(name): _structural(child, definitions) for name, child in children}
    if "required" in node:
        result["required"] = [crd_name(name) for name in node["required"]]
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    values = node.get("additionalProperties")
    if values is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    elif isinstance(values, dict):
        result["additionalProperties"] = _structural(values, definitions)
    return result


def add_rule(node: Schema, expression: str, message: str) -> None:
    """Add a CEL rule to a schema, with its message."""
    node.setdefault("x-kubernetes-validations", []).append(rule(expression, message))


def rule(expression: str, message: str) -> Schema:
    """Return a rule in CEL."""
    return {"rule": expression, "message": message}
