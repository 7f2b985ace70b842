"""What the proxies tell history of model calls, and what they ask of it about limits. Values; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from agentjobs.history.sanitize import clean_text
from agentjobs.models.budget import NOTHING, Judgement, Limits
from agentjobs.models.tokens import Tokens

# No call comes near; counts and costs come from bodies that anybody may write, and their sums must be storable.
MAX_CALL_TOKENS: Final = 10**12
MAX_CALL_COST: Final = Decimal(10**6)


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
        texts: dict[str, Any] = {
            name: clean_text(getattr(self, name)) for name in ("proxy", "step", "asked", "provider", "model")
        }
        return replace(self, tokens=_count(self.tokens), cost=_cost(self.cost), **texts)


@dataclass(frozen=True, slots=True)
class Reserved:
    """Whether a call may be made. It is recorded only if it may."""

    judgement: Judgement
    used: Mapping[str, str] = field(default_factory=dict)
    """What the calls that ended used, by the names of `spec.budget`'s limits; for the words of a refusal."""


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
    """Request and answer, where the installation records them."""

    def storable(self) -> "EndedCall":
        """Return the end without what cannot be stored: counts are at least 0 and bounded.

        A cost that is not a number stays so: what the call reserved is booked.
        """
        counts = {name: _count(getattr(self.tokens, name)) for name in Tokens.__slots__}
        texts: dict[str, Any] = {
            name: clean_text(getattr(self, name)) for name in ("provider", "key", "model", "queue")
        }
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
    """What one call, or a lease of several, takes from the limits of a key."""

    key: str
    model: str
    amounts: tuple[tuple[Limit, int], ...]
    """From each limit how much. A limit that is below zero, or that the amount exceeds by itself, gives when it is
    full."""
    proxy: str
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """How many of the asked were granted, from the first on, and where."""

    granted: int
    slices: tuple[tuple[str, int], ...]
    """Bucket and slice that the granted were taken from, for `Correction`."""
    wait: float = 0.0
    """Seconds until the first that was not granted may fit; 0 when all were granted."""
    limit: str = ""
    """The bucket that had too little, or the closed key."""


@dataclass(frozen=True, slots=True)
class Correction:
    """An amount to add to what was taken from a bucket; a negative one gives back."""

    bucket: str
    slice: int
    amount: int
    proxy: str = ""
    """Of a limit on calls at once: whose count goes down."""
