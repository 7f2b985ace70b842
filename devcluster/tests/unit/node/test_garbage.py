"""The garbage collector with kinds that it cannot always read."""

import asyncio

import pytest

from devcluster.client import ApiError, Listing
from devcluster.controllers import GarbageCollector

pytestmark = pytest.mark.looptime

VERBS = ["list", "watch", "delete"]
OWNER = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "gone", "uid": "1"}
CHILD = {"metadata": {"namespace": "default", "name": "child", "uid": "2", "ownerReferences": [OWNER]}}


class Server:
    """Serves Secrets and Things, but lists the Things at the second request only."""

    def __init__(self):
        self.asked = 0
        self.deleted = []

    async def request(self, method, path):
        if path == "/apis":
            return {"groups": [{"name": "example.com", "preferredVersion": {"version": "v1"}}]}
        if path == "/api/v1":
            return {"resources": [{"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": VERBS}]}
        self.asked += 1
        if self.asked == 1:
            raise ApiError(503, "ServiceUnavailable", "not yet")
        return {"resources": [{"name": "things", "kind": "Thing", "namespaced": True, "verbs": VERBS}]}

    async def follow(self, resource):
        if resource.kind != "CustomResourceDefinition":  # the CRDs do not change, so no event starts a new discovery
            yield Listing([CHILD] if resource.kind == "Secret" else [])
        await asyncio.Event().wait()

    async def get(self, resource, namespace, name):
        if resource.kind == "Secret":
            return CHILD
        raise ApiError(404, "NotFound", "no such thing")

    async def delete(self, resource, namespace, name, **how):
        self.deleted.append(name)


async def test_a_kind_that_was_not_listed_at_first_is_discovered_later():
    server = Server()
    collector = asyncio.create_task(GarbageCollector(server).run())
    await asyncio.sleep(30)
    collector.cancel()

    assert server.deleted == ["child"]
