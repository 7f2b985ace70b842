"""How a call that may be made is made: a turn at a key's limits, the request, the answer passed on as it comes.

A model has several ways (providers, keys), and others may answer in its place. As long as no byte of an answer has
gone to the pod, a way that fails makes room for the next. What of it all is booked is `calls.Call`'s.
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
from agentjobs.proxy.apis.api import Api, Asked, Refusal
from agentjobs.proxy.calls import Call
from agentjobs.proxy.client import Client
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.proxy.refusals import Refused
from agentjobs.proxy.routing import Stage, Way
from agentjobs.proxy.turns import NoTurn, Turn, Wanted
from agentjobs.proxy.upstream import Answer, CutShort, Unreached, Upstream, Why

logger = logging.getLogger(__name__)

# Between two tries of a model that is unavailable, while there is time before another takes its place.
TRY_AGAIN_SECONDS: Final = (0.5, 4.0)
# For how long a key that its provider does not accept, or that has no credit, is not tried.
USELESS_SECONDS: Final = 60.0
# Of a provider that says it is busy and not for how long.
BUSY_SECONDS: Final = 5.0
MAX_BUSY_SECONDS: Final = 3600.0
# Of one whose quota of the day is used up: it may be raised.
DAILY_SECONDS: Final = 600.0
# So often may a key refuse a call because it is busy. What it refuses again may be this call alone, and each time the
# key is closed for all others.
BUSY_TIMES: Final = 3
# Of a provider's error: enough for the longest explanation.
ERROR_BYTES: Final = 64 * 1024
# Of Gemini, which answers 400 for a key that it does not know. As a member of the answer: Gemini repeats fields that it
# does not know in a text, and a pod may choose those.
_UNKNOWN_KEY: Final = re.compile(rb'"reason"\s*:\s*"API_KEY_INVALID"')
# Of OpenAI, which answers 429 although no time will help.
_NO_CREDIT: Final = b'"insufficient_quota"'
# Of OpenAI, which answers 429 to a request that is larger than the whole limit.
_TOO_LARGE: Final = b"Request too large"
# Gemini says in the body when to come again. For a quota of a day that counts to the end of the minute.
_RETRY_DELAY: Final = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')
_DAILY: Final = re.compile(rb'"quotaId"\s*:\s*"\w*PerDay')
# What answers are; a page of a load balancer is none, whatever its status.
_MEDIA: Final = ("json", "event-stream")
_DOWN: Final = frozenset({500, 502, 503, 504, 529})
# By which a provider says that another time is better.
_LATER: Final = frozenset({429, 503, 529})


class Sort(StrEnum):
    """What an error of a provider means for other ways."""

    BUSY = "busy"
    """This key has had enough for a while."""
    DOWN = "down"
    """The provider cannot answer; another may."""
    USELESS = "useless"
    """This key is not accepted, or has no credit."""
    DENIED = "denied"
    """This key may not do what was asked; another may. A pod can ask for what no key may, as a cache of others: so
    nothing follows for other requests."""
    FINAL = "final"
    """It would be the same anywhere."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a provider answered, or that there was no answer."""

    sort: Sort
    way: Way
    status: int
    """The provider's; 0 for none."""
    headers: Mapping[str, str]
    body: bytes
    refusal: Refusal | None = None
    """What the pod is told in its place."""
    retry_after: float = BUSY_SECONDS
    told_delay: float = 0.0
    """Seconds that the header Retry-After says, however many; 0 for none."""


@dataclass(slots=True)
class Outgoing:
    """What is to be sent for whom."""

    client: Client
    api: Api
    asked: Asked
    call: Call
    job: str
    """The job's uid."""
    queue: tuple[str, str]
    """Its namespace and queue."""
    release: Callable[[], Awaitable[None]]
    """Gives back what the request's body holds."""

    async def forget_body(self) -> None:
        """Let the body go: an answer has begun, and may take an hour."""
        self.asked = replace(self.asked, body=b"")
        await self.release()


class Sender:
    """Sends calls. One per process.

    Args:
        key_of: gives the key of a way, when it is about to be used.
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

    async def send(self, outgoing: Outgoing, *, patience: float) -> None:
        """Make a call: pass an answer on, or the provider's error when there is no other way.

        Args:
            patience: seconds that it may wait for turns and try again.

        Raises:
            Refused: there was no turn, no key, or no answer that could be passed on.
            CutShort: the answer that was begun did not come whole.
        """
        plan, until = outgoing.call.plan, self._clock() + patience
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
            if failure.sort is Sort.FINAL:
                break
        if failure is not None:
            await self._tell(outgoing, failure)
        elif no_turn is not None:
            raise Refused(refusals.no_turn(plan.stages[0].model, no_turn.limit, no_turn.retry_after)) from no_turn

    async def _stage(self, outgoing: Outgoing, stage: Stage, until: float, *, again: bool) -> Failure | None:
        """Try the ways of a model; return None when one gave an answer, else the last error.

        Args:
            again: whether to try them again until the end, when all of them fail.
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
            if failure is None or failure.sort is Sort.FINAL:
                return failure
            busy[failure.way.key.name] += failure.sort is Sort.BUSY
            if failure.sort is not Sort.BUSY or busy[failure.way.key.name] >= BUSY_TIMES:
                ways.remove(failure.way)
            if ways:
                continue
            if not again or failure.sort is not Sort.DOWN or self._clock() + pause >= until:
                return failure
            await asyncio.sleep(pause)
            ways, pause = list(stage.ways), min(TRY_AGAIN_SECONDS[1], 2 * pause)

    async def _turn(self, outgoing: Outgoing, stage: Stage, ways: list[Way], until: float) -> Failure | None:
        plan, began = outgoing.call.plan, self._clock()
        tokens = Tokens(plan.tokens_in, plan.tokens_out)
        keys = tuple(way.key for way in ways)
        wanted = Wanted(outgoing.job, stage.model, tokens, keys, outgoing.queue, stage.aliases)
        try:
            turn = await self._limiter.enter(wanted, patience=max(0.0, until - began))
        finally:
            outgoing.call.limits_wait += self._clock() - began
        try:
            way = next(way for way in ways if way.key.name == turn.key)
            try:
                key = await self._key_of(way)
            except errors.AgentJobsError as error:
                self._limiter.unused(turn)
                return Failure(Sort.DOWN, way, 0, {}, b"", refusals.no_key(way, error))
            failure = await self._once(outgoing, way, key)
            if failure is not None:
                await self._close(turn, failure)
            return failure
        finally:
            self._limiter.leave(turn, outgoing.call.used_of_limits())

    async def _close(self, turn: Turn, failure: Failure) -> None:
        if failure.sort is Sort.BUSY:
            await self._limiter.refused(turn, seconds=failure.retry_after, reason="429 of the provider")
        elif failure.sort is Sort.USELESS:
            reason = f"{failure.status} of the provider: the key is not accepted or has no credit"
            await self._limiter.refused(turn, seconds=USELESS_SECONDS, reason=reason, whole_key=True)

    async def _once(self, outgoing: Outgoing, way: Way, key: str) -> Failure | None:
        began = self._clock()
        outgoing.call.sends(way)
        self._metrics.open.inc()
        try:
            failure = await self._asked(outgoing, way, key)
            if failure is not None:
                outgoing.call.fails(way, failure.status)
            return failure
        except CutShort:
            raise  # what a provider did not send, it need not have made
        except BaseException:
            outgoing.call.lasts(self._clock() - began)
            raise
        finally:
            self._metrics.open.dec()
            self._metrics.ended(way.provider.name, outgoing.call.outcome, self._clock() - began)

    async def _asked(self, outgoing: Outgoing, way: Way, key: str) -> Failure | None:
        began = self._clock()
        try:
            async with self._upstream.ask(outgoing.asked.method, *way.request(outgoing.asked, key)) as answer:
                outgoing.call.first_byte = self._clock() - began
                self._metrics.began(way.provider.name, outgoing.call.first_byte)
                if answer.status >= 300 or not answer.media_type.endswith(_MEDIA):
                    return await _failure(way, answer, key)
                await self._pass_on(outgoing, way, answer, began)
                return None
        except Unreached as error:
            refusal = refusals.unreached(way, str(error), in_time=error.why is not Why.SILENT)
            if error.why is Why.SILENT:
                # The provider has the request and may be at it still: it is paid for, and not asked of another as well.
                raise Refused(refusal) from error
            return Failure(Sort.DOWN, way, 0, {}, b"", refusal)

    async def _pass_on(self, outgoing: Outgoing, way: Way, answer: Answer, began: float) -> None:
        """Pass a successful answer on as it comes.

        Args:
            began: when the request was sent, by the clock.
        """
        reader = outgoing.api.usage_reader(outgoing.asked)
        outgoing.call.answered(answer.status, reader)
        await outgoing.forget_body()
        headers = {**answer.headers, **_told_model(outgoing.call, way)}
        if outgoing.asked.streamed:
            # With a length, a stream that lacks its end would be whole as HTTP before that is known.
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        await outgoing.client.begin(answer.status, headers, streamed=outgoing.asked.streamed)
        try:
            held = b""
            async for piece in answer.pieces():
                outgoing.call.comes(piece)
                outgoing.call.lasts(self._clock() - began)
                if not outgoing.asked.streamed:
                    # Nobody waits for a piece of it. So its last one goes when it is known to be whole, and its head
                    # with its first: one without a body would be whole by that.
                    held, piece = piece, held
                await outgoing.client.write(piece)
            if not reader.whole:
                raise CutShort(Why.BROKEN, "it lacks its end")
            await outgoing.client.write(held)
            outgoing.call.comes_whole()
            await outgoing.client.end()
        except (asyncio.CancelledError, ConnectionError):
            # Clients know the last event of a stream, and some hang up at it. OpenAI's chats tell usage after it.
            if outgoing.asked.streamed and reader.whole and reader.tokens() is not None:
                outgoing.call.comes_whole()
            raise

    async def _tell(self, outgoing: Outgoing, failure: Failure) -> None:
        """Give the pod a provider's error, or what stands in its place."""
        if failure.refusal is not None:
            raise Refused(failure.refusal)
        long = failure.told_delay > contract.TOLD_DELAY_SECONDS
        if long and outgoing.api.tells_delays and failure.status in _LATER:
            raise Refused(refusals.later(failure.way, failure.status, failure.told_delay))
        await outgoing.client.begin(failure.status, {**failure.headers, "content-length": str(len(failure.body))})
        await outgoing.client.write(failure.body)
        await outgoing.client.end()


async def _failure(way: Way, answer: Answer, key: str) -> Failure:
    """Return what an answer that is no success is."""
    body = await answer.start(ERROR_BYTES + 1)
    refusal, sort = None, Sort.FINAL
    if answer.status < 300:
        refusal, sort = refusals.odd_answer(way, answer.status, "but no JSON and no events"), Sort.DOWN
    elif answer.status < 400:
        refusal = refusals.odd_answer(way, answer.status, "a redirection, which is not followed")
    elif answer.status == 401 or _UNKNOWN_KEY.search(body):
        refusal, sort = refusals.bad_key(way, answer.status), Sort.USELESS
    elif answer.status == 403:
        sort = Sort.DENIED
    elif answer.status == 429 and _TOO_LARGE not in body:
        sort = Sort.USELESS if _NO_CREDIT in body else Sort.BUSY
    elif answer.status in _DOWN:
        sort = Sort.DOWN
    if refusal is None and (len(body) > ERROR_BYTES or (key and key.encode() in body)):
        refusal = refusals.odd_answer(way, answer.status, "in a body that is not passed on")
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    delay = _told(answer.retry_after)
    return Failure(sort, way, answer.status, headers, body, refusal, _seconds(answer.retry_after, body), delay)


def _told(retry_after: str) -> float:
    """Return the seconds of a header, 0 where it says none."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0


def _seconds(retry_after: str, body: bytes) -> float:
    """Return after how long a provider wants to be asked again."""
    if _DAILY.search(body):
        return DAILY_SECONDS
    in_body = _RETRY_DELAY.search(body)
    try:
        seconds = float(retry_after or (in_body[1] if in_body else b"nothing"))
    except ValueError:
        return BUSY_SECONDS
    return min(MAX_BUSY_SECONDS, seconds) if seconds >= 0 else BUSY_SECONDS


def _told_model(call: Call, way: Way) -> dict[str, str]:
    return {contract.HEADER_MODEL: way.model} if way.model != call.asked else {}
