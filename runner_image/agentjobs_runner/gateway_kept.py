"""The kept files of one run, which the gateway keeps. See `kept` for what engines use of them."""

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast
from urllib.parse import urlencode

import httpx

from agentjobs import contract
from agentjobs.contract import MAX_KEPT_PART_BYTES
from agentjobs_runner.gateway import Missing, answer_of

_BYTES: Final = {"Content-Type": "application/octet-stream"}


class Requests(Protocol):
    """The part of `gateway.Gateway` that is used here."""

    def request(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Make a request, in one try."""
        ...


class GatewayKept:
    """Means what `kept.Kept` says.

    Args:
        patiently: makes a request, again and again while the gateway is away.
        microseconds: tells the time; see `_writes`.
    """

    def __init__(
        self,
        gateway: Requests,
        patiently: Callable[[Callable[[], httpx.Response]], httpx.Response],
        *,
        microseconds: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._gateway = gateway
        self._patiently = patiently
        # They rise over all processes of a start, which run one after the other: the gateway passes over a write with
        # a smaller number than the file's last one. A process writes less often than once in a microsecond.
        self._writes = itertools.count(microseconds())

    def files(self) -> dict[str, int]:
        """Return the names of all files, with the bytes of each."""
        found = answer_of(self._asked("GET", contract.PATH_KEPT), contract.PATH_KEPT)
        return {file["name"]: file["bytes"] for file in cast("contract.KeptFiles", found)["files"]}

    def read(self, name: str) -> bytes | None:
        """Return a whole file; None where there is none."""
        whole = bytearray()
        while True:
            try:
                part = self._asked("GET", _path(name=name, offset=len(whole))).content
            except Missing:
                return None
            whole += part
            if len(part) < MAX_KEPT_PART_BYTES:
                return bytes(whole)

    def write(self, name: str, content: bytes, *, offset: int = 0) -> None:
        """Make a file what it was up to `offset`, and then the content, however long it is."""
        # One part at least: an empty one cuts the file.
        for begin in range(0, max(len(content), 1), MAX_KEPT_PART_BYTES):
            # The same number in further tries: a request that was given up must not undo the one after it.
            path = _path(name=name, offset=offset + begin, write=next(self._writes))
            self._asked("PUT", path, content[begin : begin + MAX_KEPT_PART_BYTES], _BYTES)

    def delete(self, name: str) -> None:
        """Delete a file, if there is one."""
        self._asked("DELETE", _path(name=name, write=next(self._writes)))

    def _asked(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return self._patiently(lambda: self._gateway.request(method, path, content, headers))


def _path(**query: Any) -> str:
    return f"{contract.PATH_KEPT_CONTENT}?{urlencode(query)}"
