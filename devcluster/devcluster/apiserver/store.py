"""Holds every object of the development API server: revisions, history, watchers. Pure: no HTTP, no clock.

`core` is the only writer, `handlers` and `streams` read. Stored objects are never changed again: a write stores a new
tree, so whoever holds an older one keeps what it read. Each version is serialised once; lists and watchers share those
bytes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" for cluster-scoped kinds) and name."""

# A watcher that lets this many events pile up is cut off and lists again, as at a real server's bounded buffers.
MAX_PENDING_EVENTS: Final = 20_000


# Serialised bytes; the trees beside them take about five times as much. 8,000 changes of objects of 2 KiB.
HISTORY_BYTES: Final = 16 * 1024 * 1024
# What etcd takes in one request by default (--max-request-bytes).
MAX_OBJECT: Final = 1536 * 1024


class TooLarge(Exception):
    """The object is larger than etcd would store."""


class Expired(Exception):
    """The revision asked for is no longer, or not, in this server's history; list again."""


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of an object and its JSON."""

    obj: Object
    raw: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `old` is None for a create, `new` for a removal; `gone` is then the last state at the new revision."""

    revision: int
    key: Key
    old: Version | None
    new: Version | None
    gone: Version | None = None
    frames: dict[str, bytes] = field(default_factory=dict)
    """Encoded watch events by form, filled by the first watcher that needs one and shared with the others."""

    @property
    def size(self) -> int:
        """Bytes of history this change holds on to."""
        version = self.new or self.gone
        return len(version.raw) if version else 0


class Watcher:
    """The changes of one resource that a watch has not sent yet. `wake` is called when there is something to do."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.pending: deque[Change] = deque()
        self.closed = False

    def put(self, change: Change) -> None:
        """Queue a change; a watcher that does not keep up is closed."""
        if len(self.pending) >= MAX_PENDING_EVENTS:
            self.close()
        if not self.closed:
            self.pending.append(change)
            self._wake()

    def close(self) -> None:
        """End the watch after what is pending."""
        self.closed = True
        self._wake()


@dataclass(slots=True)
class _Collection:
    """All of one resource."""

    versions: dict[Key, Version] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=deque)
    watchers: set[Watcher] = field(default_factory=set)


class Store:
    """Objects by resource (`"pods"`, `"agentjobs.agentjobs.dev"`) and key.

    Args:
        microseconds: the time as a number; the first revision follows it, so that no revision of an earlier server is
            taken for one of this server's. Counting from 1, a restarted server would accept them and stay silent.
        history_bytes: how much of the past is kept for watches that reconnect.
    """

    def __init__(self, microseconds: int, *, history_bytes: int = HISTORY_BYTES) -> None:
        self.revision = microseconds
        self._compacted = microseconds
        self._history_bytes = history_bytes
        self._held = 0
        self._closed = False
        self._order: deque[_Collection] = deque()
        self._shelves: dict[str, _Collection] = {}

    def get(self, resource: str, key: Key) -> Version | None:
        """Return the current version."""
        shelf = self._shelves.get(resource)
        return shelf.versions.get(key) if shelf else None

    def list(self, resource: str, namespace: str = "") -> "list[Version]":
        """Return current versions in the order of their keys, of one namespace or of all (`""`)."""
        shelf = self._shelves.get(resource)
        if shelf is None:
            return []
        versions = shelf.versions
        keys = [key for key in versions if key[0] == namespace] if namespace else list(versions)
        return [versions[key] for key in sorted(keys)]

    def resources(self) -> Iterator[str]:
        """Yield the names of the resources that hold objects."""
        return (name for name, shelf in self._shelves.items() if shelf.versions)

    def put(self, resource: str, key: Key, obj: Object) -> Version:
        """Store `obj` (which the store owns from now on) under the next revision, written into its metadata.

        Raises:
            TooLarge: nothing was stored.
        """
        shelf = self._shelf(resource)
        version = self._next(obj)
        old = shelf.versions.get(key)
        shelf.versions[key] = version
        self._publish(shelf, Change(version.revision, key, old, version))
        return version

    def remove(self, resource: str, key: Key) -> Version:
        """Remove the object of that key; return its last state at the revision of its removal."""
        shelf = self._shelf(resource)
        old = shelf.versions.pop(key)
        gone = self._next({**old.obj, "metadata": dict(old.obj["metadata"])})
        self._publish(shelf, Change(gone.revision, key, old, None, gone))
        return gone

    def watch(self, resource: str, revision: int | None, wake: Callable[[], None]) -> Watcher:
        """Start a watcher of everything after `revision` (None: from now on).

        Raises:
            Expired: when history does not reach back to it, or it lies ahead: it is another server's then.
        """
        shelf = self._shelf(resource)
        watcher = Watcher(wake)
        if revision is not None:
            self.check(revision)
            watcher.pending.extend(change for change in shelf.changes if change.revision > revision)
        if self._closed:
            watcher.close()
        shelf.watchers.add(watcher)
        return watcher

    def check(self, revision: int) -> None:
        """Raise Expired when the changes after `revision` are not all known."""
        if revision < self._compacted:
            raise Expired(f"too old resource version: {revision} ({self._compacted})")
        if revision > self.revision:
            raise Expired(f"too large resource version: {revision}, current: {self.revision}; it is not of this server")

    def unwatch(self, resource: str, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._shelf(resource).watchers.discard(watcher)

    def close(self) -> None:
        """End all watches, those that begin from now on at once."""
        self._closed = True
        self.close_watches()

    def close_watches(self, resource: str | None = None) -> None:
        """End all watches, or those of one resource."""
        for name, shelf in self._shelves.items():
            if resource in (None, name):
                for watcher in tuple(shelf.watchers):
                    watcher.close()

    def compact(self) -> None:
        """Forget the history: every revision but the current one is too old from now on."""
        while self._order:
            self._drop_oldest()
        self._compacted = self.revision

    def _shelf(self, resource: str) -> _Collection:
        shelf = self._shelves.get(resource)
        if shelf is None:
            shelf = self._shelves[resource] = _Collection()
        return shelf

    def _next(self, obj: Object) -> Version:
        revision = self.revision + 1
        obj["metadata"]["resourceVersion"] = str(revision)
        raw = orjson.dumps(obj)
        if len(raw) > MAX_OBJECT:
            raise TooLarge(f"an object of {len(raw)} bytes; at most {MAX_OBJECT} are stored")
        self.revision = revision
        return Version(obj, raw, revision)

    def _publish(self, shelf: _Collection, change: Change) -> None:
        shelf.changes.append(change)
        self._order.append(shelf)
        self._held += change.size
        while self._held > self._history_bytes:
            self._drop_oldest()
        for watcher in tuple(shelf.watchers):
            watcher.put(change)

    def _drop_oldest(self) -> None:
        change = self._order.popleft().changes.popleft()
        self._held -= change.size
        self._compacted = change.revision
