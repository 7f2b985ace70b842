"""The installation's own say on what may be sent: an HTTP address that sees each request before the provider does.

It is asked `{"namespace", "job", "model", "body"}` by POST, and answers `{"decision": "Allow"}`, `{"decision": "Deny",
"reason": …}` or `{"decision": "Redact", "body": …}`, the body being the whole request to send instead.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from agentjobs.models.models_file import CheckerEntry, OnFailure
from agentjobs.proxy.upstream import CutShort, Unreached, Upstream

logger = logging.getLogger(__name__)

# A redacted request is as large as the request; a little more for the rest.
_MORE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Denied:
    """It must not be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """This is to be sent instead."""

    body: bytes


class Failed(Exception):
    """The checker gave no answer that can be understood; nothing may be sent."""


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
    """Asks the address that an installation says."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def check(
        self, entry: CheckerEntry, *, namespace: str, job: str, model: str, body: bytes
    ) -> Denied | Redacted | None:
        """Return what the checker says of a request; None when it may be sent as it is.

        Args:
            entry: who is asked, for how long, and what holds when there is no answer.
            body: JSON, or empty.

        Raises:
            Failed: it says nothing that can be understood, and the installation fails closed.
        """
        try:
            async with asyncio.timeout(entry.timeout.total_seconds()):
                verdict = await self._ask(entry.url, _Question(namespace, job, model, Raw(body or b"null")))
            if verdict.decision == "Deny":
                return Denied(verdict.reason or "it gave no reason")
            if verdict.decision == "Redact":
                if not bytes(verdict.body):
                    raise ValueError("Redact without a body")
                return Redacted(bytes(verdict.body))
        except (Unreached, CutShort, TimeoutError, ValueError, msgspec.DecodeError) as error:
            # Its text may quote the request.
            logger.error("checker.failed", extra={"error": type(error).__name__, "on_failure": entry.on_failure.value})
            if entry.on_failure is OnFailure.DENY:
                raise Failed from error
        return None

    async def _ask(self, url: str, question: _Question) -> _Verdict:
        sent = msgspec.json.encode(question)
        headers = {"content-type": "application/json", "accept": "application/json"}
        async with self._upstream.ask("POST", url, headers, sent) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            said = bytearray()
            async for piece in answer.pieces():
                said += piece
                if len(said) > len(sent) + _MORE_BYTES:
                    raise ValueError("an answer that is larger than the request")
        return msgspec.json.decode(said, type=_Verdict)
