"""OpenAPI documents, as far as kubectl needs them for apply, edit and explain. Pure; built for each request.

If a patch operation has `fieldValidation`, kubectl leaves the validation to the server. `explain` and the patches of
`apply` read the schema of a custom resource or of `builtin_schemas`.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

import orjson

from devcluster.apiserver import builtin_schemas
from devcluster.apiserver.kinds import Kind

Document = dict[str, Any]

JSON: Final = "application/json"
# Go's MIME parser fails on the `@` in the Accept header for this type.
V2_CONTENT_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

_PATCHES: Final = ("application/json-patch+json", "application/merge-patch+json")
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_STRING: Final[Document] = {"type": "string"}
_TYPE_META: Final[Document] = {
    "apiVersion": {**_STRING, "description": "Group and version of this representation of the object."},
    "kind": {**_STRING, "description": "What the object is, in CamelCase. Cannot be updated."},
}


def document(path: str, schemas: Mapping[Kind, Document | None]) -> tuple[bytes, str] | None:
    """Return the body and content type of an OpenAPI document; None for any other path.

    Args:
        path: `/openapi/v2`, `/openapi/v3` or `/openapi/v3/apis/GROUP/VERSION` (`/openapi/v3/api/v1`), without query.
        schemas: every served kind, with the raw `openAPIV3Schema` if it has one.
    """
    if path == "/openapi/v2":
        # An empty message is a valid, empty document, without which kubectl 1.27 and 1.28 fail.
        return b"", V2_CONTENT_TYPE
    if path == "/openapi/v3":
        return orjson.dumps(index(schemas)), JSON
    root = path.removeprefix("/openapi/v3")
    if root == path or root not in _roots(schemas):
        return None
    return orjson.dumps(group_version(root, schemas)), JSON


def index(schemas: Mapping[Kind, Document | None]) -> Document:
    """Return the list of documents; the hash in each URL changes with the document."""
    paths = {}
    for root in _roots(schemas):
        # A hash of the document's source; for built-in kinds that is the installed client.
        parts = [[repr(kind), raw] for kind, raw in schemas.items() if kind.root == root]
        digest = hashlib.sha256(orjson.dumps([version("kubernetes"), parts])).hexdigest().upper()
        paths[root.removeprefix("/")] = {"serverRelativeURL": f"/openapi/v3{root}?hash={digest}"}
    return {"paths": paths}


def group_version(root: str, schemas: Mapping[Kind, Document | None]) -> Document:
    """Return the document of one group and version by its root path, such as `/apis/example.com/v1`."""
    paths: Document = {}
    components: Document = {}
    known = builtin_schemas.load()
    for kind, raw in schemas.items():
        if kind.root == root:
            paths |= _paths(kind)
            schema = _of_custom(raw) if kind.custom else known.kinds[kind]
            components |= known.behind(schema)
            components[_component(kind)] = schema | {"x-kubernetes-group-version-kind": [_gvk(kind)]}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes development server", "version": "v1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _roots(schemas: Iterable[Kind]) -> list[str]:
    return list(dict.fromkeys(kind.root for kind in schemas))


def _component(kind: Kind) -> str:
    reversed_group = ".".join(reversed(kind.group.split("."))) if kind.group else "io.k8s.api.core"
    return f"{reversed_group}.{kind.version}.{kind.kind}"


def _paths(kind: Kind) -> Document:
    collection = f"{kind.root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else kind.path()
    paths: Document = {collection: {"post": _operation(kind, "post")} if "create" in kind.verbs else {}}
    if "list" in kind.verbs:
        paths[collection]["get"] = _operation(kind, "list")
    if "get" in kind.verbs:
        actions = {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}
        paths[f"{collection}/{{name}}"] = {verb: _operation(kind, action) for verb, action in actions.items()}
    if kind.status_subresource:
        actions = {"get": "get", "put": "put", "patch": "patch"}
        paths[f"{collection}/{{name}}/status"] = {verb: _operation(kind, action) for verb, action in actions.items()}
    return paths


def _operation(kind: Kind, action: str) -> Document:
    reference = {"$ref": f"#/components/schemas/{_component(kind)}"}
    operation: Document = {
        "responses": {"200": {"description": "OK", "content": {JSON: {"schema": reference}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
    if action in ("post", "put", "patch"):
        names = ("dryRun", "fieldManager", "fieldValidation")
        operation["parameters"] = [{"name": name, "in": "query", "schema": _STRING} for name in names]
        patches = _PATCHES if kind.custom else (*_PATCHES, _STRATEGIC)
        types = patches if action == "patch" else (JSON, "application/yaml")
        body = {"type": "object"} if action == "patch" else reference
        operation["requestBody"] = {"content": {media_type: {"schema": body} for media_type in types}, "required": True}
    return operation


def _gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _of_custom(raw: Document | None) -> Document:
    schema: Document = copy.deepcopy(raw) if raw else {"type": "object"}
    metadata = {
        "description": "Standard object's metadata.",
        "allOf": [{"$ref": builtin_schemas.PREFIX + builtin_schemas.META}],
    }
    return schema | {"properties": {**_TYPE_META, **(schema.get("properties") or {}), "metadata": metadata}}
