"""What the client's operations ask for, as values; the driver of an operation carries them out.

An operation is a generator: it yields an effect and is sent its outcome, or thrown the `AgentJobsError` it ended with.
So `operations` is written once, without I/O, and runs under a blocking driver (`Client`, the command line) and under an
asyncio one (`AsyncClient`) alike; tests drive it by hand.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class Server(Enum):
    """Whom a request is for."""

    CLUSTER = "cluster"
    GATEWAY = "gateway"


JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Send:
    """A request; its outcome is the answer's object, with `raw` its bytes."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Of the query; a name with several values is repeated."""
    content_type: str = JSON
    accept: str = JSON
    server: Server = Server.CLUSTER
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream of lines in place of the one that is open; ends by itself after `seconds` without a word."""

    path: str
    params: Mapping[str, str]
    seconds: float | None = None
    accept: str = JSON
    server: Server = Server.CLUSTER
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NextLine:
    """The next line of the open stream; None when it has ended."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """Seconds of a monotonic clock."""


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """A value for the caller that iterates over the operation; it has no outcome."""

    value: T


Effect = Send | Listen | NextLine | Sleep | Now
Operation = Generator[Effect, Any, T]
"""Ends with a value."""
Stream = Generator[Effect | Emit[T], Any, None]
"""Emits values on its way."""
