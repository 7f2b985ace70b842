"""Observations of a program in a situation, as values. Pure."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from agentjobs import contract
from agentjobs.contract import Attempt, Result, TerminationMessage

KUBELET_BYTES: Final = 4096
"""The part of a termination message that the kubelet keeps."""
MODELS: Final = "/models"
"""The path of the model proxy on the server."""


class Token(Enum):
    """Which token a request had."""

    NEWEST = "the newest"
    OLD = "an old token"
    WRONG = "another token than the pod's"
    NONE = "none"


@dataclass(slots=True)
class Call:
    """A request and the status of its response: 0 before the response, or if the connection was closed."""

    at: float
    method: str
    path: str
    token: Token
    body: bytes = b""
    status: int = 0
    refused: str = ""
    """Why the gateway rejects such a body."""
    leaks: bool = False
    """Whether its path or body contains a token."""

    @property
    def of_models(self) -> bool:
        """Whether it is a model call."""
        return self.path.startswith(f"{MODELS}/")

    @property
    def claims(self) -> bool:
        """Whether it requests the attempt."""
        return (self.method, self.path) == ("GET", contract.PATH_ATTEMPT)

    @property
    def reports(self) -> bool:
        """Whether it reports the start's ending."""
        return (self.method, self.path) == ("PUT", contract.PATH_RESULT)

    def document(self) -> dict[str, Any]:
        """Return the JSON object of its body; an empty one if it has none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def first(calls: Sequence[Call], wanted: Callable[[Call], bool]) -> Call | None:
    """Return the first matching request."""
    return next((call for call in list(calls) if wanted(call)), None)


@dataclass(frozen=True, slots=True)
class Observations:
    """One run of a program in a situation. Times are seconds of one monotonic clock."""

    attempt: Attempt
    calls: tuple[Call, ...]
    began: float
    ended: float
    code: int | None
    """None if it had to be killed."""
    why_killed: str = ""
    termination: bytes = b""
    """The content of the termination file."""
    replaced: bool = False
    """Whether the termination file was replaced."""
    leaked: bool = False
    """Whether it printed a token."""
    output: str = ""
    """The end of its output."""
    stopped: float | None = None
    """When it was stopped."""
    grace: float = 30.0
    """The seconds it has from then on."""
    held: bool = False
    """Whether it worked as long as the situation needs: it waited for a model, or its job takes long."""
    final: Result | None = None
    """The job's final result in the gateway."""
    shaken_off: bool = False
    """Whether a connection ended before a request."""

    @property
    def seconds(self) -> float:
        """The duration of the run."""
        return self.ended - self.began

    @property
    def word(self) -> TerminationMessage | None:
        """The termination message as the operator gets it from the kubelet."""
        return TerminationMessage.load(self.termination[:KUBELET_BYTES].decode("utf-8", "replace"))

    @property
    def claimed(self) -> bool:
        """Whether it got its attempt."""
        return any(call.claims and call.status == 200 for call in self.calls)

    @property
    def reports(self) -> list[Call]:
        """Its reports of the start's ending."""
        return [call for call in self.calls if call.reports]

    @property
    def called_models(self) -> bool:
        """Whether it called a model."""
        return any(call.of_models for call in self.calls)

    def to_gateway(self) -> Iterator[Call]:
        """Its requests to the gateway, in order."""
        return (call for call in self.calls if not call.of_models)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of a situation: faults, or why it could not be judged."""

    faults: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def word(self) -> str:
        """Passed, Failed or Skipped."""
        return "Failed" if self.faults else "Skipped" if self.skipped else "Passed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A situation, and whether it was played."""

    name: str
    about: str
    judgement: Judgement
    seconds: float = 0.0
    output: str = field(default="", repr=False)
