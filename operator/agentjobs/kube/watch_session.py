"""The HTTP session with which kopf lists and watches. Objects go to our caches, and kopf only gets the progress.

For each event kopf creates a task, wraps the object and detects causes of handlers. That costs several times the CPU of
updating a cache, and half of all events repeat the responses to our own writes. So events are taken from the responses
to kopf's requests. kopf still sends them, retries, lists after a gap and resumes watches: instead of events it gets
bookmarks, by which an API server reports the progress of a watch. Instead of its lists it gets an empty one with the
version of our list, so that its watch begins where our list ended.
Created by `kopf_adapter` at each login.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import aiohttp
import orjson

from agentjobs.errors import AgentJobsError
from agentjobs.kube.lines import whole_lines

logger = logging.getLogger(__name__)

Observe: TypeAlias = Callable[[str | None, Mapping[str, Any]], None]
"""Handles one event: ADDED, MODIFIED or DELETED, and the object. Must not block."""

IsKnown: TypeAlias = Callable[[str], bool]
"""Whether an ADDED or MODIFIED event with this resourceVersion would bring nothing new."""

Begin: TypeAlias = Callable[[str | None], Awaitable[str]]
"""Lists the objects of a kind, of one namespace or of all, and returns the resourceVersion to watch from."""

LIST_SUFFIX: Final = "List"
RETRY_SECONDS: Final = 1.0
CHANGES: Final = frozenset({"ADDED", "MODIFIED", "DELETED"})
_UPDATES: Final = (b'{"type":"MODIFIED"', b'{"type":"ADDED"')
_VERSION: Final = b'"resourceVersion":"'


def watch_session(
    *,
    headers: Mapping[str, str],
    connector: aiohttp.BaseConnector,
    proxy: str | None,
    observers: Mapping[str, Observe],
    known: Mapping[str, IsKnown],
    lists: Mapping[str, Begin],
) -> aiohttp.ClientSession:
    """Return a session whose watches pass the objects of some kinds to observers, and whose lists are ours."""

    class WatchResponse(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            if self.status == 200 and self.url.query.get("watch") == "true":
                content: Any = WatchedContent(self.content, observers, known)
                self.content = content
            return self

        async def json(self, **kwargs: Any) -> Any:
            body = await super().json(**kwargs)
            kind = str(body.get("kind")) if isinstance(body, dict) else ""
            begin = lists.get(kind.removesuffix(LIST_SUFFIX))
            if begin is None or not kind.endswith(LIST_SUFFIX):
                return body
            try:
                version = await begin(_namespace(self.url.path))
            except AgentJobsError as error:
                # As if the request had failed, so that kopf lists again.
                await asyncio.sleep(RETRY_SECONDS)
                raise aiohttp.ClientConnectionError(str(error)) from error
            return {**body, "items": [], "metadata": {"resourceVersion": version}}

    return aiohttp.ClientSession(connector=connector, headers=headers, proxy=proxy, response_class=WatchResponse)


class WatchedContent:
    """The stream of a watch, without the events of some kinds; otherwise like the wrapped stream.

    All events of a watch have the same kind, that of the first.
    """

    def __init__(
        self, content: aiohttp.StreamReader, observers: Mapping[str, Observe], known: Mapping[str, IsKnown]
    ) -> None:
        self._content = content
        self._observers = observers
        self._known = known
        self._is_known: IsKnown | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        """Yield the part of the stream for kopf, which reads watches with this method."""
        async for lines in whole_lines(self._content):
            yield b"".join(self._left(lines))

    def _left(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Replace events in lines with bookmarks, one for each sequence of events."""
        version = None
        for line in lines:
            taken = self._taken(line)
            if taken is None:
                if version is not None:
                    yield _bookmark(version)
                    version = None
                yield line + b"\n"
            else:
                version = taken
        if version is not None:
            yield _bookmark(version)

    def _taken(self, line: bytes) -> str | None:
        """Pass on the event of a line and return its resourceVersion; None if it is for kopf."""
        if (known := self._known_version(line)) is not None:
            return known
        try:
            event = orjson.loads(line)
            kind, obj = event["type"], event["object"]
            observe, version = self._observers[obj["kind"]], obj["metadata"]["resourceVersion"]
        except (ValueError, KeyError, TypeError):
            return None
        if kind not in CHANGES or not isinstance(version, str):
            return None
        self._is_known = self._known.get(obj["kind"])
        _hand_over(observe, kind, obj)
        return version

    def _known_version(self, line: bytes) -> str | None:
        """Return the resourceVersion of an event that brings nothing new, found without decoding the object.

        A line that has several is decoded, because users may write that name into their objects.
        """
        if self._is_known is None or not line.startswith(_UPDATES):
            return None
        begin = line.find(_VERSION) + len(_VERSION)
        if begin < len(_VERSION) or line.find(_VERSION, begin) >= 0:
            return None
        version = line[begin : line.find(b'"', begin)].decode()
        return version if self._is_known(version) else None


def _namespace(path: str) -> str | None:
    """Return the namespace of a list, None for all."""
    found = re.search("/namespaces/([^/]+)/", path)
    return found[1] if found else None


def _bookmark(version: str) -> bytes:
    return orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}) + b"\n"


def _hand_over(observe: Observe, kind: str | None, obj: Mapping[str, Any]) -> None:
    try:
        observe(kind, obj)
    except Exception:
        # One unreadable object must not end the watch. The next list contains it again.
        logger.exception("watch.failed", extra={"kind": obj.get("kind")})
