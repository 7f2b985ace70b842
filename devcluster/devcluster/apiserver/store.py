"""The objects of the development API server: revisions, history, watchers. Pure: no HTTP, no clock.

Only `core` writes; `handlers` and `streams` read. Stored objects are never changed: a write stores a new tree, so that
readers keep the version that they have read. Each version is serialised once; lists and watchers share the bytes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" for cluster-scoped kinds) and name."""

# A watcher with this many pending events is closed and must list again, as with a real server's bounded buffers.
MAX_PENDING_EVENTS: Final = 20_000


# Of serialised objects, whose trees need about five times as much: 8,000 changes of objects of 2 KiB.
HISTORY_BYTES: Final = 16 * 1024 * 1024
# etcd's default limit for one request (--max-request-bytes).
MAX_OBJECT: Final = 1536 * 1024


class TooLarge(Exception):
    """The object is larger than etcd's limit."""


class Expired(Exception):
    """The history does not have the requested revision, so the client must list again."""


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of an object and its JSON."""

    obj: Object
    raw: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One write. `old` is None for a create; `new` is None for a removal, and `removed` is the last state."""

    revision: int
    key: Key
    old: Version | None
    new: Version | None
    removed: Version | None = None
    frames: dict[str, bytes] = field(default_factory=dict)
    """Encoded watch events by form; the first watcher that needs one adds it for all."""

    @property
    def size(self) -> int:
        """The bytes of this change in the history."""
        version = self.new or self.removed
        return len(version.raw) if version else 0


class Watcher:
    """The changes of one resource that a watch has not sent yet. `wake` is called when there is a new one."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.pending: deque[Change] = deque()
        self.closed = False

    def put(self, change: Change) -> None:
        """Add a change; close the watcher if too many are pending."""
        if len(self.pending) >= MAX_PENDING_EVENTS:
            self.close()
        if not self.closed:
            self.pending.append(change)
            self._wake()

    def close(self) -> None:
        """End the watch after the pending changes."""
        self.closed = True
        self._wake()


@dataclass(slots=True)
class _Collection:
    """The objects of one resource."""

    versions: dict[Key, Version] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=deque)
    watchers: set[Watcher] = field(default_factory=set)


class Store:
    """Objects by resource (`"pods"`, `"leases.coordination.k8s.io"`) and key.

    Args:
        microseconds: the current time. The first revision is based on it, so that revisions of an earlier server are
            unknown to this one. If they began at 1, a restarted server would accept old revisions of watches.
        history_bytes: size of the history that is kept for watches that reconnect.
    """

    def __init__(self, microseconds: int, *, history_bytes: int = HISTORY_BYTES) -> None:
        self.revision = microseconds
        self._compacted = microseconds
        self._history_bytes = history_bytes
        self._held = 0
        self._closed = False
        self._order: deque[_Collection] = deque()
        self._collections: dict[str, _Collection] = {}

    def get(self, resource: str, key: Key) -> Version | None:
        """Return the current version."""
        collection = self._collections.get(resource)
        return collection.versions.get(key) if collection else None

    def list(self, resource: str, namespace: str = "") -> "list[Version]":
        """Return the current versions of one namespace or of all (`""`), in the order of their keys."""
        collection = self._collections.get(resource)
        if collection is None:
            return []
        versions = collection.versions
        keys = [key for key in versions if key[0] == namespace] if namespace else list(versions)
        return [versions[key] for key in sorted(keys)]

    def resources(self) -> Iterator[str]:
        """Yield the names of the resources that hold objects."""
        return (name for name, collection in self._collections.items() if collection.versions)

    def put(self, resource: str, key: Key, obj: Object) -> Version:
        """Store `obj` with the next revision in its metadata. The caller must not change it any more.

        Raises:
            TooLarge: it was not stored.
        """
        collection = self._collection(resource)
        version = self._next(obj)
        old = collection.versions.get(key)
        collection.versions[key] = version
        self._publish(collection, Change(version.revision, key, old, version))
        return version

    def remove(self, resource: str, key: Key) -> Version:
        """Remove an object; return its last state with the revision of the removal."""
        collection = self._collection(resource)
        old = collection.versions.pop(key)
        last = self._next({**old.obj, "metadata": dict(old.obj["metadata"])})
        self._publish(collection, Change(last.revision, key, old, None, last))
        return last

    def watch(self, resource: str, revision: int | None, wake: Callable[[], None]) -> Watcher:
        """Start a watcher of all changes after `revision` (None: after the current one).

        Raises:
            Expired: the history does not have it, or it is a future revision, which is another server's.
        """
        collection = self._collection(resource)
        watcher = Watcher(wake)
        if revision is not None:
            self.check(revision)
            watcher.pending.extend(change for change in collection.changes if change.revision > revision)
        if self._closed:
            watcher.close()
        collection.watchers.add(watcher)
        return watcher

    def check(self, revision: int) -> None:
        """Raise Expired if the history does not have all changes after `revision`."""
        if revision < self._compacted:
            raise Expired(f"too old resource version: {revision} ({self._compacted})")
        if revision > self.revision:
            raise Expired(f"too large resource version: {revision}, current: {self.revision}; it is not of this server")

    def unwatch(self, resource: str, watcher: Watcher) -> None:
        """Remove a watcher."""
        self._collection(resource).watchers.discard(watcher)

    def close(self) -> None:
        """End all watches, also later ones."""
        self._closed = True
        self.close_watches()

    def close_watches(self, resource: str | None = None) -> None:
        """End all watches, or those of one resource."""
        for name, collection in self._collections.items():
            if resource in (None, name):
                for watcher in tuple(collection.watchers):
                    watcher.close()

    def compact(self) -> None:
        """Drop the history: all revisions before the current one expire."""
        while self._order:
            self._drop_oldest()
        self._compacted = self.revision

    def _collection(self, resource: str) -> _Collection:
        collection = self._collections.get(resource)
        if collection is None:
            collection = self._collections[resource] = _Collection()
        return collection

    def _next(self, obj: Object) -> Version:
        revision = self.revision + 1
        obj["metadata"]["resourceVersion"] = str(revision)
        raw = orjson.dumps(obj)
        if len(raw) > MAX_OBJECT:
            raise TooLarge(f"an object of {len(raw)} bytes; at most {MAX_OBJECT} are stored")
        self.revision = revision
        return Version(obj, raw, revision)

    def _publish(self, collection: _Collection, change: Change) -> None:
        collection.changes.append(change)
        self._order.append(collection)
        self._held += change.size
        while self._held > self._history_bytes:
            self._drop_oldest()
        for watcher in tuple(collection.watchers):
            watcher.put(change)

    def _drop_oldest(self) -> None:
        change = self._order.popleft().changes.popleft()
        self._held -= change.size
        self._compacted = change.revision
