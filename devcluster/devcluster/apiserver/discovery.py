"""Discovery: the groups, versions and resources of the server.

kubectl requests the aggregated documents (`/api` and `/apis` with a list of media types), kopf and most other clients
the legacy ones. Pure; nothing is cached, since CRDs are added and removed.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import Kind, Subresource, version_order

Document = dict[str, Any]

JSON: Final = "application/json"
# The version that this server was compared with. Clients read major and minor only.
VERSION: Final[Document] = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+development",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}


def document(path: str, accept: str, kinds: Iterable[Kind]) -> tuple[bytes, str] | None:
    """Return the body and content type of a discovery document; None for any other path.

    Args:
        path: without trailing slash: `/version`, `/api`, `/api/v1`, `/apis`, `/apis/GROUP` or `/apis/GROUP/VERSION`.
        accept: the header of the request.

    Raises:
        StatusError: 406 when none of the accepted types is served.
    """
    served = list(kinds)
    if path == "/version":
        return orjson.dumps(VERSION), JSON
    if path in ("/api", "/apis"):
        is_core = path == "/api"
        content_type, version = _negotiated(accept)
        if version:
            return orjson.dumps(aggregated(served, version=version, core=is_core)), content_type
        return orjson.dumps(_core_versions() if is_core else group_list(served)), JSON
    found: Document | None = None
    match path.removeprefix("/").split("/"):
        case ["api", version]:
            found = resource_list(served, "", version)
        case ["apis", group]:
            found = group_document(served, group)
        case ["apis", group, version]:
            found = resource_list(served, group, version)
    return (orjson.dumps(found), JSON) if found else None


def group_list(kinds: Sequence[Kind]) -> Document:
    """Return the legacy list of all groups except the core group, an APIGroupList."""
    groups = [_group(kinds, name) for name in _groups(kinds) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_document(kinds: Sequence[Kind], group: str) -> Document | None:
    """Return one group as an APIGroup; None when it is not served."""
    if not group or group not in _groups(kinds):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(kinds, group)}


def resource_list(kinds: Sequence[Kind], group: str, version: str) -> Document | None:
    """Return the legacy list of the resources and subresources of a version; None when it has none."""
    found = _of(kinds, group, version)
    if not found:
        return None
    resources: list[Document] = []
    for kind in found:
        resources.append(_resource(kind))
        resources.extend(
            _subresource(kind, subresource)
            for subresource in sorted(kind.subresources, key=lambda subresource: subresource.name)
        )
    api_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}


def aggregated(kinds: Sequence[Kind], *, version: str, core: bool) -> Document:
    """Return an APIGroupDiscoveryList: all resources under `/api` (core) or `/apis`.

    Args:
        version: `v2` or `v2beta1`, which differ in name only.
    """
    items = []
    for group in _groups(kinds):
        if bool(group) is core:
            continue
        versions = [
            {
                "version": name,
                "resources": [_aggregated_resource(kind) for kind in _of(kinds, group, name)],
                "freshness": "Current",
            }
            for name in _versions(kinds, group)
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": versions})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _core_versions() -> Document:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _negotiated(accept: str) -> tuple[str, str]:
    """Return the content type of the response and the version of the aggregated form, empty for the legacy form."""
    for entry in accept.split(",") if accept.strip() else [JSON]:
        media, *pairs = (part.strip() for part in entry.split(";"))
        if media not in (JSON, "application/*", "*/*"):
            continue
        parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if "as" not in parameters and "g" not in parameters:
            return JSON, ""
        version = parameters.get("v", "")
        wanted = (parameters.get("g"), parameters.get("as"))
        if wanted == ("apidiscovery.k8s.io", "APIGroupDiscoveryList") and version in ("v2", "v2beta1"):
            return f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList", version
    raise StatusError(406, f"only the following media types are accepted: {JSON}")


def _groups(kinds: Sequence[Kind]) -> list[str]:
    """Return the groups: built-in ones in their order, then those of CRDs by name."""
    built_in = [kind.group for kind in kinds if not kind.custom]
    return list(dict.fromkeys([*built_in, *sorted({kind.group for kind in kinds if kind.custom})]))


def _versions(kinds: Sequence[Kind], group: str) -> list[str]:
    return sorted({kind.version for kind in kinds if kind.group == group}, key=version_order)


def _of(kinds: Sequence[Kind], group: str, version: str) -> list[Kind]:
    found = (kind for kind in kinds if (kind.group, kind.version) == (group, version))
    return sorted(found, key=lambda kind: kind.plural)


def _group(kinds: Sequence[Kind], group: str) -> Document:
    versions = [{"groupVersion": f"{group}/{name}", "version": name} for name in _versions(kinds, group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource(kind: Kind) -> Document:
    resource: Document = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    }
    if kind.short_names:
        resource["shortNames"] = kind.short_names
    if kind.categories:
        resource["categories"] = kind.categories
    return resource


def _subresource(kind: Kind, subresource: Subresource) -> Document:
    resource: Document = {
        "name": f"{kind.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": kind.namespaced,
    }
    if subresource.group:
        resource |= {"group": subresource.group, "version": subresource.version}
    return resource | {"kind": subresource.kind, "verbs": subresource.verbs}


def _aggregated_resource(kind: Kind) -> Document:
    resource: Document = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    }
    if kind.short_names:
        resource["shortNames"] = kind.short_names
    if kind.categories:
        resource["categories"] = kind.categories
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": subresource.name,
                "responseKind": {
                    "group": subresource.group or kind.group,
                    "version": subresource.version or kind.version,
                    "kind": subresource.kind,
                },
                "verbs": subresource.verbs,
            }
            for subresource in sorted(kind.subresources, key=lambda subresource: subresource.name)
        ]
    return resource
