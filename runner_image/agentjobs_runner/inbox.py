"""The events that end a start, as values in the supervisor's inbox."""

from dataclasses import dataclass

from agentjobs.errors import Fenced, Unavailable
from agentjobs_runner.endings import Ending


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The agent ended by itself."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Terminated:
    """A stop signal; sent by the agent's own code if `own`."""

    signal: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class AtBoundary:
    """The gate is closed and no step is running."""


@dataclass(frozen=True, slots=True)
class InterruptedAgain:
    """A second SIGINT: the user does not wait for the running step."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The gateway ended the start: fenced, or unavailable for too long."""

    error: Fenced | Unavailable


Message = AgentEnded | Terminated | AtBoundary | InterruptedAgain | Lost
