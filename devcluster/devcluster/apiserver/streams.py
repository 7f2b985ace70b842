"""Sends the events of a watch until the client disconnects, its timeout expires or the server ends it."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from devcluster.apiserver import lists
from devcluster.apiserver.errors import StatusError, forbidden_option
from devcluster.apiserver.faults import Faults
from devcluster.apiserver.kinds import Kind
from devcluster.apiserver.store import Change, Expired, Object, Store, Version, Watcher

# As in kube-apiserver: a bookmark about once a minute, and 30 to 60 minutes for a watch without timeoutSeconds.
_BOOKMARK_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = (1800.0, 3600.0)
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"

Render = Callable[[Version], bytes]


@dataclass(frozen=True, slots=True)
class Watch:
    """The parameters of a watch request.

    Args:
        render: writes a version in the requested form.
        shared: whether other watches of the kind render the same; their events are encoded once.
    """

    kind: Kind
    namespace: str
    name: str
    query: Mapping[str, str]
    render: Render
    shared: bool


@dataclass(frozen=True, slots=True)
class _Filter:
    """Selects the objects of a watch."""

    namespace: str
    name: str
    selected: Callable[[Object], bool] | None

    def __call__(self, version: Version) -> bool:
        meta = version.obj["metadata"]
        if self.namespace and meta.get("namespace") != self.namespace:
            return False
        if self.name and meta["name"] != self.name:
            return False
        return self.selected is None or self.selected(version.obj)


async def serve(request: web.BaseRequest, store: Store, watch: Watch, faults: Faults) -> web.StreamResponse:
    """Serve a watch request to its end."""
    # Refusals come before the first byte; a revision that is too old is an event in a response with code 200.
    initial = _wants_initial_events(watch)
    chosen = _Filter(watch.namespace, watch.name, lists.selection(watch.kind, watch.query))
    seconds = _seconds(watch.query)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    awake = asyncio.Event()
    resource = watch.kind.qualified_name
    try:
        revision = None if initial else lists.start_revision(store, watch.query)
        watcher = store.watch(resource, revision, awake.set)
    except Expired as problem:
        await response.prepare(request)
        await response.write(_error(StatusError(410, str(problem))))
        return response
    try:
        await response.prepare(request)
        sender = _Sender(response, store, watch, chosen, faults)
        if revision is None:
            await sender.send_initial(watcher, end_marker=initial)
        await sender.follow(watcher, awake, seconds)
    except ConnectionError:
        pass  # the client disconnected, as at the end of most watches
    finally:
        store.unwatch(resource, watcher)
    return response


class _Sender:
    """Sends the events of one watch."""

    def __init__(
        self, response: web.StreamResponse, store: Store, watch: Watch, chosen: _Filter, faults: Faults
    ) -> None:
        self._response = response
        self._store = store
        self._watch = watch
        self._chosen = chosen
        self._faults = faults
        self._left = faults.close_watches_after or -1
        self._bookmarks = watch.query.get("allowWatchBookmarks") in ("true", "1")

    async def send_initial(self, watcher: Watcher, *, end_marker: bool) -> None:
        """Send the current objects as ADDED, and on request the bookmark after them."""
        # Changes that came while the headers were sent are in the list that follows.
        watcher.pending.clear()
        revision = self._store.revision
        found = [
            each
            for each in self._store.list(self._watch.kind.qualified_name, self._watch.namespace)
            if self._chosen(each)
        ]
        frames = [_frame(b"ADDED", self._watch.render(version)) for version in found]
        if end_marker and self._bookmarks:
            frames.append(self._bookmark(revision, {INITIAL_EVENTS_END: "true"}))
        if frames:
            await self._response.write(b"".join(frames))

    async def follow(self, watcher: Watcher, awake: asyncio.Event, seconds: float) -> None:
        """Send changes until the watch ends."""
        loop = asyncio.get_running_loop()
        end, next_bookmark = loop.time() + seconds, loop.time() + _BOOKMARK_SECONDS
        while self._left != 0:
            awake.clear()
            frames = list(self._frames(watcher))
            if frames:
                if self._faults.watch_latency:
                    await asyncio.sleep(self._faults.watch_latency)
                await self._response.write(b"".join(frames))
                continue
            now = loop.time()
            if watcher.closed or now >= end:
                break
            if now >= next_bookmark:
                next_bookmark = now + _BOOKMARK_SECONDS
                await self._send_bookmark()
            try:
                async with asyncio.timeout_at(min(end, next_bookmark)):
                    await awake.wait()
            except TimeoutError:
                continue

    async def _send_bookmark(self) -> None:
        if self._bookmarks:
            await self._response.write(self._bookmark(self._store.revision))

    def _frames(self, watcher: Watcher) -> Iterator[bytes]:
        while watcher.pending and self._left != 0:
            frame = self._encode(watcher.pending.popleft())
            if frame:
                self._left -= 1
                yield frame

    def _encode(self, change: Change) -> bytes:
        """Return the event of a change for this watch: objects enter and leave its selection."""
        was = change.old is not None and self._chosen(change.old)
        now = change.new is not None and self._chosen(change.new)
        if not was and not now:
            return b""
        verb = b"MODIFIED" if was and now else b"ADDED" if now else b"DELETED"
        key = f"{self._watch.kind.version}/{verb.decode()}"
        frame = change.frames.get(key) if self._watch.shared else None
        if frame is None:
            version = change.new if now else change.removed or _old_state(change)
            assert version is not None
            frame = _frame(verb, self._watch.render(version))
            if self._watch.shared:
                change.frames[key] = frame
        return frame

    def _bookmark(self, revision: int, annotations: Mapping[str, str] | None = None) -> bytes:
        kind = self._watch.kind
        meta: dict[str, Any] = {"resourceVersion": str(revision)}
        if annotations:
            meta["annotations"] = annotations
        obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}
        return _frame(b"BOOKMARK", self._watch.render(Version(obj, orjson.dumps(obj), revision)))


def _old_state(change: Change) -> Version:
    """Return the old state of an object that has left the selection, with the revision of the change.

    The new labels would not match the client's selection.
    """
    assert change.old is not None
    old = change.old.obj
    obj = {**old, "metadata": {**old["metadata"], "resourceVersion": str(change.revision)}}
    return Version(obj, orjson.dumps(obj), change.revision)


def _frame(verb: bytes, raw: bytes) -> bytes:
    return b'{"type":"' + verb + b'","object":' + raw + b"}\n"


def _error(error: StatusError) -> bytes:
    return _frame(b"ERROR", orjson.dumps(error.status()))


def _wants_initial_events(watch: Watch) -> bool:
    query = watch.query
    wanted = query.get("sendInitialEvents") in ("true", "1")
    match = query.get("resourceVersionMatch", "")
    if "sendInitialEvents" in query and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise forbidden_option("ListOptions", "resourceVersionMatch", why)
    if match and "sendInitialEvents" not in query:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise forbidden_option("ListOptions", "resourceVersionMatch", why)
    return wanted


def _seconds(query: Mapping[str, str]) -> float:
    text = query.get("timeoutSeconds", "")
    if text.isascii() and text.isdigit() and int(text[:9]) > 0:
        return float(text[:9])
    return random.uniform(*_LONGEST_SECONDS)  # noqa: S311  spreads reconnects
