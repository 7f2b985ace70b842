"""A cluster of controllers and a process node on an API server, embedded or real."""

import asyncio
import contextlib
import itertools
from types import SimpleNamespace

import pytest
import pytest_asyncio

from devcluster.client import CONFIG_MAPS, NAMESPACES, PODS, ApiError, Client, Listing
from devcluster.controllers import ClaimBinder, DefaultAccounts, GarbageCollector, NamespaceController, Scheduler
from devcluster.node import ProcessNode

SECONDS = 60.0
OWN = SimpleNamespace(namespace="default", node="process-node", shared=False, labels={}, node_options={}, placement={})
"""Namespace and node on a server that no one else uses."""


class Machine:
    """An API server with controllers and a node, and methods for tests."""

    def __init__(self, server, client, node, group, folder):
        self.server = server
        self.place = getattr(server, "place", OWN)
        self.home = self.place.namespace
        self.client = client
        self.node = node
        self.group = group
        self.folder = folder
        self._numbers = itertools.count(1)

    async def run(self, program="pass", *, namespace=None, metadata=None, container=None, **spec):
        """Create a pod that runs a Python program; return its name."""
        name, namespace = f"p{next(self._numbers)}", namespace or self.home
        command = {"name": "runner", "image": "none", "command": ["python", "-c", program], **(container or {})}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
                "containers": [command],
                **self.place.placement,
                **spec,
            },
        }
        await self.client.create(PODS, namespace, body)
        return name

    async def until(self, name, check, *, namespace=None, resource=PODS):
        """Wait until `check` holds and return the object; None is an object that is gone."""
        found, namespace = None, namespace or self.home
        async with asyncio.timeout(SECONDS):
            events = self.client.follow(resource, namespace, field_selector=f"metadata.name={name}")
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, Listing):
                        found = event.items[0] if event.items else None
                    else:
                        found = None if event.type == "DELETED" else event.object
                    if check(found):
                        return found
        raise AssertionError(f"{name} did not get there: {found}")

    async def ended(self, name):
        """Wait for the end of the pod and its containers; return the status."""
        pod = await self.until(name, lambda found: found and _ended(found["status"]))
        return pod["status"]

    async def running(self, name):
        return await self.until(name, lambda found: found and found["status"].get("phase") == "Running")

    async def gone(self, name, **where):
        await self.until(name, lambda found: found is None, **where)

    async def make(self, resource, name, body=None, *, namespace=None, **metadata):
        body = {"metadata": {"name": name, **metadata}, **(body or {})}
        group_version = f"{resource.group}/{resource.version}".lstrip("/")
        body |= {"apiVersion": group_version, "kind": resource.kind}
        return await self.client.create(resource, (namespace or self.home) if resource.namespaced else None, body)

    async def owner(self, name, **metadata):
        """Create a ConfigMap as owner; return it and a reference to it."""
        made = await self.make(CONFIG_MAPS, name, **metadata)
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]}
        return made, reference

    def another_node(self, name, **options):
        """Return a second node, which is not running, and its name."""
        name = f"{self.place.node}-{name}"
        return ProcessNode(self.client, name=name, **self.place.node_options, **options), name

    async def namespace(self):
        name = f"{self.home}-ns{next(self._numbers)}"
        await self.make(NAMESPACES, name, labels=self.place.labels)
        return name

    async def exists(self, resource, name, namespace=None):
        try:
            return await self.client.get(resource, namespace or self.home, name)
        except ApiError as error:
            if error.code != 404:
                raise
            return None


def _ended(status):
    states = [entry["state"] for entry in status.get("containerStatuses") or []]
    return status.get("phase") in ("Succeeded", "Failed") and not any("running" in state for state in states)


@pytest.fixture
def terminated():
    """Return the terminated state of a pod's only container."""
    return lambda status: status["containerStatuses"][0]["state"]["terminated"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(make_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    async with make_server(folder / "server") as server, Client(server.url, token=server.token, ca=server.ca) as client:
        place = getattr(server, "place", OWN)
        node = ProcessNode(
            client,
            name=place.node,
            folder=folder / "node",
            tls=server.node_tls,
            inherited={"FROM_HOST": "yes"},
            **place.node_options,
        )
        services = [node]
        if not place.shared:
            accounts = DefaultAccounts(client, ca=server.ca.read_text())
            services += [GarbageCollector(client), NamespaceController(client), Scheduler(client), ClaimBinder(client)]
            services += [accounts]
        tasks = [asyncio.create_task(service.run()) for service in services]
        await asyncio.wait_for(node.ready.wait(), SECONDS)
        yield Machine(server, client, node, tasks, folder)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
