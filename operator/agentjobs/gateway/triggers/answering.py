"""Handles signed calls: the result is a job, nothing, or a refusal that reveals nothing."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.capacity import Capacity
from agentjobs.gateway.limits import Rates
from agentjobs.gateway.triggers import calls
from agentjobs.gateway.triggers.calls import Unreadable
from agentjobs.gateway.triggers.file import Signature, TriggerEntry, Triggers
from agentjobs.gateway.triggers.jobs import CallJob, Kube, Wanted, made_before, make
from agentjobs.gateway.triggers.signatures import is_signed, secret_of
from agentjobs.history.protocols import ReadHistory
from agentjobs.problem import Problem, busy, unauthorized

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
# The limit of all bodies of triggers together, because anyone may send them.
_BODIES_BYTES: Final = 64 * MAX_BODY_BYTES
_WAIT_SECONDS: Final = 5.0
# The rate of calls with a wrong signature from one address, in the long run and in a burst. Calls with a right one are
# not limited: behind an ingress all calls have the same address.
_FAILURES_PER_SECOND: Final = 1.0
_FAILURES: Final = 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it was received."""

    namespace: str
    template: str
    headers: Mapping[str, str]
    body: bytes
    address: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """Slack verifies the address."""

    challenge: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The call is signed, but does not match an entry that creates jobs."""


class SignedCalls:
    """Handles signed calls. One per process.

    Args:
        clock: in seconds, monotonic.
        now: Unix time.
    """

    def __init__(
        self,
        triggers: Triggers,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._triggers = triggers
        self._now = now
        self._failures = Rates(clock, per_second=_FAILURES_PER_SECOND, burst=_FAILURES)
        self._nobodys = secrets.token_bytes(32)
        self.bodies = Capacity(_BODIES_BYTES, timeout=_WAIT_SECONDS)

    async def answer(
        self, call: Call, kube: Kube, history: Callable[[], Awaitable[ReadHistory]]
    ) -> tuple[Signature, CallJob | Challenge | Ignored]:
        """Return the result of a call.

        Args:
            kube: with the gateway's own rights.

        Raises:
            Problem: 401 for a call without a valid signature, 429 for many of these, 400 for an invalid call.
            errors.AgentJobsError: an error of the API server.
        """
        signed = self._signed(call)
        if not signed:
            raise self._refused(call)
        signature = signed[0].signature
        try:
            read = calls.read(call.body, call.headers.get("content-type", ""))
            if (challenge := _challenge(signature, read)) is not None:
                return signature, challenge
            entry = next((entry for entry in signed if calls.matches(entry, read, call.headers)), None)
            if entry is None or _is_ping(signature, call.headers):
                return signature, Ignored()
            wanted = self._wanted(entry, call, read)
        except Unreadable as error:
            raise Problem(400, "BadRequest", f"The call is signed, but invalid: {error}.") from None
        now = datetime.fromtimestamp(self._now(), UTC)
        return signature, await made_before(history, wanted, now=now) or await make(kube, wanted)

    def _signed(self, call: Call) -> list[TriggerEntry]:
        entries = self._triggers.of(call.namespace, call.template)
        now = self._now()
        if not entries:  # takes as long as for an existing trigger
            is_signed(Signature.GITHUB, call.headers, call.body, [self._nobodys], now=now)
        return [
            entry
            for entry in entries
            if is_signed(entry.signature, call.headers, call.body, _secrets(entry) or [self._nobodys], now=now)
        ]

    def _refused(self, call: Call) -> Problem:
        try:
            self._failures.count(call.address)
        except Problem as problem:
            retry_after = float(problem.headers["Retry-After"])
            return busy(429, "Too many calls without a valid signature came from this address.", retry_after)
        logger.warning("trigger.refused", extra={"address": call.address})
        # The same message for a wrong signature, an old one, and a trigger that does not exist.
        return unauthorized("Send a Kubernetes token, or a signature that a trigger of this installation accepts.")

    @staticmethod
    def _wanted(entry: TriggerEntry, call: Call, read: Any) -> Wanted:
        return Wanted(
            entry.namespace,
            entry.template,
            calls.parameters_of(entry, read, call.headers),
            key=calls.key_of(entry, call.body, read, call.headers),
            period=entry.period,
            start_after=entry.start_after,
        )


def _secrets(entry: TriggerEntry) -> list[bytes]:
    """Return the secrets of an entry. They are read for each call, so a change takes effect immediately."""
    found = []
    for file in entry.secret_files:
        try:
            found.append(secret_of(entry.signature, file.read_bytes()))
        except (OSError, ValueError) as error:
            logger.error("trigger.secret_unusable", extra={"file": str(file), "error": _reason(error)})
    return found


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)


def _challenge(signature: Signature, read: Any) -> Challenge | None:
    if signature is not Signature.SLACK or not isinstance(read, dict) or read.get("type") != "url_verification":
        return None
    challenge = read.get("challenge")
    if not isinstance(challenge, str) or not challenge.isascii():
        raise Unreadable("its challenge is not ASCII text")
    return Challenge(challenge[:1024])


def _is_ping(signature: Signature, headers: Mapping[str, str]) -> bool:
    """Whether the call is a ping of GitHub, which it sends to a new address."""
    return signature is Signature.GITHUB and headers.get("x-github-event") == "ping"
