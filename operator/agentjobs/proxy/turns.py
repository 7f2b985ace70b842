"""A call's turn at the limits of a key: what it asks for, what it gets, and how much it takes of each limit. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from agentjobs.history.model_records import Limit, Take
from agentjobs.models.config import Key, Quota
from agentjobs.models.models_file import Counts
from agentjobs.models.tokens import Tokens

# A request may ask for any number of answers of any length; those who wait beside it need sums that fit a column.
_MOST_TOKENS: Final = 10**12


class NoTurn(Exception):
    """The limits of a model leave no room for a call for longer than it can wait."""

    def __init__(self, limit: str, retry_after: float) -> None:
        super().__init__(limit)
        self.limit = limit
        """The bucket, or the closed key."""
        self.retry_after = retry_after
        """Seconds until it may fit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that needs a turn."""

    uid: str
    """The job's uid; jobs take turns."""
    model: str
    tokens: Tokens
    """What it may use at most."""
    keys: tuple[Key, ...]
    """Any of which will do; of those with most left the first is used."""
    queue: tuple[str, str] | None = None
    """Namespace and queue of the job, whose limits count as well."""
    aliases: tuple[str, ...] = ()
    """Other names of the model at this installation."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A call's turn at the limits of a key; it is sent at once."""

    id: UUID
    model: str
    key: str
    taken: tuple[tuple[Quota, int, int], ...]
    """From each limit: in which slice, and how much."""
    is_probe: bool = False
    """Whether it is the first call by a key that was closed."""


Amounts = Sequence[tuple[Quota, int]]
"""From each limit how much."""


def amount_of(counts: Counts, tokens: Tokens) -> int:
    """Return what a call that used these tokens takes from a limit."""
    match counts:
        case Counts.REQUESTS | Counts.CALLS:
            return 1
        case Counts.TOKENS:
            return tokens.total
        case Counts.INPUT_TOKENS:
            # Providers that limit input apart do not count tokens that their cache answered.
            return max(0, tokens.input - tokens.cached)
        case Counts.OUTPUT_TOKENS:
            return tokens.output


def amounts_of(key: Key, call: Wanted) -> Amounts:
    """Return what a call takes from each limit of a key."""
    return [(quota, min(_MOST_TOKENS, amount_of(quota.counts, call.tokens))) for quota in key.quotas]


def is_larger(key: Key, call: Wanted) -> bool:
    """Whether a call is larger than a limit of a key: it fits when nothing else is used."""
    return any(amount > quota.most for quota, amount in amounts_of(key, call))


def take_of(key: Key, amounts: Amounts) -> Take:
    """Return the question for so much of a key's limits, with a new id."""
    return Take(
        uuid4(),
        key.name,
        tuple((Limit(quota.bucket, quota.most, quota.window, quota.time_zone), amount) for quota, amount in amounts),
    )
