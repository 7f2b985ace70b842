"""The reads and writes by which a parent creates its children; `core.children` explains their order.

One `Children` for each kind of parent. A parent's loop creates a `Pass` at each reconcile.
"""

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agentjobs.api_resource import Resource
from agentjobs.bounded import Bounded
from agentjobs.contract import cut
from agentjobs.core.children import ChildRefusal, Entry, RefusalReason
from agentjobs.engine.cache import TOMBSTONES, Name
from agentjobs.errors import AlreadyExists, Denied, Invalid, NotFound, Unavailable
from agentjobs.reconcile.setup import Setup
from agentjobs.reconcile.state import Versioned

E = TypeVar("E", bound=Entry)
MAX_MESSAGE = 900


@dataclass(slots=True)
class Pass:
    """Facts of one reconcile of a parent; discarded at its end."""

    fresh: str = ""
    """resourceVersion of the parent in the API server's last response."""
    absent: set[str] = field(default_factory=set)
    """Names of children that do not exist in the API server."""
    created_before: dict[str, str] = field(default_factory=dict)
    """Uids of children of reserved entries in history, by name."""
    refusals: dict[str, ChildRefusal] = field(default_factory=dict)
    """By the child's name. The next pass retries."""


class Children:
    """Creates the children of the parents of one kind, and finds those that exist."""

    def __init__(
        self,
        setup: Setup,
        *,
        parent: Resource,
        child: Resource,
        kind: str,
        controller: Callable[[Any], str],
        created_before: Callable[[Any, str], Awaitable[str | None]] | None = None,
        parent_of: Callable[[Mapping[str, Any]], str | None] | None = None,
    ) -> None:
        """
        Args:
            kind: the parent's kind in messages, as in "this schedule's".
            controller: returns the uid of the parent of a cached child.
            created_before: returns the uid of an earlier child with that name, from history. Raises Unavailable while
                history is unreachable. None if the parent's loop reads history itself.
            parent_of: returns the uid of the parent of a raw child. Default: its controller's.
        """
        self._cluster = setup.ports.cluster
        self._history = setup.ports.history
        self._state = setup.state
        self._parent = parent
        self._child = child
        self._kind = kind
        self._controller = controller
        self._created_before = created_before or _no_earlier_child
        self._parent_of = parent_of or controller_uid
        # Uids of deleted children, by the parent's uid and their name; oldest first.
        self._deleted: Bounded[tuple[str, str], str] = Bounded(TOMBSTONES)
        self._state.informers.subscribe(child, self._on_change)

    def _on_change(self, name: Name, before: Any, after: Any) -> None:
        if after is None and (parent := self._controller(before)):
            self._deleted.put((parent, name[1]), before.uid)

    def deleted_again(
        self, parent: Versioned, entries: Iterable[E], known: Container[str], seen: Pass
    ) -> Iterator[tuple[E, str]]:
        """Return reserved entries whose child was created and deleted before the status was written, with the child's
        uid.
        """
        for entry in entries:
            if not entry.uid and entry.name not in known:
                uid = seen.created_before.get(entry.name) or self._deleted.get((parent.uid, entry.name))
                if uid is not None:
                    yield entry, uid

    def was_deleted(self, parent: Versioned, name: str) -> bool:
        """Whether this process saw the deletion of a child with that name."""
        return self._deleted.get((parent.uid, name)) is not None

    async def refresh(self, parent: Versioned, reserved: Iterable[str], names: Iterable[str], seen: Pass) -> bool:
        """Read the parent, and the children with these names. False while history is unreachable: retry later.

        The children are read after the parent that lists them, so that a missing one is gone. The child of a reserved
        entry may have run and been deleted: history has it.
        """
        for name in reserved:
            try:
                uid = await self._created_before(parent, name)
            except Unavailable:
                if not self._history.away:
                    raise
                return False
            if uid is not None:
                seen.created_before[name] = uid
        try:
            found = await self._cluster.get(self._parent, *parent.key)
        except NotFound:
            self._state.observe_gone(self._parent, parent)
            return True
        self._state.observe(self._parent, None, found)
        seen.fresh = found["metadata"]["resourceVersion"]
        for name in names:
            await self._look_up(parent, name, seen)
        return True

    async def _look_up(self, parent: Versioned, name: str, seen: Pass) -> None:
        try:
            child = await self._cluster.get(self._child, parent.key[0], name)
        except NotFound:
            seen.absent.add(name)
            return
        if self._parent_of(child) == parent.uid:
            self._state.observe(self._child, None, child)
        else:
            seen.absent.add(name)

    async def create(self, parent: Versioned, body: dict[str, Any], seen: Pass) -> bool:
        """Create a child, or find that it exists. True if this call created it; a refusal is recorded in `seen`."""
        name = body["metadata"]["name"]
        try:
            created = await self._cluster.create(self._child, parent.key[0], body)
        except AlreadyExists:
            await self._adopt(parent, name, seen)
            return False
        except (Denied, Invalid) as error:
            # 403 is a quota, a policy or a namespace that is being deleted, and may be temporary; 422 is an invalid
            # child.
            final = isinstance(error, Invalid)
            seen.refusals[name] = ChildRefusal(RefusalReason.REFUSED, cut(str(error), MAX_MESSAGE), final)
            return False
        self._state.observe(self._child, None, created)
        return True

    async def _adopt(self, parent: Versioned, name: str, seen: Pass) -> None:
        found = await self._cluster.get(self._child, parent.key[0], name)
        if self._parent_of(found) == parent.uid:
            self._state.observe(self._child, None, found)
            return
        what = f"an {self._child.kind} {name} exists that does not belong to this {self._kind}"
        message = f"{what}; delete it and the {self._kind} continues"
        seen.refusals[name] = ChildRefusal(RefusalReason.NAME_TAKEN, message)

    async def write(self, parent: Versioned, patch: Mapping[str, Any], seen: Pass) -> None:
        """Patch the parent's status, if it has not changed since it was read."""
        body = {"metadata": {"resourceVersion": parent.resource_version}, "status": patch}
        answer = await self._cluster.patch(self._parent, *parent.key, body, subresource="status")
        self._state.observe(self._parent, None, answer)
        seen.fresh = answer["metadata"]["resourceVersion"]


async def _no_earlier_child(_parent: Any, _name: str) -> str | None:
    return None


def controller_uid(obj: Mapping[str, Any]) -> str | None:
    """Return the uid of an object's controller, or None."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller") is True), None)
