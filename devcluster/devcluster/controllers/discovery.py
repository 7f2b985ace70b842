"""Reads which kinds a server serves, by the discovery API that every version of Kubernetes has."""

import asyncio

from devcluster.client import ApiError, Client, Object, Resource

_NEEDED = {"list", "watch", "delete"}


async def discover(client: Client) -> list[Resource]:
    """Return every kind that can be listed, watched and deleted, in its group's preferred version.

    Groups that cannot be read are left out: an aggregated API whose server is down must not stop the others.
    """
    groups = (await client.request("GET", "/apis")).get("groups") or []
    versions = [("", "v1")] + [(group["name"], group["preferredVersion"]["version"]) for group in groups]
    found = await asyncio.gather(*(_resources(client, group, version) for group, version in versions))
    return [resource for resources in found for resource in resources]


async def _resources(client: Client, group: str, version: str) -> list[Resource]:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    try:
        answer = await client.request("GET", path)
    except ApiError:
        return []
    return [
        Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])
        for entry in answer.get("resources") or []
        if "/" not in entry["name"] and set(entry.get("verbs") or []) >= _NEEDED
    ]


def group_of(api_version: str) -> str:
    """Return the group of an `apiVersion`: `apps` of `apps/v1`, empty of `v1`."""
    group, slash, _ = api_version.partition("/")
    return group if slash else ""


def owners_of(item: Object) -> list[Object]:
    """Return the owner references of an object."""
    references: list[Object] = item["metadata"].get("ownerReferences") or []
    return references
