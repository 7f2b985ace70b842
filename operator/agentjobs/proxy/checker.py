"""The installation's checker: an HTTP endpoint that sees each request before the provider.

It gets `{"namespace", "job", "model", "body"}` by POST, and answers `{"decision": "Allow"}`, `{"decision": "Deny",
"reason": …}` or `{"decision": "Redact", "body": …}`, where body is the complete request to send instead.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from agentjobs.models.models_file import CheckerEntry, OnFailure
from agentjobs.proxy.upstream import CutShort, Unreachable, Upstream

logger = logging.getLogger(__name__)

# A redacted request has the request's size; a little more for the other fields.
_MORE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Denied:
    """The request must not be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """Send this request instead."""

    body: bytes


class Failed(Exception):
    """The checker's answer is invalid or missing, so nothing may be sent."""


class _Question(Struct):
    namespace: str
    job: str
    model: str
    body: Raw


class _Verdict(Struct):
    decision: Literal["Allow", "Deny", "Redact"]
    reason: Annotated[str, Meta(max_length=1000)] = ""
    body: Raw = Raw(b"")


class Checker:
    """Calls the installation's checker."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def check(
        self, entry: CheckerEntry, *, namespace: str, job: str, model: str, body: bytes
    ) -> Denied | Redacted | None:
        """Return the checker's decision; None if the request may be sent unchanged.

        Args:
            entry: the checker's address, its timeout, and what to do without an answer.
            body: JSON, or empty.

        Raises:
            Failed: the answer is invalid or missing, and the installation fails closed.
        """
        try:
            async with asyncio.timeout(entry.timeout.total_seconds()):
                verdict = await self._request(entry.url, _Question(namespace, job, model, Raw(body or b"null")))
            if verdict.decision == "Deny":
                return Denied(verdict.reason or "no reason given")
            if verdict.decision == "Redact":
                if not bytes(verdict.body):
                    raise ValueError("Redact without a body")
                return Redacted(bytes(verdict.body))
        except (Unreachable, CutShort, TimeoutError, ValueError, msgspec.DecodeError) as error:
            # The error's text may quote the request.
            logger.error("checker.failed", extra={"error": type(error).__name__, "on_failure": entry.on_failure.value})
            if entry.on_failure is OnFailure.DENY:
                raise Failed from error
        return None

    async def _request(self, url: str, question: _Question) -> _Verdict:
        sent = msgspec.json.encode(question)
        headers = {"content-type": "application/json", "accept": "application/json"}
        async with self._upstream.send("POST", url, headers, sent) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            received = bytearray()
            async for piece in answer.pieces():
                received += piece
                if len(received) > len(sent) + _MORE_BYTES:
                    raise ValueError("an answer that is larger than the request")
        return msgspec.json.decode(received, type=_Verdict)
