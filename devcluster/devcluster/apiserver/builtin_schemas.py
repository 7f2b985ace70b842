"""Schemas of the built-in kinds, for `kubectl explain` and the patches of `kubectl apply`.

They come from the models of the Kubernetes client, which are generated from the API's own documents; the merge keys of
lists come from `kinds`. Loading them takes about a second of CPU time, so it happens at the first request.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from devcluster.apiserver.kinds import BUILTIN, Kind, MergeRule

Document = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
META: Final = "V1ObjectMeta"

# Added by the generator of the client, not by the API.
_NOT_OF_THE_API: Final = re.compile(r"\s*Attributes:\s+openapi_types.*", re.DOTALL)
# The only union of types in the API.
_INT_OR_STRING: Final[Document] = {"type": "string", "format": "int-or-string"}
_KEPT: Final = ("type", "format", "required")


@dataclass(frozen=True, slots=True)
class Schemas:
    """Schemas of kinds, and the components that they refer to."""

    kinds: Mapping[Kind, Document]
    components: Mapping[str, Document]

    def behind(self, schema: object) -> dict[str, Document]:
        """Return the components that a schema refers to, directly or through others."""
        found: dict[str, Document] = {}
        waiting = list(_references(schema))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.components[name]
                waiting += _references(found[name])
        return found


@functools.cache
def load() -> Schemas:
    """Return the schemas of all built-in kinds. The first call takes a second; safe to call from any thread."""
    from kubernetes.aio.client import models

    kinds: dict[Kind, Document] = {}
    components: dict[str, Document] = {}
    for kind in BUILTIN:
        # Two groups have a kind with this name.
        model = getattr(models, "CoreV1Event" if kind.kind == "Event" else f"V1{kind.kind}")
        whole = model.model_json_schema(by_alias=True, ref_template=PREFIX + "{model}")
        kinds[kind] = _schema(whole)
        components |= {name: _schema(schema) for name, schema in whole["$defs"].items() if name not in components}
    for kind, own in kinds.items():
        for path, rule in kind.merge_rules.items():
            _mark(own, path, rule, components)
    return Schemas(kinds, components)


def _schema(node: Mapping[str, Any]) -> Document:
    """Convert a pydantic schema to the API server's form: no null, no titles, references next to descriptions."""
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    some = options[0] if len(options) == 1 else _INT_OR_STRING if options else {}
    node = {**some, **{key: value for key, value in node.items() if key != "anyOf"}}
    result: Document = {key: node[key] for key in _KEPT if key in node}
    if words := _NOT_OF_THE_API.sub("", node.get("description", "")):
        result["description"] = words
    if "$ref" in node:
        result["allOf"] = [{"$ref": node["$ref"]}]
    if "items" in node:
        result["items"] = _schema(node["items"])
    if "properties" in node:
        result["properties"] = {name: _schema(schema) for name, schema in node["properties"].items()}
    elif isinstance(node.get("additionalProperties"), Mapping):
        result["additionalProperties"] = _schema(node["additionalProperties"])
    return result


def _mark(own: Document, path: str, rule: MergeRule, components: Mapping[str, Document]) -> None:
    """Add the merge key to the list at `path`; the path has no step for the elements of lists."""
    node = own
    for step in path.split("."):
        while "allOf" in node or "items" in node:
            node = components[node["allOf"][0]["$ref"].removeprefix(PREFIX)] if "allOf" in node else node["items"]
        node = node["properties"][step]
    node["x-kubernetes-patch-strategy"] = "merge,retainKeys" if rule.retain_keys else "merge"
    if rule.key is not None:
        node["x-kubernetes-patch-merge-key"] = rule.key


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(PREFIX)
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
