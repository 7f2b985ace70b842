"""Kinds of watched objects: one row has everything that the operator needs for a kind.

`Informers` keeps a cache for each row, notifies subscribers of each change, and adds the keys that a change concerns to
one work queue. It refers to no kind by name; lists, watches, the reconciler and the RBAC rules are derived from the
same rows.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from agentjobs.api_resource import Resource
from agentjobs.engine.cache import Cache, Listing, Name, OnChange
from agentjobs.engine.queueing import WorkQueue

T = TypeVar("T")
S = TypeVar("S")

Key: TypeAlias = tuple[str, str, str]
"""The object that a worker reconciles: its kind, namespace and name."""

Reconcile: TypeAlias = Callable[[Name], Awaitable[datetime | None]]
"""Reconciles one object; returns when to reconcile it again even without a change, or None."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind(Generic[T, S]):
    """One kind of object. `T` is the cached value of an object, `S` the argument of `reconciler`."""

    resource: Resource
    """Its group, version and plural; `resource.kind` is its label in metrics and its part of a key."""
    parse: Callable[[Mapping[str, Any]], T]
    """Returns the value to cache for an object; must not raise for any object that the API server may store."""
    access: Mapping[str, tuple[str, ...]]
    """The verbs that the operator needs, by subresource; the empty name is for the objects themselves."""
    selector: str = ""
    """Label selector of the objects that are listed and watched; empty for all."""
    first: str = ""
    """Field selector of the objects that decisions depend on. If the API server supports it, they are listed first, and
    decisions begin before the list of all objects is complete. Empty for all."""
    indexes: Mapping[str, Callable[[T], Iterable[Hashable]]] = field(default_factory=dict)
    """By index name, a function that returns the values under which an object is found."""
    wakes: Callable[[T | None, T | None], Iterable[Key]] = lambda before, after: ()
    """Returns the keys of other kinds that a change concerns; the object's own key is added if it has a reconciler."""
    is_idle: Callable[[T, "Informers"], bool] = lambda value, informers: False
    """Whether nothing is due for an object, so that it may wait for all others. A wrong guess only costs time."""
    reduce: Callable[[T], T] | None = None
    """Returns the part of an idle object's value to keep; its reconciler reads the rest again when it needs it. An idle
    object found by a list is then not reconciled. Returns a reduced value unchanged. None keeps whole values."""
    reconciler: Callable[[S], Reconcile] | None = None
    """Returns the function that reconciles one object; None for a kind that only wakes others."""


class Informers:
    """The caches of all kinds, and the queue of keys."""

    def __init__(self, kinds: Iterable[Kind[Any, Any]], *, now: Callable[[], datetime]) -> None:
        """`now` is the wall clock, which `is_idle` of some kinds needs."""
        self.now = now
        self._kinds = {kind.resource.kind: kind for kind in kinds}
        self._caches: dict[str, Cache[Any]] = {
            name: Cache(kind.parse, kind.indexes) for name, kind in self._kinds.items()
        }
        self._subscribers: dict[str, list[OnChange[Any]]] = defaultdict(list)
        self.queue: WorkQueue[Key] = WorkQueue(is_idle=self._is_idle)

    @property
    def kinds(self) -> tuple[Kind[Any, Any], ...]:
        """The rows, in the order in which they are listed."""
        return tuple(self._kinds.values())

    def cache(self, resource: Resource) -> Cache[Any]:
        """Return the cache of a kind."""
        return self._caches[resource.kind]

    def subscribe(self, resource: Resource, on_change: OnChange[Any]) -> None:
        """Call `on_change` for each change of a kind's objects, before any key is woken."""
        self._subscribers[resource.kind].append(on_change)

    def observe(self, resource: Resource, event: str | None, obj: Mapping[str, Any]) -> None:
        """Apply an event of a watch (ADDED, MODIFIED, DELETED), or the response to a write (None)."""
        for change in self._caches[resource.kind].apply(event, obj):
            self._changed(resource.kind, *change)

    def was_answered(self, resource: Resource, version: str) -> bool:
        """Whether the answer to a write of ours brought the state of this version."""
        return self._caches[resource.kind].was_answered(version)

    def listing(self, resource: Resource, namespace: str | None = None) -> Listing[Any]:
        """Begin to apply a complete list; objects that are not in it are removed."""
        kind = resource.kind
        return self._caches[kind].listing(namespace, changed=lambda *change: self._listed(kind, *change))

    def reduce(self, resource: Resource, name: Name) -> bool:
        """Reduce the value of an object if it is idle and its kind has `reduce`; return whether it is reduced."""
        cache, row = self._caches[resource.kind], self._kinds[resource.kind]
        value = cache.get(name)
        if value is None or row.reduce is None or not self._is_idle(resource.key(name)):
            return False
        cache.revise(name, row.reduce(value))
        return True

    def wake_all(self) -> None:
        """Reconcile all objects again, except reduced ones: their deadlines follow the wall clock anyway."""
        for key in self._keys():
            if not self._is_reduced(key):
                self.queue.add(key)

    def wake_active(self) -> None:
        """Reconcile all objects again that are not idle."""
        for key in self._keys():
            if not self._is_idle(key):
                self.queue.add(key)

    def _keys(self) -> Iterator[Key]:
        """The keys of all objects that have a reconciler."""
        for kind in self._kinds.values():
            if kind.reconciler is not None:
                cache = self._caches[kind.resource.kind]
                yield from map(kind.resource.key, cache.keys())

    def _listed(self, kind: str, name: Name, before: Any, after: Any) -> None:
        if before is not None or self._kinds[kind].reduce is None:
            self._changed(kind, name, before, after)
            return
        self._notify(kind, name, before, after)
        if not self.reduce(self._kinds[kind].resource, name):
            self._wake(kind, name)
        self._wake_others(kind, before, after)

    def _changed(self, kind: str, name: Name, before: Any, after: Any) -> None:
        self._notify(kind, name, before, after)
        self._wake(kind, name)
        self._wake_others(kind, before, after)

    def _notify(self, kind: str, name: Name, before: Any, after: Any) -> None:
        for on_change in self._subscribers[kind]:
            on_change(name, before, after)

    def _wake(self, kind: str, name: Name) -> None:
        if self._kinds[kind].reconciler is not None:
            self.queue.add((kind, *name))

    def _wake_others(self, kind: str, before: Any, after: Any) -> None:
        for key in self._kinds[kind].wakes(before, after):
            self.queue.add(key)

    def _is_reduced(self, key: Key) -> bool:
        kind, *name = key
        value, reduce = self._caches[kind].get((name[0], name[1])), self._kinds[kind].reduce
        return reduce is not None and value is not None and reduce(value) is value

    def _is_idle(self, key: Key) -> bool:
        kind, *name = key
        value = self._caches[kind].get((name[0], name[1])) if kind in self._caches else None
        return value is not None and self._kinds[kind].is_idle(value, self)
