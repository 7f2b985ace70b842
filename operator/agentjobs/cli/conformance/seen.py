"""What was seen of a program in a situation, as values. Pure."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from agentjobs import contract
from agentjobs.contract import Attempt, Result, TerminationMessage

KUBELET_BYTES: Final = 4096
"""What the kubelet keeps of a termination message."""
MODELS: Final = "/models"
"""Below the server's address: the model proxy."""


class Token(Enum):
    """Which token came with a request."""

    NEWEST = "the newest"
    OLD = "an old one"
    WRONG = "another than the pod's"
    NONE = "none"


@dataclass(slots=True)
class Call:
    """A request, and what it was answered: 0 until then, and where the connection was cut."""

    at: float
    method: str
    path: str
    token: Token
    body: bytes = b""
    status: int = 0
    refused: str = ""
    """Why, where the gateway takes no such body."""
    leaks: bool = False
    """Whether a token is in its path or body."""

    @property
    def of_models(self) -> bool:
        """Whether a model was asked."""
        return self.path.startswith(f"{MODELS}/")

    @property
    def claims(self) -> bool:
        """Whether it asks for the attempt."""
        return (self.method, self.path) == ("GET", contract.PATH_ATTEMPT)

    @property
    def reports(self) -> bool:
        """Whether it tells how the start ended."""
        return (self.method, self.path) == ("PUT", contract.PATH_RESULT)

    def document(self) -> dict[str, Any]:
        """Return the JSON object of its body; an empty one where it has none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def first(calls: Sequence[Call], wanted: Callable[[Call], bool]) -> Call | None:
    """Return the first request that is wanted."""
    return next((call for call in list(calls) if wanted(call)), None)


@dataclass(frozen=True, slots=True)
class Seen:
    """A program's run in a situation. Times are seconds of one monotonic clock."""

    attempt: Attempt
    calls: tuple[Call, ...]
    began: float
    ended: float
    code: int | None
    """None where it had to be killed."""
    why_killed: str = ""
    termination: bytes = b""
    """What the termination file has."""
    replaced: bool = False
    """Whether there is another file in the place of the termination file."""
    leaked: bool = False
    """Whether it printed a token."""
    output: str = ""
    """The end of what it printed."""
    stopped: float | None = None
    """When it was told to stop."""
    grace: float = 30.0
    """Seconds that it has from then on."""
    held: bool = False
    """Whether it was at work for as long as the situation needs: it waited for a model, or its job is one that takes
    long."""
    final: Result | None = None
    """What the gateway has as the job's result in the end."""
    shaken_off: bool = False
    """Whether a connection ended before there was a request."""

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.ended - self.began

    @property
    def word(self) -> TerminationMessage | None:
        """The termination message as the operator would read it: what the kubelet leaves of it."""
        return TerminationMessage.load(self.termination[:KUBELET_BYTES].decode("utf-8", "replace"))

    @property
    def claimed(self) -> bool:
        """Whether it was given its attempt."""
        return any(call.claims and call.status == 200 for call in self.calls)

    @property
    def reports(self) -> list[Call]:
        """How it said that the start ended, each time."""
        return [call for call in self.calls if call.reports]

    @property
    def asked_models(self) -> bool:
        """Whether it asked a model."""
        return any(call.of_models for call in self.calls)

    def to_gateway(self) -> Iterator[Call]:
        """Its requests to the gateway, in order."""
        return (call for call in self.calls if not call.of_models)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a situation says of a program: faults, or why it could not be judged."""

    faults: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def word(self) -> str:
        """Passed, Failed or Skipped."""
        return "Failed" if self.faults else "Skipped" if self.skipped else "Passed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A situation that was played, or not."""

    name: str
    about: str
    judgement: Judgement
    seconds: float = 0.0
    output: str = field(default="", repr=False)
