"""The cache of one kind of object, fed by events in any order, by answers to our own writes and by full lists.

It holds parsed values rather than objects. No I/O, no clock. It relies on one property: resourceVersions of one kind
are integers that grow, as etcd has always given them and Kubernetes promises.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from agentjobs.bounded import Bounded

T = TypeVar("T")
Name = tuple[str, str]
"""Namespace and name; the namespace is empty for cluster-wide objects."""

# Two minutes of 100 deletions a second. A late event is at most a reconnect (70 s) old; lists repair what older ones
# miss.
TOMBSTONES: Final = 16_384


Change = tuple[Name, T | None, T | None]
"""One object's name, and what was known of it before and after. The two are never of different uids: an object that
took the name of another is told as two changes."""
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
            parse: makes the value of an object; must not raise on anything that the API server may hold.
            indexes: by index name, a function that returns the values under which an object is found.
            tombstones: how many deleted uids are remembered.
        """
        self._parse = parse
        self._indexers = dict(indexes or {})
        self._entries: dict[Name, _Entry[T]] = {}
        # dict for a set: keeps insertion order, so that reads are the same every time.
        self._index: dict[str, dict[Hashable, dict[Name, None]]] = {name: defaultdict(dict) for name in self._indexers}
        self._dead: Bounded[str, int] = Bounded(tombstones)  # by uid: version of the deletion
        self._listed: dict[str | None, int] = {}  # by namespace (None: all): version of the newest full list
        self._listings = 0

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """All objects, in order of arrival."""
        return [entry.value for entry in self._entries.values()]

    def keys(self) -> KeysView[Name]:
        """The names held, a live view."""
        return self._entries.keys()

    def get(self, name: Name) -> T | None:
        """The object of that name, or None."""
        entry = self._entries.get(name)
        return None if entry is None else entry.value

    def by(self, index: str, value: Hashable) -> list[T]:
        """All objects that the index gives for `value`."""
        return [self._entries[name].value for name in self._index[index].get(value, ())]

    def apply(self, event_type: str | None, obj: Mapping[str, Any]) -> list[Change[T]]:
        """Take in one event (ADDED, MODIFIED, DELETED), listed item or answer to a write (None).

        Returns what changed. A stale state changes nothing: one that is older than what is known, than a deletion, or
        than a full list that did not have the object, and any of an earlier object of that name. An object that a watch
        calls deleted may only have lost the label that the watch selects by; it can come back.

        Raises:
            ValueError: the object has no uid or no integer resourceVersion.
        """
        name, uid, version = _identity(obj)
        if event_type == "DELETED":
            return self._delete(name, uid, version, obj)
        return self._keep(name, uid, version, obj)

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
        # A deletion's event carries the last state, which no earlier event may have brought.
        last = self._parse(obj)
        return [(name, known.value, last), (name, last, None)]

    def revise(self, name: Name, value: T) -> None:
        """Keep another value of the same state of an object."""
        entry = self._entries[name]
        self._unindex(name, entry.value)
        entry.value = value
        self._add_to_index(name, value)

    def listing(self, namespace: str | None = None, *, changed: "OnChange[T] | None" = None) -> "Listing[T]":
        """Begin to take in a complete list, of one namespace or of all. The caller goes on until `end`."""
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
        gone = [
            (name, entry)
            for name, entry in self._entries.items()
            if entry.listing < listing and entry.version <= version and namespace in (None, name[0])
        ]
        for name, entry in gone:
            self._bury(entry.uid, version)
            self._drop(name)
        self._listed[namespace] = max(version, self._listed.get(namespace, 0))
        return [(name, entry.value, None) for name, entry in gone]

    def _floor(self, namespace: str) -> int:
        """The newest list that covered this namespace: what it did not have, and is no newer, is gone."""
        return max(self._listed.get(None, 0), self._listed.get(namespace, 0))

    def _is_stale(self, name: Name, uid: str, version: int) -> bool:
        """Whether an object is not newer than what is known of it, its deletion included."""
        known = self._entries.get(name)
        deletion = self._dead.get(uid)
        if deletion is not None and version <= deletion:
            return True
        return version <= (self._floor(name[0]) if known is None else known.version)

    def _put(self, name: Name, entry: _Entry[T]) -> list[Change[T]]:
        """Keep an object in place of an older state of it, or of an earlier object of its name."""
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
    """One complete list, taken in as it comes: of a long one only a page is in memory.

    Watches, answers to writes and other listings may bring newer states meanwhile.
    """

    def __init__(self, cache: Cache[T], namespace: str | None, number: int, changed: "OnChange[T]") -> None:
        self._cache = cache
        self._namespace = namespace
        self._number = number
        self._changed = changed

    def has(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object of the list, of which only the metadata is needed, brings nothing new."""
        if not self._cache._is_stale(*_identity(obj)):
            return False
        self._cache._mark(obj, self._number)
        return True

    def take(self, obj: Mapping[str, Any]) -> None:
        """Take in one object of the list."""
        for change in self._cache._take(obj, self._number):
            self._changed(*change)

    def end(self, list_resource_version: str) -> None:
        """Drop what the list did not have, unless it is newer than the list."""
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
