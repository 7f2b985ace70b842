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


@dataclass(frozen=True, slots=True)
class Sighting(Generic[T]):
    """What a list says of one object. `value` is None when it was no news as it was read."""

    name: Name
    uid: str
    version: int
    value: T | None


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    uid: str
    version: int
    value: T


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

    def read(self, obj: Mapping[str, Any]) -> Sighting[T]:
        """Read an object of a list for `replace`, which may follow when much else has been heard.

        So nobody has to keep all objects of a large list, which take several times the memory of their values.
        """
        name, uid, version = _identity(obj)
        return Sighting(name, uid, version, self._parse(obj) if self._is_news(name, uid, version) else None)

    def replace(
        self, items: Iterable[Sighting[T]], list_resource_version: str, *, namespace: str | None = None
    ) -> set[Name]:
        """Take in a complete list and return the names whose object changed or vanished.

        A known object that is absent is dropped, unless it is newer than the list. `namespace` says that the list was
        of that namespace alone.
        """
        listed = int(list_resource_version)
        present: set[str] = set()
        changed: set[Name] = set()
        for item in items:
            present.add(item.uid)
            # What was no news when it was read is none now: versions only grow, those of deletions too.
            if item.value is not None and self._is_news(item.name, item.uid, item.version):
                self._put(item.name, _Entry(item.uid, item.version, item.value))
                changed.add(item.name)
        for name, entry in list(self._entries.items()):
            inside = namespace is None or name[0] == namespace
            if inside and entry.uid not in present and entry.version <= listed:
                self._bury(entry.uid, listed)
                self._drop(name)
                changed.add(name)
        self._listed[namespace] = max(listed, self._listed.get(namespace, 0))
        return changed

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
        for index, values in self._indexers.items():
            for value in values(entry.value):
                self._index[index][value][name] = None

    def _drop(self, name: Name) -> None:
        entry = self._entries.pop(name)
        for index, values in self._indexers.items():
            for value in values(entry.value):
                names = self._index[index][value]
                names.pop(name, None)
                if not names:
                    del self._index[index][value]

    def _bury(self, uid: str, version: int) -> None:
        """Remember a deletion; the oldest make room."""
        self._dead[uid] = max(version, self._dead.get(uid, -1))
        self._dead.move_to_end(uid)
        if len(self._dead) > self._tombstones:
            self._dead.popitem(last=False)


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
