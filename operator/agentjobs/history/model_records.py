"""What the proxies tell history of model calls, and what they ask of it about limits. Values; pure."""

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

# No call comes near; counts and costs come from bodies that anybody may write, and their sums must be storable.
MAX_CALL_TOKENS: Final = 10**12
MAX_CALL_COST: Final = Decimal(10**6)
# Of the request and the answer of one call, as JSON. What is larger is not kept, only how large it was.
MAX_CONTENT_BYTES: Final = 1024 * 1024
# What queues spend is added up by these; midnight of every zone begins one.
SPEND_SLICE_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class NewCall:
    """A model call that is about to be made."""

    id: UUID
    uid: str
    """The job's."""
    start: int
    pod_uid: str
    """The pod that asks; only the one that claimed the start may."""
    proxy: str
    step: str
    """Key of the step it belongs to, empty for a call of the user's own code."""
    asked: str
    """The model that the job asked for, as in `agent.model`."""
    limits: Limits
    """The budget of the job."""
    tokens: int
    """What it may use at most, input and output."""
    cost: Decimal
    """What it may cost at most, in US dollars."""
    provider: str = ""
    """That is to be asked first; with `model` what is told of the call until it ends, and when its proxy dies."""
    model: str = ""
    """That is to be asked first, where it is not `asked`."""

    def storable(self) -> "NewCall":
        """Return the call without what cannot be stored: counts are at least 0 and bounded.

        Raises:
            ValueError: its cost is not a number.
        """
        if self.cost.is_nan():
            raise ValueError("the cost of a model call is not a number")
        texts = _texts(self, "proxy", "step", "asked", "provider", "model")
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
    """The answer did not come whole, or the pod hung up: what came is counted, or what was reserved."""
    FAILED = "Failed"
    """The provider refused it or could not be reached; it cost nothing and is no call of the budget."""
    LOST = "Lost"
    """Its proxy died. It is booked as what it reserved."""


@dataclass(frozen=True, slots=True)
class EndedCall:
    """What a model call used."""

    id: UUID
    outcome: CallOutcome
    status: int
    """The provider's HTTP status, 0 for none."""
    provider: str
    key: str
    model: str
    """The model that was asked; another one than `asked` for an alias or a fallback."""
    tokens: Tokens
    cost: Decimal
    estimated: bool = False
    """Whether the provider told no usage that can be believed."""
    queue: str = ""
    """Of the job, by its pod's label; for reports."""
    content: Any = None
    """Request and answer, where the installation records them: JSON, or `msgspec.Raw`."""

    @classmethod
    def lost(cls, call: UUID, *, provider: str, model: str, tokens: int, cost: Decimal) -> "EndedCall":
        """Return the end of a call whose proxy died: what it reserved, because nobody knows what it used."""
        # Which part was output nobody knows either.
        return cls(call, CallOutcome.LOST, 0, provider, "", model, Tokens(input=tokens), cost, estimated=True)

    def storable(self) -> "EndedCall":
        """Return the end without what cannot be stored: counts are at least 0 and bounded.

        A cost that is not a number stays so: what the call reserved is booked.
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
    """Seconds: 60 for what is limited by the minute; 86,400 for what is limited by the day; 0 for calls at once."""
    time_zone: str = "UTC"
    """Where the day of a limit by the day begins."""


@dataclass(frozen=True, slots=True)
class Take:
    """What one call, or a lease for calls to come, takes from the limits of a key."""

    id: UUID
    """Of the call; a take that is repeated because its answer was lost counts once among calls at once."""
    key: str
    amounts: tuple[tuple[Limit, int], ...]
    """From each limit how much. What is larger than the limit itself fits when nothing else is used."""


# A window that slides is counted by this many slices.
SLICES: Final = 60
DAY: Final = 86_400.0
# The way from the database to a proxy and on to the provider, and what a busy process adds to it.
GRACE_SECONDS: Final = 0.5
# A proxy that was not seen for so long is missed, and its calls are lost. It beats every ten seconds.
MISSED: Final = timedelta(seconds=45)
# A proxy that was refused calls at once counts as waiting for some this long; it asks again sooner.
WAITING: Final = timedelta(seconds=2)
# How long one proxy tries a key that was closed before all may use it again: a provider refuses at once, not after
# the time that an answer takes.
PROBE_SECONDS: Final = 5.0
# Calls of other proxies end without a word to this one. As often does a call ask again.
LOOK_AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Room:
    """What is used of a limit, and when it becomes free."""

    used: int = 0
    frees: tuple[tuple[float, int], ...] = ()
    """Seconds from now, in order, and how much is free then; empty for calls at once, and where all that was asked
    was granted."""

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
        return LOOK_AGAIN_SECONDS


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something was not taken: the limit that stays full longest, or the closed key."""

    seconds: float
    """Until it may fit."""
    limit: str


@dataclass(frozen=True, slots=True)
class BucketState:
    """How a limit stood before a take."""

    limit: Limit
    slice: int
    rest: float
    """Seconds until the slice ends."""
    used: int
    frees: tuple[tuple[float, int], ...]
    """As in `Room`."""

    @property
    def grace(self) -> float:
        """How many seconds longer than its slice what was taken may be used, and counts."""
        return GRACE_SECONDS if 0 < self.limit.window < DAY else 0.0

    def room(self, taken: int) -> Room:
        """Return how the limit stands after the take of an amount."""
        if not taken or not self.limit.window:
            return Room(self.used + taken, self.frees)
        window = 0.0 if self.limit.window >= DAY else self.limit.window + self.grace
        return Room(self.used + taken, (*self.frees, (self.rest + window, taken)))


@dataclass(frozen=True, slots=True)
class Taken:
    """How many of the asked were granted, from the first on, and how the limits stand then."""

    granted: int
    slices: Mapping[str, int]
    """The slice of each bucket that was taken from, for `Correction`."""
    rooms: Mapping[str, Room]
    """By bucket, of all that was asked for."""
    closed: Mapping[str, float]
    """Keys by which the model cannot be asked now, and for how many seconds."""
    probes: frozenset[str]
    """Keys that were closed until now, and whose granted call is the first one to try them."""
    seconds: float
    """How long, from the question on, what was granted may be used: until its slice ends, and a little longer."""

    @classmethod
    def after(
        cls,
        granted: Sequence[Take],
        states: Mapping[str, BucketState],
        closed: Mapping[str, float],
        probes: frozenset[str],
    ) -> "Taken":
        """Return the answer to a take that granted these calls, from how the buckets stood before."""
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
        """Say what keeps a call from being taken now; None when nothing does."""
        found = [Refused(seconds, take.key) for key, seconds in self.closed.items() if key == take.key]
        for limit, amount in take.amounts:
            if wait := self.rooms[limit.bucket].wait(limit.most, amount):
                found.append(Refused(wait, limit.bucket))
        return max(found, key=lambda one: one.seconds, default=None)


@dataclass(frozen=True, slots=True)
class Correction:
    """An amount to add to what was taken from a bucket; a negative one gives back."""

    bucket: str
    slice: int
    amount: int


@dataclass(frozen=True, slots=True)
class SeenProxy:
    """A proxy that lives."""

    id: str
    since: datetime
    """When it began to be seen without a gap."""
    seen: datetime
    told: Mapping[str, Any]
    """What it tells of its providers, models, prices and limits; it holds no key."""


@dataclass(frozen=True, slots=True)
class Shut:
    """A key that its provider refuses for now, or a model that nobody can ask."""

    key: str
    """Empty for a model that no key can be used for."""
    model: str
    """Empty for all models of the key."""
    until: datetime
    """When it is tried again; for a key in the past until somebody asks."""
    reason: str


@dataclass(frozen=True, slots=True)
class LimitsNow:
    """How limits stand."""

    used: Mapping[str, int]
    """By bucket: in the last window of each, today, or at this moment for calls at once."""
    closed: tuple[Shut, ...]
    exhausted: tuple[Shut, ...]


@dataclass(frozen=True, slots=True)
class SpendSince:
    """A question for what the calls of a queue used."""

    namespace: str
    queue: str
    since: datetime
    """With its zone; what is no quarter of an hour is the one before."""

    @property
    def slice(self) -> int:
        """The first quarter of an hour that counts."""
        return int(self.since.timestamp() // SPEND_SLICE_SECONDS)
