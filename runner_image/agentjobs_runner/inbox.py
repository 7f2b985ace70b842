"""What reaches the supervisor of a start, and ends it: each is a value in its one inbox."""

from dataclasses import dataclass

from agentjobs.errors import Fenced, Unavailable
from agentjobs_runner.endings import Ending


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """The agent ended by itself."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Terminated:
    """A signal to stop came; by the agent's own doing when `own`."""

    signal: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class AtBoundary:
    """The gate is closed and no step runs."""


@dataclass(frozen=True, slots=True)
class InterruptedAgain:
    """SIGINT came again: the person at the terminal does not wait for the running step."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The gateway ended it: fenced, or away for too long."""

    error: Fenced | Unavailable


Message = AgentEnded | Terminated | AtBoundary | InterruptedAgain | Lost
