"""A line: calls of one model with the same keys, waiting for their turns.

A line sends history one request at a time, for all waiting calls. Jobs take turns in it, and a job's calls stay in
order.
"""

import asyncio
import contextlib
import logging
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Final
from uuid import UUID, uuid4

from agentjobs.errors import AgentJobsError
from agentjobs.history.model_protocols import ModelLimits
from agentjobs.history.model_records import (
    PROBE_SECONDS,
    RECHECK_SECONDS,
    Refused,
    Room,
    Take,
    Taken,
)
from agentjobs.models.config import Key, Quota
from agentjobs.models.models_file import Counts
from agentjobs.models.names import pool
from agentjobs.models.queue_limits import queue_of
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.closures import Closures
from agentjobs.proxy.returns import Returns
from agentjobs.proxy.turns import Amounts, NoTurn, Turn, Wanted, amount_of, amounts_of, is_larger, take_of

logger = logging.getLogger(__name__)

# Calls per request: a share of the smallest limit, so that proxies waiting for the same limit take turns.
_SHARE_OF_LIMIT: Final = 20
_AT_LEAST: Final = 4
_AT_MOST: Final = 64
# Taken in advance: a fiftieth of a limit, while half of it is free and calls came in the last second.
_LEASE_PART: Final = 50
_BUSY_CALLS: Final = 4
# Maximum age of an answer that is used to choose the key with most left.
_FRESH_SECONDS: Final = 5.0
# A model without capacity for longer than this is reported as exhausted, so that no more jobs start on it.
_EXHAUSTED_SECONDS: Final = 5.0
# A daily limit may be raised, or a key added, while no start would notice.
_EXHAUSTED_AT_MOST: Final = 600.0
# Longer than a statement may take, here and at the server.
_IN_DOUBT_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Lease:
    """What was taken in advance from a key's limits."""

    key: str
    left: dict[str, int]
    slices: Mapping[str, int]

    def covers(self, amounts: Sequence[tuple[Quota, int]]) -> bool:
        return all(amount <= self.left.get(quota.bucket, -1) for quota, amount in amounts)


@dataclass(slots=True, eq=False)
class _Waiting:
    wanted: Wanted
    future: "asyncio.Future[Turn]"
    until: float
    not_before: float = 0.0
    """When a call larger than its limit may find it unused; it delays no other call until then."""


class LimitsChanged(Exception):
    """A waiting call has other limits now; it belongs to another line."""


class Shared:
    """Shared objects of a proxy's lines.

    Args:
        proxy: the proxy's name.
    """

    def __init__(self, limits: ModelLimits, proxy: str, closures: Closures, returns: Returns) -> None:
        self.limits = limits
        self.proxy = proxy
        self.closures = closures
        self.returns = returns
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()

    def give_back(self, turn: Turn, used: Tokens | None) -> None:
        """Return what a turn took and did not use: None is all of it."""
        for quota, slice_, amount in turn.taken:
            if quota.window:
                left = 0 if used is None else amount_of(quota.counts, used)
                self.returns.correct(quota.bucket, slice_, left - amount)
        if any(not quota.window for quota, _, _ in turn.taken):
            self.returns.end([turn.id])

    def send(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write to history in the background; no call waits for it."""

        async def report() -> None:
            # In order: history keeps what was sent last.
            async with self._sending:
                with best_effort():
                    await write()

        task = asyncio.create_task(report())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop sending, except amounts to return."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.returns.close()


@contextlib.contextmanager
def best_effort() -> Iterator[None]:
    """Log an error of an optional write to history, and continue."""
    try:
        yield
    except AgentJobsError as error:
        logger.warning("limits.not_reported", extra={"error": str(error)})


def time() -> float:
    """Return the time that lines use: seconds of the event loop's clock."""
    return asyncio.get_running_loop().time()


class Line:
    """The line of one model's calls with the same keys."""

    def __init__(self, shared: Shared, model: str, keys: tuple[Key, ...]) -> None:
        self._shared = shared
        self._model = model
        self._keys = keys
        self._jobs: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._requested: Sequence[_Waiting] = ()
        self._lease: _Lease | None = None
        self._rooms: Mapping[str, Room] = {}
        self._rooms_at = 0.0
        self._blocked: Refused | None = None
        self._blocked_until = 0.0
        # What earlier proxies took under earlier limits is returned by no one else.
        self._exhausted_until = math.inf
        self._arrivals = _Arrivals()
        self._keys_of: Callable[[Wanted], tuple[Key, ...]] | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        requests = [quota.most for key in keys for quota in key.quotas if quota.counts is Counts.REQUESTS]
        self._bound = max(_AT_LEAST, min([_AT_MOST, *(most // _SHARE_OF_LIMIT for most in requests)]))

    @property
    def is_used(self) -> bool:
        """Whether calls wait here or something was taken in advance."""
        return bool(self._jobs or self._lease)

    def at_once(self, call: Wanted) -> Turn | None:
        """Return a turn that needs no request; None if there is none, or other calls wait."""
        self._arrivals.note(time())
        if self._jobs:
            return None
        if (lease := self._lease) is not None:
            key = next(key for key in self._keys if key.name == lease.key)
            amounts = amounts_of(key, call)
            if lease.covers(amounts):
                for quota, amount in amounts:
                    lease.left[quota.bucket] -= amount
                return self._turn(uuid4(), key, amounts, lease.slices)
        key = self._choose(call, Counter(), frozenset())
        if key.quotas or self._shared.closures.seconds(key.name, self._model) is not None:
            return None
        return self._turn(uuid4(), key, (), {})

    async def wait(self, call: Wanted, max_wait: float) -> Turn:
        """Wait in the line. Raises as `Limiter.enter`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._blocked is not None and self._blocked_until > now + max(max_wait, RECHECK_SECONDS):
            raise NoTurn(self._blocked.limit, self._blocked_until - now)
        waiting = _Waiting(call, loop.create_future(), now + max_wait)
        self._jobs.setdefault(call.uid, deque()).append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        elif self._blocked is None:
            self._wake.set()
        timer = loop.call_at(waiting.until, self._expire, waiting)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            if not waiting.future.cancelled() and waiting.future.exception() is None:
                self._shared.give_back(waiting.future.result(), None)
            raise
        finally:
            timer.cancel()
            self._give_up(waiting)

    def key_closed(self, key: str) -> None:
        """Discard what was taken in advance from a key's limits."""
        if self._lease is not None and self._lease.key == key:
            self._end_lease(self._lease)

    def report_if_closed(self, reason: str) -> None:
        """Report the model as exhausted if all its keys are closed: rejected calls need not wait here."""
        waits = [self._shared.closures.seconds(key.name, self._model) or 0.0 for key in self._keys]
        if all(waits):
            self._full(Refused(min(waits), reason), time())

    def call_ended(self) -> None:
        """Check again if the line waits for a call to end."""
        if self._blocked is not None and self._blocked.seconds <= RECHECK_SECONDS:
            self._wake.set()

    def reconsider(self, keys_of: Callable[[Wanted], tuple[Key, ...]]) -> None:
        """Move calls with other limits to other lines.

        Args:
            keys_of: returns a call's keys with all its limits.
        """
        self._keys_of = keys_of
        self._wake.set()

    def recheck(self) -> None:
        """Check again for free capacity."""
        self._wake.set()

    def close(self) -> None:
        """End all waiting here."""
        if self._task is not None:
            self._task.cancel()
        if self._lease is not None:
            self._end_lease(self._lease)

    async def _serve(self) -> None:
        """Give turns while calls wait."""
        try:
            while self._jobs:
                self._wake.clear()
                self._let_go()
                if pause := await self._round():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), pause)
                self._blocked = None
        except Exception as error:
            for waiting in self._all():
                self._fail(waiting, error)
        finally:
            for waiting in self._all():
                waiting.future.cancel()
            self._blocked = self._task = None

    def _let_go(self) -> None:
        keys_of, self._keys_of = self._keys_of, None
        if keys_of is None:
            return
        for waiting in self._all():
            if keys_of(waiting.wanted) != self._keys:
                self._fail(waiting, LimitsChanged())

    async def _round(self) -> float:
        """Send history one request; return for how many seconds there is nothing more to request."""
        shared, now = self._shared, time()
        batch = self._next(now)
        if not batch:
            return max(0.0, min((waiting.not_before for waiting in self._all()), default=now) - now)
        chosen = self._chosen(batch)
        takes = [take_of(key, amounts_of(key, waiting.wanted)) for waiting, key in chosen]
        ahead = self._ahead(chosen[-1][1]) if len(batch) == sum(map(len, self._jobs.values())) else None
        others = [take_of(key, amounts_of(key, batch[0].wanted)) for key in self._keys if len(self._keys) > 1]
        self._requested = batch
        try:
            taken = await shared.limits.take(shared.proxy, self._model, takes + ([ahead] if ahead else []), others)
        except BaseException:
            self._is_in_doubt([take.id for take in takes])
            raise
        finally:
            self._requested = ()
        self._rooms, self._rooms_at = taken.rooms, time()
        shared.closures.update(self._model, [key.name for key in self._keys], taken.closed, as_of=now)
        for (waiting, key), take in zip(chosen[: taken.granted], takes, strict=False):
            is_probe = key.name in taken.probes
            self._grant(waiting, self._turn(take.id, key, amounts_of(key, waiting.wanted), taken.slices, is_probe))
        if ahead is not None and taken.granted > len(takes):
            self._begin_lease(ahead, taken, began=now)
        return self._turned_away(batch[taken.granted :], taken)

    def _is_in_doubt(self, calls: Sequence[UUID]) -> None:
        """End calls of a request without an answer: PostgreSQL may have executed it, or may still do so."""
        if any(not quota.window for key in self._keys for quota in key.quotas):
            self._shared.returns.end(calls)
            asyncio.get_running_loop().call_later(_IN_DOUBT_SECONDS, self._shared.returns.end, calls)

    def _turned_away(self, batch: Sequence[_Waiting], taken: Taken) -> float:
        """Fail calls that cannot wait so long; return how long the first of the others has to wait."""
        now = time()
        is_first = True
        pause = 0.0
        for waiting in batch:
            refused = self._refusal(waiting.wanted, taken)
            is_alone = all(is_larger(key, waiting.wanted) for key in self._keys)
            if refused and is_first and not is_alone:
                self._full(refused, now)
            if refused and (waiting.until <= now or refused.seconds > max(waiting.until - now, RECHECK_SECONDS)):
                self._fail(waiting, NoTurn(refused.limit, refused.seconds))
            elif refused and is_alone:
                waiting.not_before = now + refused.seconds
            elif is_first:
                is_first = False
                if refused:
                    pause, self._blocked, self._blocked_until = refused.seconds, refused, now + refused.seconds
        if not batch and self._exhausted_until > now:
            self._exhausted_until = 0.0
            self._report_exhausted(0.0, "")
        return pause

    def _full(self, refused: Refused, now: float) -> None:
        if queue_of(refused.limit) is not None:
            return  # calls of other queues are possible
        seconds = min(refused.seconds, _EXHAUSTED_AT_MOST)
        if seconds > _EXHAUSTED_SECONDS and abs(now + seconds - self._exhausted_until) > 1:
            self._exhausted_until = now + seconds
            self._report_exhausted(seconds, refused.limit)

    def _report_exhausted(self, seconds: float, reason: str) -> None:
        # Other namespaces may have other keys for the same model.
        name = pool(self._model, (key.name for key in self._keys))
        self._shared.send(lambda: self._shared.limits.exhausted(name, seconds=seconds, reason=reason))

    def _refusal(self, call: Wanted, taken: Taken) -> Refused | None:
        """Return the obstacle at the first key that a call may use; None if one can be used now."""
        refusals = [taken.refusal(take_of(key, amounts_of(key, call))) for key in self._keys]
        found = [refused for refused in refusals if refused is not None]
        return min(found, key=lambda refusal: refusal.seconds) if len(found) == len(refusals) else None

    def _chosen(self, batch: Sequence[_Waiting]) -> list[tuple[_Waiting, Key]]:
        """Assign a key to each call."""
        spent: Counter[str] = Counter()
        tried: set[str] = set()
        chosen = []
        for waiting in batch:
            key = self._choose(waiting.wanted, spent, tried)
            if self._shared.closures.seconds(key.name, self._model) is not None:
                tried.add(key.name)
            for quota, amount in amounts_of(key, waiting.wanted):
                spent[quota.bucket] += amount
            chosen.append((waiting, key))
        return chosen

    def _choose(self, call: Wanted, spent: Counter[str], tried: Collection[str]) -> Key:
        """Return the first usable key, and among several the one with most left.

        Args:
            spent: by earlier calls, if history does not have them yet.
            tried: closed keys that another call is trying.
        """
        is_fresh = time() - self._rooms_at < _FRESH_SECONDS

        def rank(key: Key) -> tuple[float, float]:
            wait = PROBE_SECONDS if key.name in tried else self._shared.closures.seconds(key.name, self._model) or 0.0
            share = 1.0
            for quota, amount in amounts_of(key, call):
                room = self._rooms.get(quota.bucket, Room()) if is_fresh else Room()
                room = replace(room, used=room.used + spent[quota.bucket])
                wait = max(wait, room.wait(quota.most, amount))
                share = min(share, 1 - (room.used + amount) / quota.most)
            return -wait, share

        return max(self._keys, key=rank)

    def _ahead(self, key: Key) -> Take | None:
        """Return what to take in advance from a key's limits: a little of each, if half of it remains."""
        calls = self._arrivals.in_a_second(time())
        if calls < _BUSY_CALLS or self._shared.closures.seconds(key.name, self._model) is not None:
            return None
        if any(not quota.window or quota.most < _LEASE_PART for quota in key.quotas):
            return None
        amounts = [
            (quota, min(quota.most // _LEASE_PART, calls if quota.counts is Counts.REQUESTS else quota.most))
            for quota in key.quotas
        ]
        return take_of(key, [(replace(quota, most=quota.most // 2), amount) for quota, amount in amounts])

    def _begin_lease(self, take: Take, taken: Taken, *, began: float) -> None:
        if self._lease is not None:
            self._end_lease(self._lease)
        left = {limit.bucket: amount for limit, amount in take.amounts}
        self._lease = lease = _Lease(take.key, left, taken.slices)
        asyncio.get_running_loop().call_at(began + taken.seconds, self._end_lease, lease)

    def _end_lease(self, lease: _Lease) -> None:
        for bucket, amount in lease.left.items():
            self._shared.returns.correct(bucket, lease.slices[bucket], -amount)
        lease.left.clear()
        if self._lease is lease:
            self._lease = None

    def _next(self, now: float) -> list[_Waiting]:
        """Return the next calls: one of each job, then the second of each."""
        ready = [
            list(islice((call for call in calls if call.not_before <= now), self._bound))
            for calls in self._jobs.values()
        ]
        return list(islice((call for row in zip_longest(*ready) for call in row if call is not None), self._bound))

    def _turn(self, id_: UUID, key: Key, amounts: "Amounts", slices: Mapping[str, int], is_probe: bool = False) -> Turn:
        taken = tuple((quota, slices[quota.bucket], amount) for quota, amount in amounts)
        return Turn(id_, self._model, key.name, taken, is_probe)

    def _grant(self, waiting: _Waiting, turn: Turn) -> None:
        self._remove(waiting)
        if waiting.wanted.uid in self._jobs:
            self._jobs.move_to_end(waiting.wanted.uid)
        if waiting.future.done():
            self._shared.give_back(turn, None)
        else:
            waiting.future.set_result(turn)

    def _fail(self, waiting: _Waiting, error: Exception) -> None:
        self._remove(waiting)
        if not waiting.future.done():
            waiting.future.set_exception(error)

    def _expire(self, waiting: _Waiting) -> None:
        """End a wait, unless its request to history is in progress."""
        if waiting not in self._requested:
            now = time()
            limit = self._blocked.limit if self._blocked is not None else self._keys[0].name
            self._give_up(waiting)
            self._fail(waiting, NoTurn(limit, max(1.0, self._blocked_until - now)))

    def _give_up(self, waiting: _Waiting) -> None:
        """Remove a call. All others may be waiting behind it."""
        if self._remove(waiting):
            self._wake.set()

    def _remove(self, waiting: _Waiting) -> bool:
        calls = self._jobs.get(waiting.wanted.uid)
        if calls is None or waiting not in calls:
            return False
        calls.remove(waiting)
        if not calls:
            del self._jobs[waiting.wanted.uid]
        return True

    def _all(self) -> list[_Waiting]:
        return [waiting for calls in self._jobs.values() for waiting in calls]


class _Arrivals:
    """The number of calls in the last second."""

    def __init__(self) -> None:
        self._second = 0
        self._count = self._before = 0

    def note(self, now: float) -> None:
        self._turn(now)
        self._count += 1

    def in_a_second(self, now: float) -> int:
        self._turn(now)
        return max(self._count, self._before)

    def _turn(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._before = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0
