"""The kept files of one run, in the gateway. See `kept` for the engines' interface."""

import itertools
import time
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import urlencode

import httpx

from agentjobs import contract
from agentjobs.contract import MAX_KEPT_PART_BYTES
from agentjobs.errors import NotFound
from agentjobs_runner.gateway import answer_of

_BYTES: Final = {"Content-Type": "application/octet-stream"}


class GatewayKept:
    """Implements `kept.Kept`.

    Args:
        request: sends a request, with retries while the gateway is unavailable.
    """

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request
        # Microseconds, so that they increase over all processes of a start, which run one after the other: the gateway
        # ignores a write with a smaller number than the file's last one. A process writes less than once in each.
        self._writes = itertools.count(time.time_ns() // 1000)

    def files(self) -> dict[str, int]:
        """Return the names and sizes of all files."""
        found = answer_of(self._request("GET", contract.PATH_KEPT), contract.PATH_KEPT)
        return {file["name"]: file["bytes"] for file in cast("contract.KeptFiles", found)["files"]}

    def read(self, name: str) -> bytes | None:
        """Return a whole file; None if it does not exist."""
        whole = bytearray()
        while True:
            try:
                part = self._request("GET", _path(name=name, offset=len(whole))).content
            except NotFound:
                return None
            whole += part
            if len(part) < MAX_KEPT_PART_BYTES:
                return bytes(whole)

    def write(self, name: str, content: bytes, *, offset: int = 0) -> None:
        """Truncate a file to `offset`, then append the content, of any length."""
        # At least one part: an empty one truncates the file.
        for begin in range(0, max(len(content), 1), MAX_KEPT_PART_BYTES):
            # The same number in retries: an abandoned request must not undo the next one.
            path = _path(name=name, offset=offset + begin, write=next(self._writes))
            self._request("PUT", path, content[begin : begin + MAX_KEPT_PART_BYTES], _BYTES)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        self._request("DELETE", _path(name=name, write=next(self._writes)))


def _path(**query: Any) -> str:
    return f"{contract.PATH_KEPT_CONTENT}?{urlencode(query)}"
