"""Makes a call: a turn within a key's limits, the request, the answer passed on piece by piece.

A model has several ways (providers, keys) and may have fallbacks. Until the first byte of an answer has been sent to
the pod, a failed way is followed by the next. `calls.Call` decides how it is booked.
"""

import asyncio
import logging
import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from agentjobs import contract, errors
from agentjobs.models.tokens import Tokens
from agentjobs.proxy import refusals
from agentjobs.proxy.apis.api import Api, CallRefusal, ParsedRequest
from agentjobs.proxy.calls import Call
from agentjobs.proxy.client import Client
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.proxy.refusals import Refused
from agentjobs.proxy.routing import Stage, Way
from agentjobs.proxy.turns import NoTurn, Turn, Wanted
from agentjobs.proxy.upstream import CutShort, FailureCause, ProviderResponse, Unreachable, Upstream

logger = logging.getLogger(__name__)

# Pause between two attempts at an unavailable model, before a fallback is used.
TRY_AGAIN_SECONDS: Final = (0.5, 4.0)
# How long a key that its provider rejects, or that has no credit, is not tried.
USELESS_SECONDS: Final = 60.0
# For a provider that reports itself busy without a time.
BUSY_SECONDS: Final = 5.0
MAX_BUSY_SECONDS: Final = 3600.0
# For a provider with a used-up daily quota, which may be raised.
DAILY_SECONDS: Final = 600.0
# How often a key may reject a call because it is busy. Further rejections may be caused by this call alone, and each
# one closes the key for all others.
BUSY_TIMES: Final = 3
# Size of a provider's error: enough for the longest explanation.
ERROR_BYTES: Final = 64 * 1024
# Gemini answers 400 for an unknown key. Matched as a member of the answer, because Gemini quotes unknown fields, which
# a pod chooses, in a text.
_UNKNOWN_KEY: Final = re.compile(rb'"reason"\s*:\s*"API_KEY_INVALID"')
# OpenAI answers 429 for this, although waiting does not help.
_NO_CREDIT: Final = b'"insufficient_quota"'
# OpenAI answers 429 to a request larger than the whole limit.
_TOO_LARGE: Final = b"Request too large"
# Gemini sends the delay in the body. For a daily quota it is the end of the minute.
_RETRY_DELAY: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')
_DAILY: Final = re.compile(rb'"quotaId"\s*:\s*"\w*PerDay')
# Media types of answers; a load balancer's page has another, whatever its status.
_MEDIA: Final = ("json", "event-stream")
_DOWN: Final = frozenset({500, 502, 503, 504, 529})
# Statuses that ask for another attempt later.
_LATER: Final = frozenset({429, 503, 529})


class FailureKind(StrEnum):
    """What a provider's error means for other ways."""

    BUSY = "busy"
    """The key has reached a limit for a while."""
    DOWN = "down"
    """The provider is unavailable; another may answer."""
    USELESS = "useless"
    """The key is rejected, or has no credit."""
    DENIED = "denied"
    """The key may not do this; another may. A pod can request things that no key may do, such as another account's
    cache, so other requests are not affected."""
    FINAL = "final"
    """The result would be the same anywhere."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a provider answered, or a missing answer."""

    kind: FailureKind
    way: Way
    status: int
    """The provider's status; 0 for none."""
    headers: Mapping[str, str]
    body: bytes
    refusal: CallRefusal | None = None
    """The response to the pod instead."""
    retry_after: float = BUSY_SECONDS
    retry_delay: float = 0.0
    """The seconds of Retry-After, without a limit; 0 for none."""


@dataclass(slots=True)
class Outgoing:
    """The call to send, and its job."""

    client: Client
    api: Api
    request: ParsedRequest
    call: Call
    job: str
    """The job's uid."""
    queue: tuple[str, str]
    """Its namespace and queue."""
    release: Callable[[], Awaitable[None]]
    """Releases the memory of the request's body."""

    async def forget_body(self) -> None:
        """Release the body: an answer has begun, and may take an hour."""
        self.request = replace(self.request, body=b"")
        await self.release()


class Sender:
    """Sends calls. One per process.

    Args:
        key_of: returns the key of a way, just before it is used.
        clock: in seconds, monotonic.
    """

    def __init__(
        self,
        *,
        limiter: Limiter,
        upstream: Upstream,
        key_of: Callable[[Way], Awaitable[str]],
        metrics: ProxyMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._limiter = limiter
        self._upstream = upstream
        self._key_of = key_of
        self._metrics = metrics
        self._clock = clock

    async def send(self, outgoing: Outgoing, *, max_wait: float) -> None:
        """Make a call: pass on an answer, or the provider's error if there is no other way.

        Args:
            max_wait: seconds for waiting and further attempts.

        Raises:
            Refused: there was no turn, no key, or no usable answer.
            CutShort: the answer that had begun is incomplete.
        """
        plan, until = outgoing.call.plan, self._clock() + max_wait
        failure: Failure | None = None
        no_turn: NoTurn | None = None
        for number, stage in enumerate(plan.stages, 1):
            last = number == len(plan.stages)
            end = until if last else min(until, self._clock() + plan.after.total_seconds())
            try:
                failure = await self._stage(outgoing, stage, end, again=not last)
            except NoTurn as error:
                no_turn = error
                continue
            if failure is None:
                return
            if failure.kind is FailureKind.FINAL:
                break
        if failure is not None:
            await self._send_error(outgoing, failure)
        elif no_turn is not None:
            raise Refused(refusals.no_turn(plan.stages[0].model, no_turn.limit, no_turn.retry_after)) from no_turn

    async def _stage(self, outgoing: Outgoing, stage: Stage, until: float, *, again: bool) -> Failure | None:
        """Try the ways of a model; return None when one has answered, else the last error.

        Args:
            again: whether to repeat them until the deadline if all fail.
        """
        ways, pause, failure = list(stage.ways), TRY_AGAIN_SECONDS[0], None
        busy: Counter[str] = Counter()
        while True:
            try:
                failure = await self._turn(outgoing, stage, ways, until)
            except NoTurn:
                if failure is None:
                    raise
                return failure
            if failure is None or failure.kind is FailureKind.FINAL:
                return failure
            busy[failure.way.key.name] += failure.kind is FailureKind.BUSY
            if failure.kind is not FailureKind.BUSY or busy[failure.way.key.name] >= BUSY_TIMES:
                ways.remove(failure.way)
            if ways:
                continue
            if not again or failure.kind is not FailureKind.DOWN or self._clock() + pause >= until:
                return failure
            await asyncio.sleep(pause)
            ways, pause = list(stage.ways), min(TRY_AGAIN_SECONDS[1], 2 * pause)

    async def _turn(self, outgoing: Outgoing, stage: Stage, ways: list[Way], until: float) -> Failure | None:
        plan, began = outgoing.call.plan, self._clock()
        tokens = Tokens(plan.tokens_in, plan.tokens_out)
        keys = tuple(way.key for way in ways)
        wanted = Wanted(outgoing.job, stage.model, tokens, keys, outgoing.queue, stage.aliases)
        try:
            turn = await self._limiter.enter(wanted, max_wait=max(0.0, until - began))
        finally:
            outgoing.call.limits_wait += self._clock() - began
        try:
            way = next(way for way in ways if way.key.name == turn.key)
            try:
                key = await self._key_of(way)
            except errors.AgentJobsError as error:
                self._limiter.unused(turn)
                return Failure(FailureKind.DOWN, way, 0, {}, b"", refusals.no_key(way, error))
            failure = await self._once(outgoing, way, key)
            if failure is not None:
                await self._close(turn, failure)
            return failure
        finally:
            self._limiter.leave(turn, outgoing.call.used_of_limits())

    async def _close(self, turn: Turn, failure: Failure) -> None:
        if failure.kind is FailureKind.BUSY:
            await self._limiter.refused(turn, seconds=failure.retry_after, reason="429 from the provider")
        elif failure.kind is FailureKind.USELESS:
            reason = f"{failure.status} from the provider: the key is rejected or has no credit"
            await self._limiter.refused(turn, seconds=USELESS_SECONDS, reason=reason, whole_key=True)

    async def _once(self, outgoing: Outgoing, way: Way, key: str) -> Failure | None:
        began = self._clock()
        outgoing.call.sends(way)
        self._metrics.open.inc()
        try:
            failure = await self._request(outgoing, way, key)
            if failure is not None:
                outgoing.call.fails(way, failure.status)
            return failure
        except CutShort:
            raise  # without an answer the provider need not have done the work
        except BaseException:
            outgoing.call.lasts(self._clock() - began)
            raise
        finally:
            self._metrics.open.dec()
            self._metrics.ended(way.provider.name, outgoing.call.outcome, self._clock() - began)

    async def _request(self, outgoing: Outgoing, way: Way, key: str) -> Failure | None:
        began = self._clock()
        try:
            async with self._upstream.send(outgoing.request.method, *way.request(outgoing.request, key)) as answer:
                outgoing.call.first_byte = self._clock() - began
                self._metrics.began(way.provider.name, outgoing.call.first_byte)
                if answer.status >= 300 or not answer.media_type.endswith(_MEDIA):
                    return await _failure(way, answer, key)
                await self._pass_on(outgoing, way, answer, began)
                return None
        except Unreachable as error:
            refusal = refusals.unreached(way, str(error), in_time=error.cause is not FailureCause.SILENT)
            if error.cause is FailureCause.SILENT:
                # The provider has the request and may still process it: it is billed, and no other provider is called.
                raise Refused(refusal) from error
            return Failure(FailureKind.DOWN, way, 0, {}, b"", refusal)

    async def _pass_on(self, outgoing: Outgoing, way: Way, answer: ProviderResponse, began: float) -> None:
        """Pass on a successful answer piece by piece.

        Args:
            began: when the request was sent, by the clock.
        """
        reader = outgoing.api.usage_reader(outgoing.request)
        outgoing.call.answered(answer.status, reader)
        await outgoing.forget_body()
        headers = {**answer.headers, **_model_header(outgoing.call, way)}
        if outgoing.request.streamed:
            # With a Content-Length, an incomplete stream would look complete as HTTP.
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        await outgoing.client.begin(answer.status, headers, streamed=outgoing.request.streamed)
        try:
            held = b""
            async for piece in answer.pieces():
                outgoing.call.receive(piece)
                outgoing.call.lasts(self._clock() - began)
                if not outgoing.request.streamed:
                    # Not a stream, so no one waits for pieces. The last piece is sent when the answer is known to be
                    # complete, and the head with the first: a response without a body would look complete.
                    held, piece = piece, held
                await outgoing.client.write(piece)
            if not reader.whole:
                raise CutShort(FailureCause.BROKEN, "its end is missing")
            await outgoing.client.write(held)
            outgoing.call.complete()
            await outgoing.client.end()
        except (asyncio.CancelledError, ConnectionError):
            # Some clients disconnect after the last event of a stream. OpenAI's chats send usage after it.
            if outgoing.request.streamed and reader.whole and reader.tokens() is not None:
                outgoing.call.complete()
            raise

    async def _send_error(self, outgoing: Outgoing, failure: Failure) -> None:
        """Send the pod a provider's error, or its replacement."""
        if failure.refusal is not None:
            raise Refused(failure.refusal)
        long = failure.retry_delay > contract.LONG_DELAY_SECONDS
        if long and outgoing.api.delay_in_code and failure.status in _LATER:
            raise Refused(refusals.later(failure.way, failure.status, failure.retry_delay))
        await outgoing.client.begin(failure.status, {**failure.headers, "content-length": str(len(failure.body))})
        await outgoing.client.write(failure.body)
        await outgoing.client.end()


async def _failure(way: Way, answer: ProviderResponse, key: str) -> Failure:
    """Return the error in an unsuccessful answer."""
    body = await answer.start(ERROR_BYTES + 1)
    refusal, kind = None, FailureKind.FINAL
    if answer.status < 300:
        refusal, kind = refusals.unexpected_answer(way, answer.status, "but neither JSON nor events"), FailureKind.DOWN
    elif answer.status < 400:
        refusal = refusals.unexpected_answer(way, answer.status, "a redirection, which is not followed")
    elif answer.status == 401 or _UNKNOWN_KEY.search(body):
        refusal, kind = refusals.bad_key(way, answer.status), FailureKind.USELESS
    elif answer.status == 403:
        kind = FailureKind.DENIED
    elif answer.status == 429 and _TOO_LARGE not in body:
        kind = FailureKind.USELESS if _NO_CREDIT in body else FailureKind.BUSY
    elif answer.status in _DOWN:
        kind = FailureKind.DOWN
    if refusal is None and (len(body) > ERROR_BYTES or (key and key.encode() in body)):
        refusal = refusals.unexpected_answer(way, answer.status, "in a body that is not passed on")
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    delay = _seconds_of(answer.retry_after)
    return Failure(kind, way, answer.status, headers, body, refusal, _seconds(answer.retry_after, body), delay)


def _seconds_of(retry_after: str) -> float:
    """Return the seconds of a header, 0 without one."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0


def _seconds(retry_after: str, body: bytes) -> float:
    """Return the delay that a provider requests."""
    if _DAILY.search(body):
        return DAILY_SECONDS
    in_body = _RETRY_DELAY.search(body)
    try:
        seconds = float(retry_after or (in_body[1] if in_body else b"nothing"))
    except ValueError:
        return BUSY_SECONDS
    return min(MAX_BUSY_SECONDS, seconds) if seconds >= 0 else BUSY_SECONDS


def _model_header(call: Call, way: Way) -> dict[str, str]:
    return {contract.HEADER_MODEL: way.model} if way.model != call.requested else {}
