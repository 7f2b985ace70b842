"""Recorded answers that later starts must not use, because the run failed right after them.

Else a job would fail in the same way for ever. Called by `engine` when a start has ended.
"""

from datetime import UTC, datetime
from typing import Final

from agentjobs.contract import ErrorClass, StepKind, Verdict
from agentjobs_runner.adk.steps_of_start import StepsOfStart, failure_note
from agentjobs_runner.endings import Ending
from agentjobs_runner.journal import NewStep

# Ends that an answer can be the reason of. What models, the platform or an order of the user's code end is not.
_ANSWERED: Final = frozenset(
    {
        ErrorClass.AGENT_ERROR,
        ErrorClass.CONTENT_BLOCKED,
        ErrorClass.INVALID_OUTPUT,
        ErrorClass.MODEL_OUTPUT_TRUNCATED,
        ErrorClass.RESULT_ERROR,
    }
)
_TOOL: Final = frozenset({ErrorClass.TOOL_ERROR, ErrorClass.TOOL_TIMEOUT})


async def unrecord(start: StepsOfStart, ending: Ending) -> None:
    """Void what made the start end as `ending` says."""
    if ending.verdict not in (Verdict.RETRY, Verdict.FAIL):
        return
    if ending.reason in _TOOL and start.failed is not None:
        await _failed_again(start)
    elif ending.reason in _ANSWERED or ending.reason in _TOOL:
        if start.repaired_from is not None:
            await start.journal.void(start.answers[start.repaired_from :])
        elif start.ends_with_answer:
            await start.journal.void(start.answers[-1:])


async def _failed_again(start: StepsOfStart) -> None:
    """Let a model answer anew whose call of a tool failed in two starts; the first is noted."""
    if (failed := start.failed) is None:
        return
    note = failure_note(failed.step.key)
    if start.journal.ended(note) is None:
        step = NewStep(note, StepKind.VALUE, failed.step.agent, f"failure of {failed.step.name}", datetime.now(UTC))
        await start.journal.record(step, {"failed": True})
    elif failed.asked_by in start.answers:
        await start.journal.void([failed.asked_by, note])
