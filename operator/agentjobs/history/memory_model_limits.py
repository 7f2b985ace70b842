"""Limits of providers' keys in memory, for tests: the promises of `model_limits` without PostgreSQL."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from agentjobs.history.model_records import (
    DAY,
    MISSED,
    PROBE_SECONDS,
    SLICES,
    WAITING,
    BucketState,
    Correction,
    Limit,
    LimitsNow,
    Room,
    Shut,
    Take,
    Taken,
)


@dataclass(slots=True)
class _Closed:
    until: datetime
    reason: str
    probe: datetime | None = None


class MemoryModelLimits:
    """What `model_protocols.ModelLimits` promises.

    Args:
        now: the time, with its zone.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._used: Counter[tuple[str, int]] = Counter()
        self._running: dict[tuple[UUID, str], tuple[str, datetime]] = {}
        self._waiting: dict[tuple[str, str], datetime] = {}
        self._seen: dict[str, datetime] = {}
        self._closed: dict[tuple[str, str], _Closed] = {}
        self._exhausted: dict[str, tuple[datetime, str]] = {}

    def heartbeat(self, proxy: str) -> None:
        """Record that a proxy is alive."""
        self._seen[proxy] = self._now()

    async def take(self, proxy: str, model: str, requests: Sequence[Take], others: Sequence[Take] = ()) -> Taken:
        """Take from limits for calls in a given order."""
        now = self._now()
        self._end({take.id for take in requests})
        limits = {limit.bucket: limit for take in (*requests, *others) for limit, _ in take.amounts}
        states = {bucket: self._share(self._state(limit, now), proxy, now) for bucket, limit in limits.items()}
        keys = {take.key for take in (*requests, *others)}
        closed = {key: wait for key in keys if (wait := self._wait(key, model, now)) > 0}
        untried = {key for key in keys if self._gates(key, model)}
        granted = self._granted(requests, states, closed, untried)
        probes = untried & {take.key for take in granted}
        for take in granted:
            for limit, amount in take.amounts:
                if limit.window == 0:
                    self._running[take.id, limit.bucket] = proxy, now
                elif amount:
                    self._used[limit.bucket, states[limit.bucket].slice] += amount
        for limit in (limit for take in requests[len(granted) :] for limit, _ in take.amounts if limit.window == 0):
            self._waiting[limit.bucket, proxy] = now
        for gate in (gate for key in probes for gate in self._gates(key, model)):
            gate.probe = now + timedelta(seconds=PROBE_SECONDS)
        return Taken.after(granted, states, closed, frozenset(probes))

    def _granted(
        self,
        requests: Sequence[Take],
        states: dict[str, BucketState],
        closed: Collection[str],
        untried: Collection[str],
    ) -> list[Take]:
        granted: list[Take] = []
        tried: set[str] = set()
        sums: Counter[str] = Counter()
        for take in requests:
            full = any(
                Room(states[limit.bucket].used + sums[limit.bucket]).wait(limit.most, amount)
                for limit, amount in take.amounts
            )
            if full or take.key in closed or take.key in tried:
                break
            if take.key in untried:
                tried.add(take.key)
            for limit, amount in take.amounts:
                sums[limit.bucket] += amount
            granted.append(take)
        return granted

    async def give_back(self, amounts: Sequence[Correction], ended: Collection[UUID] = ()) -> None:
        """Correct what was taken, in the slice in which it was."""
        for amount in amounts:
            place = amount.bucket, amount.slice
            if place in self._used:
                self._used[place] = max(0, self._used[place] + amount.amount)
        self._end(ended)

    async def close(self, key: str, model: str, *, seconds: float, reason: str) -> None:
        """Let no proxy use a key for this long."""
        until = self._now() + timedelta(seconds=seconds)
        known = self._closed.get((key, model))
        later = known is not None and known.until > until
        self._closed[key, model] = _Closed(known.until, known.reason) if known and later else _Closed(until, reason)

    async def opened(self, key: str, model: str) -> None:
        """Record that a provider accepted the first call of a closed key."""
        for place in ((key, ""), (key, model)):
            if place in self._closed and self._closed[place].probe is not None:
                del self._closed[place]

    async def closed_keys(self) -> dict[tuple[str, str], float]:
        """Return for how many seconds keys are closed."""
        now = self._now()
        seconds = {place: _seconds(gate, now) for place, gate in self._closed.items()}
        return {
            place: max(0.0, seconds[place])
            for place, gate in self._closed.items()
            if gate.probe is None or seconds[place] > 0
        }

    async def exhausted(self, model: str, *, seconds: float, reason: str) -> None:
        """Record that a model cannot be called for this long; 0: it can again."""
        self._exhausted[model] = self._now() + timedelta(seconds=seconds), reason

    async def exhausted_models(self) -> dict[str, datetime]:
        """Return the models that cannot be called now, and until when."""
        return {model: until for model, (until, _) in self._exhausted.items() if until > self._now()}

    async def limits_now(self, limits: Collection[Limit]) -> LimitsNow:
        """Return the state of limits, as `ModelReports` returns it."""
        now, closed, exhausted = self._now(), await self.closed_keys(), await self.exhausted_models()
        gates = [(key, model, self._closed[key, model]) for key, model in sorted(closed)]
        return LimitsNow(
            used={limit.bucket: self._state(limit, now).used for limit in limits},
            closed=tuple(
                Shut(key, model, max(gate.until, gate.probe or gate.until), gate.reason) for key, model, gate in gates
            ),
            exhausted=tuple(Shut("", model, *self._exhausted[model]) for model in sorted(exhausted)),
        )

    def _end(self, calls: Collection[UUID]) -> None:
        self._running = {place: since for place, since in self._running.items() if place[0] not in calls}

    def _gates(self, key: str, model: str) -> list[_Closed]:
        """What closed a key and was not tried since."""
        gates = (self._closed.get((key, of)) for of in ("", model))
        return [gate for gate in gates if gate is not None and gate.probe is None]

    def _wait(self, key: str, model: str, now: datetime) -> float:
        gates = (self._closed.get((key, of)) for of in ("", model))
        return max((_seconds(gate, now) for gate in gates if gate is not None), default=0.0)

    def _state(self, limit: Limit, now: datetime) -> BucketState:
        if limit.window == 0:
            return BucketState(limit, 0, 0.0, len(self._under_way(limit, now)), ())
        number, rest = _day(limit, now) if limit.window >= DAY else _slice(limit, now)
        state = BucketState(limit, number, rest, 0, ())
        width = limit.window / SLICES
        frees = sorted(
            (rest if limit.window >= DAY else rest + (place - number) * width + limit.window + state.grace, used)
            for (bucket, place), used in self._used.items()
            if bucket == limit.bucket and (place == number or limit.window < DAY)
        )
        live = tuple(each for each in frees if each[0] > 0)
        return BucketState(limit, number, rest, sum(used for _, used in live), live)

    def _under_way(self, limit: Limit, now: datetime) -> list[str]:
        """Return the proxy of each call in progress."""
        dead = now - MISSED
        return [
            proxy
            for (_, bucket), (proxy, since) in self._running.items()
            if bucket == limit.bucket and max(since, self._seen.get(proxy, since)) > dead
        ]

    def _share(self, state: BucketState, proxy: str, now: datetime) -> BucketState:
        """Count amounts above a proxy's share of concurrent calls as used while others wait."""
        limit, oldest = state.limit, now - WAITING
        waiting = sum(
            bucket == limit.bucket and of != proxy and since > oldest for (bucket, of), since in self._waiting.items()
        )
        if limit.window or not waiting:
            return state
        others = limit.most - math.ceil(limit.most / (1 + waiting))
        return replace(state, used=max(state.used, self._under_way(limit, now).count(proxy) + others))


def _seconds(gate: _Closed, now: datetime) -> float:
    return (max(gate.until, gate.probe or gate.until) - now).total_seconds()


def _slice(limit: Limit, now: datetime) -> tuple[int, float]:
    width = limit.window / SLICES
    number = math.floor(now.timestamp() / width)
    return number, (number + 1) * width - now.timestamp()


def _day(limit: Limit, now: datetime) -> tuple[int, float]:
    zone = ZoneInfo(limit.time_zone)
    today = now.astimezone(zone).date()
    midnight = datetime.combine(today + timedelta(days=1), time.min, zone)
    return (today - date(1970, 1, 1)).days, (midnight.astimezone(UTC) - now).total_seconds()
