"""Retries of a step within a start: which errors qualify, the wait, and the timeline entry."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Final, Protocol

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.adk.step_policies import Backoff
from agentjobs_runner.adk.steps_of_start import StepsOfStart
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.steps import StepKey

# Rate limits are not included: they end the start as a snooze, which frees its slot.
_BRIEF: Final = frozenset({ErrorClass.MODEL_UNAVAILABLE, ErrorClass.MODEL_TIMEOUT})
# The user's Snooze, Cancel and Permanent, and errors that would repeat immediately.
_TOOL_FAILED: Final = frozenset({ErrorClass.TOOL_ERROR, ErrorClass.TOOL_TIMEOUT, ErrorClass.AGENT_ERROR, ErrorClass.IO})
# Interval of signs of progress during a wait, in seconds.
_SIGN: Final = 5.0


def model_may_recover(error: Exception) -> Ending | None:
    """Return the meaning of a model's `error` if a retry may help; else None."""
    ending = classify(error, now=datetime.now(UTC))
    return ending if ending.reason in _BRIEF and ending.verdict is Verdict.RETRY else None


def tool_may_recover(error: Exception) -> Ending | None:
    """Return the meaning of a tool's `error` if the tool may be called again; else None."""
    ending = classify(error, now=datetime.now(UTC))
    return ending if ending.reason in _TOOL_FAILED and ending.verdict is Verdict.RETRY else None


class Policy(Protocol):
    """Fields that the policies of models and tools share."""

    @property
    def tries(self) -> int:
        """Maximum attempts at a step in a start."""
        ...

    @property
    def backoff(self) -> Backoff:
        """The waits between them."""
        ...


async def wait(start: StepsOfStart, key: StepKey, named: str, tried: int, policy: Policy, met: Ending) -> None:
    """Report a failed attempt and wait, outside of the gate: a stopping start does not wait for it."""
    seconds = policy.backoff.wait(tried, random.random())  # noqa: S311  it spreads the load, and keeps no secret
    message = f"attempt {tried} of {policy.tries} of {named} failed; next in {seconds:.1f}s: {met.message}"
    start.report("warning", key.agent, {"level": "WARNING", "message": message, "reason": met.reason})
    start.gate.leave(key)
    while seconds > 0:
        await asyncio.sleep(min(seconds, _SIGN))
        seconds -= _SIGN
        start.gate.note_progress()


def tool_timeout(tool: str, seconds: float) -> StartEnded:
    """A tool exceeded the job's time limit."""
    message = f"tool {tool} did not end within {seconds:g}s. Raise steps.tools[].timeout if it needs that long"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.TOOL_TIMEOUT, message))


def tool_interrupted(tool: str, number: int, start: int) -> StartEnded:
    """A call began in an earlier start, and it is unknown whether it took effect."""
    message = (
        f"step {number}: tool {tool} began in start {start} without a result, so it may have taken effect; "
        "steps.tools[].onInterrupted is Fail. Check it, then run the job again"
    )
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.TOOL_INTERRUPTED, message))
