"""The cache of one kind of object, updated by events in any order, by responses to our own writes and by full lists.

It stores parsed values rather than objects. No I/O, no clock. It relies on one property: resourceVersions of one kind
are increasing integers, as etcd has always assigned them and Kubernetes guarantees.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from agentjobs.bounded import Bounded

T = TypeVar("T")
Name = tuple[str, str]
"""Namespace and name; the namespace is empty for cluster-wide objects."""

# Two minutes of 100 deletions per second. A late event is at most a reconnect (70 s) old; lists correct the rest.
TOMBSTONES: Final = 16_384
# An event follows the answer to its write within milliseconds, or within seconds of a reconnect.
ANSWERS: Final = 4096


Change = tuple[Name, T | None, T | None]
"""An object's name, and its values before and after. Both always have the same uid: an object that replaces another one
of the same name is reported as two changes."""
OnChange = Callable[[Name, T | None, T | None], None]
"""Called after each change."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    uid: str
    version: int
    value: T
    listing: int = 0
    """Number of the last listing that had the object."""


class Cache(Generic[T]):
    """Values of objects by namespace and name, with secondary indexes."""

    def __init__(
        self,
        parse: Callable[[Mapping[str, Any]], T],
        indexes: Mapping[str, Callable[[T], Iterable[Hashable]]] | None = None,
        *,
        tombstones: int = TOMBSTONES,
    ) -> None:
        """
        Args:
            parse: returns the value of an object; must not raise for any object that the API server may store.
            indexes: by index name, a function that returns the values under which an object is found.
            tombstones: how many deleted uids are remembered.
        """
        self._parse = parse
        self._indexers = dict(indexes or {})
        self._entries: dict[Name, _Entry[T]] = {}
        # A dict as an ordered set: insertion order makes reads deterministic.
        self._index: dict[str, dict[Hashable, dict[Name, None]]] = {name: defaultdict(dict) for name in self._indexers}
        self._dead: Bounded[str, int] = Bounded(tombstones)  # by uid: version of the deletion
        self._answers: Bounded[str, tuple[Name, str]] = Bounded(ANSWERS)  # by version: name and uid
        self._listed: dict[str | None, int] = {}  # by namespace (None: all): version of the newest full list
        self._listings = 0

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """All objects, in order of arrival."""
        return [entry.value for entry in self._entries.values()]

    def keys(self) -> KeysView[Name]:
        """The names of all objects, as a live view."""
        return self._entries.keys()

    def get(self, name: Name) -> T | None:
        """The object of that name, or None."""
        entry = self._entries.get(name)
        return None if entry is None else entry.value

    def by(self, index: str, value: Hashable) -> list[T]:
        """All objects that the index has for `value`."""
        return [self._entries[name].value for name in self._index[index].get(value, ())]

    def apply(self, event_type: str | None, obj: Mapping[str, Any]) -> list[Change[T]]:
        """Apply one event (ADDED, MODIFIED, DELETED), listed item or response to a write (None).

        Returns what changed. A stale state changes nothing: one that is older than the cached state, than a deletion,
        or than a full list that did not have the object, and any state of an earlier object of that name. An object
        that a watch reports as deleted may only have lost the label that the watch selects; it can come back.

        Raises:
            ValueError: the object has no uid or no integer resourceVersion.
        """
        name, uid, version = _identity(obj)
        if event_type == "DELETED":
            return self._delete(name, uid, version, obj)
        if event_type is None:
            self._answers.put(str(version), (name, uid))
        return self._keep(name, uid, version, obj)

    def was_answered(self, version: str) -> bool:
        """Whether the answer to a write brought the state of this version and the cache still has it, or a newer one:
        then an event with this version brings nothing new, except a deletion."""
        if (answer := self._answers.get(version)) is None:
            return False
        name, uid = answer
        known = self._entries.get(name)
        return known is not None and known.uid == uid and known.version >= int(version)

    def _keep(self, name: Name, uid: str, version: int, obj: Mapping[str, Any]) -> list[Change[T]]:
        if self._is_stale(name, uid, version):
            return []
        return self._put(name, _Entry(uid, version, self._parse(obj)))

    def _delete(self, name: Name, uid: str, version: int, obj: Mapping[str, Any]) -> list[Change[T]]:
        known = self._entries.get(name)
        self._bury(uid, version)
        if known is None or known.uid != uid:
            return []
        self._drop(name)
        if version <= known.version:
            return [(name, known.value, None)]
        # The event of a deletion has the last state, which may not have been in any earlier event.
        last = self._parse(obj)
        return [(name, known.value, last), (name, last, None)]

    def revise(self, name: Name, value: T) -> None:
        """Replace the value of an object whose state is unchanged."""
        entry = self._entries[name]
        self._unindex(name, entry.value)
        entry.value = value
        self._add_to_index(name, value)

    def listing(self, namespace: str | None = None, *, changed: "OnChange[T] | None" = None) -> "Listing[T]":
        """Begin to apply a complete list, of one namespace or of all. The caller must call `end`."""
        self._listings += 1
        return Listing(self, namespace, self._listings, changed or (lambda name, before, after: None))

    def _take(self, obj: Mapping[str, Any], listing: int) -> list[Change[T]]:
        changes = self._keep(*_identity(obj), obj)
        self._mark(obj, listing)
        return changes

    def _mark(self, obj: Mapping[str, Any], listing: int) -> None:
        """Note that a listing had an object."""
        name, uid, _ = _identity(obj)
        known = self._entries.get(name)
        if known is not None and known.uid == uid:
            known.listing = listing

    def _end(self, listing: int, version: int, namespace: str | None) -> list[Change[T]]:
        removed = [
            (name, entry)
            for name, entry in self._entries.items()
            if entry.listing < listing and entry.version <= version and namespace in (None, name[0])
        ]
        for name, entry in removed:
            self._bury(entry.uid, version)
            self._drop(name)
        self._listed[namespace] = max(version, self._listed.get(namespace, 0))
        return [(name, entry.value, None) for name, entry in removed]

    def _floor(self, namespace: str) -> int:
        """Version of the newest list that covered this namespace: objects not in it and not newer do not exist."""
        return max(self._listed.get(None, 0), self._listed.get(namespace, 0))

    def _is_stale(self, name: Name, uid: str, version: int) -> bool:
        """Whether the cache has the same or a newer state of an object, including its deletion."""
        known = self._entries.get(name)
        deletion = self._dead.get(uid)
        if deletion is not None and version <= deletion:
            return True
        return version <= (self._floor(name[0]) if known is None else known.version)

    def _put(self, name: Name, entry: _Entry[T]) -> list[Change[T]]:
        """Store an object instead of its older state, or instead of an earlier object of its name."""
        known = self._entries.get(name)
        if known is not None:
            self._drop(name)
        self._entries[name] = entry
        self._add_to_index(name, entry.value)
        if known is None:
            return [(name, None, entry.value)]
        if known.uid == entry.uid:
            return [(name, known.value, entry.value)]
        self._bury(known.uid, entry.version)
        return [(name, known.value, None), (name, None, entry.value)]

    def _drop(self, name: Name) -> None:
        self._unindex(name, self._entries.pop(name).value)

    def _add_to_index(self, name: Name, value: T) -> None:
        for index, values in self._indexers.items():
            for key in values(value):
                self._index[index][key][name] = None

    def _unindex(self, name: Name, value: T) -> None:
        for index, values in self._indexers.items():
            for key in values(value):
                names = self._index[index][key]
                names.pop(name, None)
                if not names:
                    del self._index[index][key]

    def _bury(self, uid: str, version: int) -> None:
        """Remember a deletion."""
        known = self._dead.get(uid)
        self._dead.put(uid, version if known is None else max(version, known))


class Listing(Generic[T]):
    """One complete list, applied page by page, so that a long list is never completely in memory.

    Watches, responses to writes and other listings may apply newer states meanwhile.
    """

    def __init__(self, cache: Cache[T], namespace: str | None, number: int, changed: "OnChange[T]") -> None:
        self._cache = cache
        self._namespace = namespace
        self._number = number
        self._changed = changed

    def has(self, obj: Mapping[str, Any]) -> bool:
        """Whether the cache is up to date for an object of the list, of which only the metadata is needed."""
        if not self._cache._is_stale(*_identity(obj)):
            return False
        self._cache._mark(obj, self._number)
        return True

    def take(self, obj: Mapping[str, Any]) -> None:
        """Apply one object of the list."""
        for change in self._cache._take(obj, self._number):
            self._changed(*change)

    def end(self, list_resource_version: str) -> None:
        """Remove objects that were not in the list, unless they are newer than the list."""
        for change in self._cache._end(self._number, int(list_resource_version), self._namespace):
            self._changed(*change)


def _identity(obj: Mapping[str, Any]) -> tuple[Name, str, int]:
    metadata = obj.get("metadata") or {}
    try:
        return (
            (metadata.get("namespace") or "", metadata["name"]),
            metadata["uid"],
            int(metadata["resourceVersion"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{obj.get('kind') or 'object'} {metadata.get('name')!r}: needs name, uid and an integer resourceVersion, "
            f"has {metadata.get('uid')!r} and {metadata.get('resourceVersion')!r}"
        ) from error
