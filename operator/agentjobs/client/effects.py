"""The effects that the client's operations request, as values; a driver carries them out.

An operation is a generator: it yields an effect and is sent the result, or the `AgentJobsError` is thrown into it. So
`operations` is written once, without I/O, and runs under a blocking driver (`Client`, the command line) and an asyncio
one (`AsyncClient`); tests drive it directly.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class Server(Enum):
    """The server of a request."""

    CLUSTER = "cluster"
    GATEWAY = "gateway"


JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Send:
    """A request; its result is the response's object, with `raw` its bytes."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """The query; a name with several values is repeated."""
    content_type: str = JSON
    accept: str = JSON
    server: Server = Server.CLUSTER
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream of lines, replacing the current one; it ends after `seconds` of silence."""

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
    """A value for the caller that iterates over the operation; it has no result."""

    value: T


Effect = Send | Listen | NextLine | Sleep | Now
Operation = Generator[Effect, Any, T]
"""An operation that returns a value."""
Stream = Generator[Effect | Emit[T], Any, None]
"""An operation that emits values."""
