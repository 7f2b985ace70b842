"""Values of model calls and limits that proxies exchange with history. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from agentjobs.history.sanitize import clean_text
from agentjobs.models.budget import NOTHING, Judgement, Limits, Spend
from agentjobs.models.tokens import Tokens

# No real call comes near; counts and costs come from untrusted bodies, and their sums must be storable.
MAX_CALL_TOKENS: Final = 10**12
MAX_CALL_COST: Final = Decimal(10**6)
# For the request and the answer of one call, as JSON. Of larger ones only the size is stored.
MAX_CONTENT_BYTES: Final = 1024 * 1024
# Spending of queues is summed by these; midnight of every zone begins one.
SPEND_SLICE_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class NewCall:
    """A model call that is about to be made."""

    id: UUID
    uid: str
    """The job's."""
    start: int
    pod_uid: str
    """The requesting pod; it must have claimed the start."""
    proxy: str
    step: str
    """Key of the step it belongs to, empty for a call of the user's own code."""
    requested: str
    """The model that the job requested, as in `agent.model`."""
    limits: Limits
    """The budget of the job."""
    tokens: int
    """Maximum tokens, input and output."""
    cost: Decimal
    """Maximum cost, in US dollars."""
    provider: str = ""
    """The provider of the first try; recorded until the call ends, and if its proxy dies."""
    model: str = ""
    """The model of the first try, if it differs from `requested`."""

    def storable(self) -> "NewCall":
        """Return the call in storable form: counts are at least 0 and bounded.

        Raises:
            ValueError: its cost is not a number.
        """
        if self.cost.is_nan():
            raise ValueError("the cost of a model call is not a number")
        texts = _texts(self, "proxy", "step", "requested", "provider", "model")
        return replace(self, tokens=_count(self.tokens), cost=_cost(self.cost), **texts)


@dataclass(frozen=True, slots=True)
class Reserved:
    """Whether a call may be made. It is recorded only if it may."""

    judgement: Judgement
    spent: Spend
    """By the calls that ended."""


class CallOutcome(StrEnum):
    """How a model call ended."""

    ANSWERED = "Answered"
    CUT = "Cut"
    """The answer was incomplete, or the pod disconnected: received usage counts, or the reservation."""
    FAILED = "Failed"
    """The provider refused it or was unreachable; it costs nothing and does not count for the budget."""
    LOST = "Lost"
    """Its proxy died. Its reservation is booked."""


@dataclass(frozen=True, slots=True)
class EndedCall:
    """The usage of an ended model call."""

    id: UUID
    outcome: CallOutcome
    status: int
    """The provider's HTTP status, 0 for none."""
    provider: str
    key: str
    model: str
    """The model that was called; differs from `requested` for an alias or a fallback."""
    tokens: Tokens
    cost: Decimal
    estimated: bool = False
    """Whether the provider reported no plausible usage."""
    queue: str = ""
    """Queue of the job, from its pod's label; for reports."""
    content: Any = None
    """Request and answer, where the installation records them: JSON, or `msgspec.Raw`."""

    @classmethod
    def lost(cls, call: UUID, *, provider: str, model: str, tokens: int, cost: Decimal) -> "EndedCall":
        """Return the end of a call whose proxy died: its reservation, because its usage is unknown."""
        # The share of output is unknown too.
        return cls(call, CallOutcome.LOST, 0, provider, "", model, Tokens(input=tokens), cost, estimated=True)

    def storable(self) -> "EndedCall":
        """Return the end in storable form: counts are at least 0 and bounded.

        A cost that is not a number is kept: then the reservation is booked.
        """
        counts = {name: _count(getattr(self.tokens, name)) for name in Tokens.__slots__}
        texts = _texts(self, "provider", "key", "model", "queue")
        return replace(self, tokens=Tokens(**counts), cost=_cost(self.cost), **texts)


def _texts(record: NewCall | EndedCall, *names: str) -> dict[str, Any]:
    return {name: clean_text(getattr(record, name)) for name in names}


def _count(value: int) -> int:
    return min(max(0, value), MAX_CALL_TOKENS)


def _cost(value: Decimal) -> Decimal:
    return value if value.is_nan() else min(max(NOTHING, value), MAX_CALL_COST)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of one key, or of a group of its models."""

    bucket: str
    """Its name: provider, key, group, and what it limits."""
    most: int
    window: float = 60.0
    """Seconds: 60 for limits by the minute; 86,400 for limits by the day; 0 for concurrent calls."""
    time_zone: str = "UTC"
    """Where the day of a limit by the day begins."""


@dataclass(frozen=True, slots=True)
class Take:
    """What one call, or a lease for calls to come, takes from the limits of a key."""

    id: UUID
    """Id of the call; a take that is retried because its answer was lost counts once for concurrent calls."""
    key: str
    amounts: tuple[tuple[Limit, int], ...]
    """The amount for each limit. An amount larger than the limit itself fits if nothing else is used."""


# A sliding window is counted in this many slices.
SLICES: Final = 60
DAY: Final = 86_400.0
# Latency from the database to a proxy and on to the provider, including a busy process.
GRACE_SECONDS: Final = 0.5
# A proxy without a heartbeat for this long counts as dead, and its calls are lost. It beats every ten seconds.
MISSED: Final = timedelta(seconds=45)
# How long a proxy that was refused concurrent calls counts as waiting; it retries sooner.
WAITING: Final = timedelta(seconds=2)
# How long one proxy tries a closed key before all may use it again: a provider refuses quickly, without the time of an
# answer.
PROBE_SECONDS: Final = 5.0
# Other proxies do not report the end of their calls, so a call retries this often.
RECHECK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Room:
    """What is used of a limit, and when it becomes free."""

    used: int = 0
    frees: tuple[tuple[float, int], ...] = ()
    """Seconds from now, in order, and the free amount then; empty for concurrent calls, and if everything was granted.
    """

    def wait(self, most: int, amount: int) -> float:
        """Return the seconds until an amount fits, 0 when it does."""
        if not amount:
            return 0.0
        missing = min(self.used, self.used + amount - most)
        if missing <= 0:
            return 0.0
        for seconds, freed in self.frees:
            missing -= freed
            if missing <= 0:
                return seconds
        return RECHECK_SECONDS


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something was not taken: the limit that is full for the longest time, or the closed key."""

    seconds: float
    """Until it may fit."""
    limit: str


@dataclass(frozen=True, slots=True)
class BucketState:
    """State of a limit before a take."""

    limit: Limit
    slice: int
    rest: float
    """Seconds until the slice ends."""
    used: int
    frees: tuple[tuple[float, int], ...]
    """As in `Room`."""

    @property
    def grace(self) -> float:
        """How many seconds after its slice a grant may be used, and counts."""
        return GRACE_SECONDS if 0 < self.limit.window < DAY else 0.0

    def room(self, taken: int) -> Room:
        """Return the state of the limit after taking an amount."""
        if not taken or not self.limit.window:
            return Room(self.used + taken, self.frees)
        window = 0.0 if self.limit.window >= DAY else self.limit.window + self.grace
        return Room(self.used + taken, (*self.frees, (self.rest + window, taken)))


@dataclass(frozen=True, slots=True)
class Taken:
    """How many calls were granted, from the first on, and the state of the limits afterwards."""

    granted: int
    slices: Mapping[str, int]
    """The slice of each bucket that was taken from, for `Correction`."""
    rooms: Mapping[str, Room]
    """State by bucket, for all requested limits."""
    closed: Mapping[str, float]
    """Keys that cannot be used for the model now, and for how many seconds."""
    probes: frozenset[str]
    """Keys that were closed until now, which the granted call is the first to try."""
    seconds: float
    """How long after the request a grant may be used: until its slice ends, and a little longer."""

    @classmethod
    def after(
        cls,
        granted: Sequence[Take],
        states: Mapping[str, BucketState],
        closed: Mapping[str, float],
        probes: frozenset[str],
    ) -> "Taken":
        """Return the result of a take that granted these calls, from the earlier state of the buckets."""
        sums: Counter[str] = Counter()
        for take in granted:
            for limit, amount in take.amounts:
                sums[limit.bucket] += amount
        return cls(
            granted=len(granted),
            slices={bucket: state.slice for bucket, state in states.items()},
            rooms={bucket: state.room(sums[bucket]) for bucket, state in states.items()},
            closed={**closed, **dict.fromkeys(probes, PROBE_SECONDS)},
            probes=probes,
            seconds=min((state.rest + state.grace for state in states.values() if state.grace), default=1.0),
        )

    def refusal(self, take: Take) -> Refused | None:
        """Return what prevents a call from being taken now, or None."""
        found = [Refused(seconds, take.key) for key, seconds in self.closed.items() if key == take.key]
        for limit, amount in take.amounts:
            if wait := self.rooms[limit.bucket].wait(limit.most, amount):
                found.append(Refused(wait, limit.bucket))
        return max(found, key=lambda each: each.seconds, default=None)


@dataclass(frozen=True, slots=True)
class Correction:
    """An amount to add to what was taken from a bucket; a negative one returns some."""

    bucket: str
    slice: int
    amount: int


@dataclass(frozen=True, slots=True)
class LiveProxy:
    """A live proxy."""

    id: str
    since: datetime
    """Since when it has been alive without a gap."""
    seen: datetime
    report: Mapping[str, Any]
    """Its public data about providers, models, prices and limits; without keys."""


@dataclass(frozen=True, slots=True)
class Shut:
    """A key that its provider refuses for now, or a model that cannot be called."""

    key: str
    """Empty for a model that no key can be used for."""
    model: str
    """Empty for all models of the key."""
    until: datetime
    """When it is tried again; for a key possibly in the past, until the next call."""
    reason: str


@dataclass(frozen=True, slots=True)
class LimitsNow:
    """State of limits."""

    used: Mapping[str, int]
    """By bucket: in the last window of each, today, or now for concurrent calls."""
    closed: tuple[Shut, ...]
    exhausted: tuple[Shut, ...]


@dataclass(frozen=True, slots=True)
class SpendSince:
    """A query for the usage of a queue's calls."""

    namespace: str
    queue: str
    since: datetime
    """Start time with time zone; rounded down to a quarter of an hour."""

    @property
    def slice(self) -> int:
        """The first quarter of an hour to count."""
        return int(self.since.timestamp() // SPEND_SLICE_SECONDS)
