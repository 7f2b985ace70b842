"""Deletes namespaces: deletes the objects of one that is being deleted, then removes its finalizer `kubernetes`."""

import asyncio

from devcluster.client import NAMESPACES, ApiError, Client, Resource
from devcluster.controllers.discovery import discover
from devcluster.controllers.keyed import KeyedQueue

_FINALIZER = "kubernetes"
# The remaining objects usually wait for the end of a process or for a finalizer.
_RECHECK_SECONDS = 0.2


class NamespaceController:
    """Run it as a task; it ends by cancellation."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: KeyedQueue[str] = KeyedQueue(self._finish, workers=2)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        async for event in self._client.follow(NAMESPACES):
            for namespace in event.items:
                if namespace["metadata"].get("deletionTimestamp"):
                    self._queue.add(namespace["metadata"]["name"])

    async def _finish(self, name: str) -> float | None:
        try:
            namespace = await self._client.get(NAMESPACES, None, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        finalizers = namespace["spec"].get("finalizers") or []
        if not namespace["metadata"].get("deletionTimestamp") or _FINALIZER not in finalizers:
            return None
        resources = [resource for resource in await discover(self._client) if resource.namespaced]
        left = await asyncio.gather(*(self._empty(resource, name) for resource in resources))
        if any(left):
            return _RECHECK_SECONDS
        namespace["spec"]["finalizers"] = [entry for entry in finalizers if entry != _FINALIZER]
        await self._client.replace(NAMESPACES, None, name, namespace, subresource="finalize")
        return None

    async def _empty(self, resource: Resource, namespace: str) -> int:
        """Delete all objects that are not being deleted; return the number of objects."""
        items, _ = await self._client.list(resource, namespace)
        for item in items:
            if not item["metadata"].get("deletionTimestamp"):
                try:
                    await self._client.delete(resource, namespace, item["metadata"]["name"], propagation="Background")
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise
        return len(items)
