"""What we know of one kind of object, kept true by events in any order, our own writes' answers and full lists.

Fed by watch handlers, by writers (so that we read our own writes) and by the resync; read by the reconciler. It holds
parsed values, not bodies. No I/O, no clock. It relies on one thing: resourceVersions of one kind are integers that
grow, which etcd has always given and Kubernetes promises.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
Name = tuple[str, str]
"""Namespace and name; the namespace is empty for cluster-wide objects."""

# Two minutes of 100 deletions a second; a late event is at most a reconnect (70 s) old, and lists settle older ones.
TOMBSTONES: Final = 16_384


Changed = Callable[[Name, T | None], None]
"""Called after an object changed, with its name and what was known of it before."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    uid: str
    version: int
    value: T
    listing: int = 0
    """Number of the last listing that had the object."""


class Cache(Generic[T]):
    """Objects by (namespace, name), with secondary indexes."""

    def __init__(
        self,
        parse: Callable[[Mapping[str, Any]], T],
        indexes: Mapping[str, Callable[[T], Iterable[Hashable]]] | None = None,
        *,
        tombstones: int = TOMBSTONES,
    ) -> None:
        """
        Args:
            parse: makes the value kept of an object; must not raise on anything the server may hold.
            indexes: by index name, a function that gives the values an object is to be found under.
            tombstones: how many deleted uids are remembered.
        """
        self._parse = parse
        self._indexers = dict(indexes or {})
        self._entries: dict[Name, _Entry[T]] = {}
        # dict for a set: keeps insertion order, so that reads are the same every time.
        self._index: dict[str, dict[Hashable, dict[Name, None]]] = {name: defaultdict(dict) for name in self._indexers}
        self._dead: OrderedDict[str, int] = OrderedDict()  # by uid: version of the deletion
        self._tombstones = tombstones
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

    def apply(self, event_type: str | None, obj: Mapping[str, Any]) -> bool:
        """Take in one event (ADDED, MODIFIED, DELETED), listed item or answer to a write (None).

        Returns whether anything changed. Stale news changes nothing: an older version, also than that of a deletion, an
        earlier bearer of the name, or an object that a later full list did not have. What a watch calls deleted may
        only have lost the label that the watch selects by, and come back with it.

        Raises:
            ValueError: the object has no uid or no integer resourceVersion.
        """
        name, uid, version = _identity(obj)
        known = self._entries.get(name)
        if event_type == "DELETED":
            self._bury(uid, version)
            if known is None or known.uid != uid:
                return False
            self._drop(name)
            return True
        if not self._is_news(name, uid, version):
            return False
        self._put(name, _Entry(uid, version, self._parse(obj)))
        return True

    def knows(self, obj: Mapping[str, Any]) -> bool:
        """Whether a listed object is no news, so that `apply` would change nothing."""
        return not self._is_news(*_identity(obj))

    def revise(self, name: Name, value: T) -> None:
        """Keep another value of the same state of an object."""
        entry = self._entries[name]
        self._unindex(name, entry.value)
        entry.value = value
        self._add_to_index(name, value)

    def listing(self, namespace: str | None = None, *, changed: "Changed[T] | None" = None) -> "Listing[T]":
        """Begin to take in a complete list, of one namespace or of all. The caller goes on until `end`."""
        self._listings += 1
        return Listing(self, namespace, self._listings, changed or (lambda name, before: None))

    def _take(self, obj: Mapping[str, Any], listing: int) -> tuple[Name, tuple[T | None] | None]:
        """Returns the name and, when the object was news, what was known before."""
        name, uid, version = _identity(obj)
        before = None
        if self._is_news(name, uid, version):
            before = (self.get(name),)
            self._put(name, _Entry(uid, version, self._parse(obj)))
        known = self._entries.get(name)
        if known is not None and known.uid == uid:
            known.listing = listing
        return name, before

    def _end(self, listing: int, version: int, namespace: str | None) -> list[tuple[Name, T]]:
        """Returns what is dropped."""
        gone = [
            (name, entry)
            for name, entry in self._entries.items()
            if entry.listing < listing and entry.version <= version and namespace in (None, name[0])
        ]
        for name, entry in gone:
            self._bury(entry.uid, version)
            self._drop(name)
        self._listed[namespace] = max(version, self._listed.get(namespace, 0))
        return [(name, entry.value) for name, entry in gone]

    def _floor(self, namespace: str) -> int:
        """The newest list that covered this namespace: what it did not have, and is no newer, is gone."""
        return max(self._listed.get(None, 0), self._listed.get(namespace, 0))

    def _is_news(self, name: Name, uid: str, version: int) -> bool:
        """Whether an object is newer than what is known of it, and was not known to be gone by then."""
        known = self._entries.get(name)
        if version <= self._dead.get(uid, -1) or (known is None and version <= self._floor(name[0])):
            return False
        return known is None or version > known.version

    def _put(self, name: Name, entry: _Entry[T]) -> None:
        """Keep an object in place of an older state of it, or of an earlier bearer of its name."""
        known = self._entries.get(name)
        if known is not None:
            if known.uid != entry.uid:
                self._bury(known.uid, entry.version)
            self._drop(name)
        self._entries[name] = entry
        self._add_to_index(name, entry.value)

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
        """Remember a deletion; the oldest make room."""
        self._dead[uid] = max(version, self._dead.get(uid, -1))
        self._dead.move_to_end(uid)
        if len(self._dead) > self._tombstones:
            self._dead.popitem(last=False)


class Listing(Generic[T]):
    """One complete list, taken in as it comes: of a long one only a page is in memory.

    Watches, answers to writes and other listings may bring newer states meanwhile.
    """

    def __init__(self, cache: Cache[T], namespace: str | None, number: int, changed: "Changed[T]") -> None:
        self._cache = cache
        self._namespace = namespace
        self._number = number
        self._changed = changed

    def take(self, obj: Mapping[str, Any]) -> None:
        """Take in one object of the list."""
        name, before = self._cache._take(obj, self._number)
        if before is not None:
            self._changed(name, *before)

    def end(self, list_resource_version: str) -> None:
        """Drop what the list did not have, unless it is newer than the list."""
        for name, before in self._cache._end(self._number, int(list_resource_version), self._namespace):
            self._changed(name, before)


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
