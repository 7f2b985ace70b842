"""Parses the path of a request into resource, object and subresource. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A path below `/api/v1` or `/apis/GROUP/VERSION`; parts that it does not have are empty."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """The path after a subresource, as in `nodes/x/proxy/metrics`."""


def parse(path: str) -> Route | None:
    """Return the route of a resource path; None for any other path.

    `namespaces` is both a resource and the prefix of all namespaced ones: `/namespaces/x` and `/namespaces/x/status`
    are paths of the namespace itself, `/namespaces/x/pods` is not.
    """
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if not all(rest):
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    padded = [*rest[:3], "", "", ""]
    return Route(group, version, padded[0], namespace, padded[1], padded[2], "/".join(rest[3:]))
