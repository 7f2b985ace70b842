"""Retries and limits of single steps: a job's `spec.steps` as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from agentjobs.durations import parse_duration

FAIL: Final = "Fail"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between two tries, in seconds."""

    initial: float = 1.0
    factor: int = 2
    longest: float = 30.0
    jitter: float = 0.1
    """Random share that is added or removed."""

    def wait(self, tried: int, random: float) -> float:
        """Return the wait after `tried` attempts; `random` is from 0 to 1."""
        # Beyond this number of doublings every wait is the longest.
        wait: float = min(self.initial * self.factor ** min(tried - 1, 60), self.longest)
        return wait * (1 + self.jitter * (2 * random - 1))


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """Retries of a model call."""

    tries: int = 5
    backoff: Backoff = field(default_factory=Backoff)
    timeout: float = 120.0
    """Seconds without any part of an answer."""


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """Retries and limits of some tools' calls."""

    match: tuple[str, ...] = ()
    tries: int = 1
    backoff: Backoff = field(default_factory=Backoff)
    timeout: float | None = None
    """Seconds; None for no limit."""
    fails_interrupted: bool = False
    """Whether a call that an earlier start began, without a result, ends the job."""


_ANY_TOOL: Final = ToolPolicy()


@dataclass(frozen=True, slots=True)
class StepPolicies:
    """The policies of a job's `steps`."""

    llm: ModelPolicy = field(default_factory=ModelPolicy)
    tools: tuple[ToolPolicy, ...] = ()
    fails_diverged: bool = False

    @classmethod
    def read(cls, steps: Mapping[str, Any] | None) -> "StepPolicies":
        """Return the policies in `spec.steps`, with defaults for missing fields."""
        steps = steps or {}
        tools = tuple(_tool(entry) for entry in steps.get("tools") or ())
        return cls(_llm(steps.get("llm") or {}), tools, steps.get("onDivergence") == FAIL)

    def tool(self, name: str) -> ToolPolicy:
        """Return the first entry that matches the tool `name`."""
        fits = (entry for entry in self.tools if any(fnmatchcase(name, pattern) for pattern in entry.match))
        return next(fits, _ANY_TOOL)


def _llm(given: Mapping[str, Any]) -> ModelPolicy:
    default = ModelPolicy()
    timeout = _seconds(given.get("timeout"), default.timeout)
    return ModelPolicy(given.get("maxAttempts") or default.tries, _backoff(given), timeout)


def _tool(given: Mapping[str, Any]) -> ToolPolicy:
    timeout = given.get("timeout")
    return ToolPolicy(
        tuple(given.get("match") or ()),
        given.get("maxAttempts") or 1,
        _backoff(given),
        None if timeout is None else _seconds(timeout, 0.0),
        given.get("onInterrupted") == FAIL,
    )


def _backoff(given: Mapping[str, Any]) -> Backoff:
    backoff, default = given.get("backoff") or {}, Backoff()
    percent = backoff.get("jitterPercent")
    return Backoff(
        _seconds(backoff.get("initial"), default.initial),
        backoff.get("factor") or default.factor,
        _seconds(backoff.get("max"), default.longest),
        default.jitter if percent is None else percent / 100,
    )


def _seconds(given: Any, default: float) -> float:
    return default if given is None else parse_duration(given).total_seconds()
