"""The garbage collector: deletes objects whose owners are gone, with background, foreground or orphan propagation.

Watches on every kind update a graph of owner references. It only determines which objects to examine: before a delete,
the object and every owner that is not in the graph are read from the server, and the DELETE has a uid, so that a new
object of the same name is never deleted.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from devcluster.client import CRDS, EVENTS, ApiError, Client, Listing, Object, Resource, WatchEvent
from devcluster.controllers.discovery import discover, group_of, owners_of
from devcluster.controllers.keyed import KeyedQueue

logger = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
# A new CRD is served a moment after its creation, later on a real server than on the embedded one.
_REDISCOVER_SECONDS = 0.3
_UNKNOWN_KIND_SECONDS = 5.0
_RECHECK_SECONDS = 10.0


@dataclass(slots=True)
class _Node:
    resource: Resource
    namespace: str | None
    name: str
    uid: str
    owners: list[Object] = field(default_factory=list)
    deleting: bool = False
    finalizers: list[str] = field(default_factory=list)

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers


@dataclass(slots=True)
class _Owners:
    solid: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)
    dangling: list[Object] = field(default_factory=list)


class GarbageCollector:
    """Run it as a task; it ends by cancellation."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._nodes: dict[str, _Node] = {}
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)
        self._resources: dict[tuple[str, str], Resource] = {}
        self._watches: dict[Resource, asyncio.Task[None]] = {}
        self._synced: set[Resource] = set()
        self._queue: KeyedQueue[str] = KeyedQueue(self._process)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._keep_watches(group))
            group.create_task(self._rediscover_periodically(group))

    async def _keep_watches(self, group: asyncio.TaskGroup) -> None:
        """Watch every kind; discover kinds again when a CRD changes."""
        await self._rediscover(group)
        async for _ in self._client.follow(CRDS):
            await asyncio.sleep(_REDISCOVER_SECONDS)
            await self._rediscover(group)

    async def _rediscover_periodically(self, group: asyncio.TaskGroup) -> None:
        """Discover kinds again from time to time: a server that has just started may not list every kind."""
        while True:
            await asyncio.sleep(_RECHECK_SECONDS)
            await self._rediscover(group)

    async def _rediscover(self, group: asyncio.TaskGroup) -> None:
        try:
            found = await discover(self._client)
        except ApiError as error:
            logger.debug("discovery.failed", extra={"error": str(error)})
            return
        self._resources = {(resource.group, resource.kind): resource for resource in found}
        wanted = {resource for resource in found if resource.plural != EVENTS.plural}
        for resource in set(self._watches) - wanted:
            self._watches.pop(resource).cancel()
            self._synced.discard(resource)
            self._forget([node for node in self._nodes.values() if node.resource == resource])
        for resource in wanted - set(self._watches):
            self._watches[resource] = group.create_task(self._watch(resource))

    async def _watch(self, resource: Resource) -> None:
        async for event in self._client.follow(resource):
            if isinstance(event, WatchEvent):
                if event.type == "DELETED":
                    self._forget([self._nodes.get(event.object["metadata"]["uid"])])
                else:
                    self._note(resource, event.object)
                continue
            self._relist(resource, event)

    def _relist(self, resource: Resource, listing: Listing) -> None:
        present = {item["metadata"]["uid"] for item in listing.items}
        self._forget([node for node in self._nodes.values() if node.resource == resource and node.uid not in present])
        for item in listing.items:
            self._note(resource, item)
        if resource not in self._synced:
            self._synced.add(resource)
            for node in self._nodes.values():
                if node.deleting:
                    self._queue.add(node.uid)

    def _note(self, resource: Resource, item: Object) -> None:
        metadata = item["metadata"]
        uid = metadata["uid"]
        before = self._nodes.get(uid)
        node = _Node(
            resource,
            metadata.get("namespace"),
            metadata["name"],
            uid,
            owners_of(item),
            bool(metadata.get("deletionTimestamp")),
            metadata.get("finalizers") or [],
        )
        for owner in before.owners if before else []:
            self._dependents[owner["uid"]].discard(uid)
        for owner in node.owners:
            self._dependents[owner["uid"]].add(uid)
        self._nodes[uid] = node
        if node.owners or node.deleting:
            self._queue.add(uid)

    def _forget(self, nodes: Iterable[_Node | None]) -> None:
        for node in nodes:
            if node is None or self._nodes.pop(node.uid, None) is None:
                continue
            for owner in node.owners:
                self._dependents[owner["uid"]].discard(node.uid)
                self._queue.add(owner["uid"])
            for dependent in self._dependents.pop(node.uid, set()):
                self._queue.add(dependent)

    async def _process(self, uid: str) -> float | None:
        node = self._nodes.get(uid)
        if node is None:
            return None
        if node.deleting:
            if not set(self._watches) <= self._synced:
                return _REDISCOVER_SECONDS  # a kind that was not read yet may have dependents
            if ORPHAN in node.finalizers:
                await self._orphan_dependents(node)
            elif FOREGROUND in node.finalizers:
                await self._delete_dependents(node)
            return None
        return await self._collect(node) if node.owners else None

    async def _delete_dependents(self, owner: _Node) -> None:
        """Delete the dependents of an owner in the foreground; remove the owner when none of them blocks it."""
        dependents = [self._nodes[uid] for uid in self._dependents.get(owner.uid, set()) if uid in self._nodes]
        blocking = [
            node
            for node in dependents
            if any(ref["uid"] == owner.uid and ref.get("blockOwnerDeletion") for ref in node.owners)
        ]
        if not blocking:
            await self._drop_finalizer(owner, FOREGROUND)
        for node in dependents:
            if not node.deleting:
                self._queue.add(node.uid)

    async def _orphan_dependents(self, owner: _Node) -> None:
        for uid in list(self._dependents.get(owner.uid, set())):
            node = self._nodes.get(uid)
            live = None if node is None else await self._live(node)
            if node is not None and live is not None:
                await self._keep_owners(node, live, [ref for ref in owners_of(live) if ref["uid"] != owner.uid])
        await self._drop_finalizer(owner, ORPHAN)

    async def _collect(self, node: _Node) -> float | None:
        """Delete an object if none of its owners exists, else remove references to owners that are gone."""
        if all(self._is_solid(node, ref) for ref in node.owners):
            return None
        live = await self._live(node)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return None
        owners = await self._classify(node, owners_of(live))
        if owners is None:
            return _UNKNOWN_KIND_SECONDS
        if owners.solid:
            if owners.dangling or owners.waiting:
                await self._keep_owners(node, live, owners.solid)
            return None
        if not owners.waiting and not owners.dangling:
            return None
        await self._delete(node, live, foreground=bool(owners.waiting and self._dependents.get(node.uid)))
        return None

    def _is_solid(self, node: _Node, reference: Object) -> bool:
        owner = self._nodes.get(reference["uid"])
        return (
            owner is not None
            and not owner.waits_for_dependents
            and owner.name == reference["name"]
            and owner.resource.kind == reference["kind"]
            and owner.namespace in (None, node.namespace)
        )

    async def _classify(self, node: _Node, references: list[Object]) -> _Owners | None:
        """Sort owners by whether they exist; None when a kind is not known yet."""
        owners = _Owners()
        for reference in references:
            if self._is_solid(node, reference):
                owners.solid.append(reference)
                continue
            resource = self._resources.get((group_of(reference["apiVersion"]), reference["kind"]))
            if resource is None:
                return None
            if resource.namespaced and node.namespace is None:
                owners.solid.append(reference)  # invalid, which is never a reason to delete
                continue
            probe = _Node(
                resource, node.namespace if resource.namespaced else None, reference["name"], reference["uid"]
            )
            owner = await self._live(probe)
            if owner is None:
                owners.dangling.append(reference)
            elif owner["metadata"].get("deletionTimestamp") and FOREGROUND in (
                owner["metadata"].get("finalizers") or []
            ):
                owners.waiting.append(reference)
            else:
                owners.solid.append(reference)
        return owners

    async def _live(self, node: _Node) -> Object | None:
        """Read the object; None when it is gone or its name has another uid."""
        try:
            found = await self._client.get(node.resource, node.namespace, node.name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return found if found["metadata"]["uid"] == node.uid else None

    async def _delete(self, node: _Node, live: Object, *, foreground: bool) -> None:
        finalizers = live["metadata"].get("finalizers") or []
        policy = "Background"
        if foreground or FOREGROUND in finalizers:
            policy = "Foreground"
        elif ORPHAN in finalizers:
            policy = "Orphan"
        try:
            await self._client.delete(node.resource, node.namespace, node.name, uid=node.uid, propagation=policy)
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or another object has its name
                raise

    async def _keep_owners(self, node: _Node, live: Object, owners: list[Object]) -> None:
        await self._patch_metadata(node, live, {"ownerReferences": owners or None})

    async def _drop_finalizer(self, node: _Node, finalizer: str) -> None:
        live = await self._live(node)
        if live is not None:
            kept = [entry for entry in live["metadata"].get("finalizers") or [] if entry != finalizer]
            await self._patch_metadata(node, live, {"finalizers": kept or None})

    async def _patch_metadata(self, node: _Node, live: Object, change: Object) -> None:
        metadata = {"resourceVersion": live["metadata"]["resourceVersion"]} | change
        try:
            await self._client.patch(node.resource, node.namespace, node.name, {"metadata": metadata})
        except ApiError as error:
            if error.code != 404:
                raise  # 409 too: the next attempt reads again
