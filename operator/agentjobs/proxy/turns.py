"""A call's turn within the limits of a key: the request for it, and what it takes from each limit. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from agentjobs.history.model_records import Limit, Take
from agentjobs.models.config import Key, Quota
from agentjobs.models.models_file import Counts
from agentjobs.models.tokens import Tokens

# A request may ask for many long answers; sums must fit a database column.
_MOST_TOKENS: Final = 10**12


class NoTurn(Exception):
    """The limits of a model have no capacity for a call within its time."""

    def __init__(self, limit: str, retry_after: float) -> None:
        super().__init__(limit)
        self.limit = limit
        """The limit, or the closed key."""
        self.retry_after = retry_after
        """Seconds until it may fit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that needs a turn."""

    uid: str
    """The job's uid; jobs take turns."""
    model: str
    tokens: Tokens
    """Its maximum usage."""
    keys: tuple[Key, ...]
    """Its possible keys; the one with most left is used."""
    queue: tuple[str, str] | None = None
    """Namespace and queue of the job, whose limits count as well."""
    aliases: tuple[str, ...] = ()
    """Other names of the model in this installation."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A call's turn within the limits of a key; the call is sent immediately."""

    id: UUID
    model: str
    key: str
    taken: tuple[tuple[Quota, int, int], ...]
    """For each limit: the slice, and the amount."""
    is_probe: bool = False
    """Whether it is the first call with a key that was closed."""


Amounts = Sequence[tuple[Quota, int]]
"""The amount for each limit."""


def amount_of(counts: Counts, tokens: Tokens) -> int:
    """Return the amount that a call with these tokens takes from a limit."""
    match counts:
        case Counts.REQUESTS | Counts.CALLS:
            return 1
        case Counts.TOKENS:
            return tokens.total
        case Counts.INPUT_TOKENS:
            # Providers with a separate input limit do not count cached tokens.
            return max(0, tokens.input - tokens.cached)
        case Counts.OUTPUT_TOKENS:
            return tokens.output


def amounts_of(key: Key, call: Wanted) -> Amounts:
    """Return what a call takes from each limit of a key."""
    return [(quota, min(_MOST_TOKENS, amount_of(quota.counts, call.tokens))) for quota in key.quotas]


def is_larger(key: Key, call: Wanted) -> bool:
    """Return whether a call is larger than a limit of a key, so that it only fits when nothing else is used."""
    return any(amount > quota.most for quota, amount in amounts_of(key, call))


def take_of(key: Key, amounts: Amounts) -> Take:
    """Return the request for these amounts of a key's limits, with a new id."""
    return Take(
        uuid4(),
        key.name,
        tuple((Limit(quota.bucket, quota.most, quota.window, quota.time_zone), amount) for quota, amount in amounts),
    )
