"""Trying a step again inside a start: which errors are worth it, the wait, and the entry that tells of it."""

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

# A rate limit is not among them: it ends the start as a snooze, which frees its place in the queue.
_BRIEF: Final = frozenset({ErrorClass.MODEL_UNAVAILABLE, ErrorClass.MODEL_TIMEOUT})
# Orders of the user's code, and what would come out the same way at once.
_TOOL_FAILED: Final = frozenset({ErrorClass.TOOL_ERROR, ErrorClass.TOOL_TIMEOUT, ErrorClass.AGENT_ERROR, ErrorClass.IO})
# How often a wait shows life, in seconds.
_SIGN: Final = 5.0


def model_may_recover(error: Exception) -> Ending | None:
    """Return what `error`, of a model, means when the model may answer in a moment; else None."""
    ending = classify(error, now=datetime.now(UTC))
    return ending if ending.reason in _BRIEF and ending.verdict is Verdict.RETRY else None


def tool_may_recover(error: Exception) -> Ending | None:
    """Return what `error`, of a tool, means when the tool may be called again; else None."""
    ending = classify(error, now=datetime.now(UTC))
    return ending if ending.reason in _TOOL_FAILED and ending.verdict is Verdict.RETRY else None


class Policy(Protocol):
    """What the policies of models and tools share."""

    @property
    def tries(self) -> int:
        """How often a step is tried in a start."""
        ...

    @property
    def backoff(self) -> Backoff:
        """The waits in between."""
        ...


async def wait(start: StepsOfStart, key: StepKey, named: str, tried: int, policy: Policy, met: Ending) -> None:
    """Tell of a failed try and wait for the next, outside of the gate: a start that is to stop does not wait for it."""
    seconds = policy.backoff.wait(tried, random.random())  # noqa: S311  it spreads the load, and keeps no secret
    said = f"try {tried} of {policy.tries} of {named} failed; the next one is in {seconds:.1f}s: {met.message}"
    start.tell("warning", key.agent, {"level": "WARNING", "message": said, "reason": met.reason})
    start.gate.leave(key)
    while seconds > 0:
        await asyncio.sleep(min(seconds, _SIGN))
        seconds -= _SIGN
        start.gate.note_progress()


def tool_timeout(tool: str, seconds: float) -> StartEnded:
    """A tool took longer than the job allows."""
    said = f"tool {tool} did not end within {seconds:g}s. Raise steps.tools[].timeout if that is how long it takes"
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.TOOL_TIMEOUT, said))


def tool_interrupted(tool: str, number: int, start: int) -> StartEnded:
    """A call began in an earlier start, and nobody knows whether it took effect."""
    said = (
        f"step {number}: tool {tool} began in start {start} and has no result, so nobody knows whether it took effect; "
        "steps.tools[].onInterrupted is Fail. Check whether it did, then run the job again"
    )
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.TOOL_INTERRUPTED, said))
