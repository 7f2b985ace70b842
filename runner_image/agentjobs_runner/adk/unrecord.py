"""Recorded answers that later starts must not use, because the run failed right after them.

Else a job would fail in the same way for ever. Called by `engine` when a start has ended.
"""

from datetime import UTC, datetime
from typing import Final

from agentjobs.contract import ErrorClass, StepKind, Verdict
from agentjobs_runner.adk.steps_of_start import FailedCall, StepsOfStart, failure_note
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
    """Void what made the start end as `ending` says; note a tool call that ended it."""
    if ending.verdict is not Verdict.SUCCEED:
        await start.survived.end()
    if start.failed is not None and ending.reason in (*_TOOL, ErrorClass.SNOOZED):
        await _tool_ended(start, start.failed, failed=ending.reason in _TOOL)
    elif ending.verdict in (Verdict.RETRY, Verdict.FAIL) and ending.reason in (*_ANSWERED, *_TOOL):
        if start.repaired_from is not None:
            await start.journal.void(start.answers[start.repaired_from :])
        elif start.ends_with_answer:
            await start.journal.void(start.answers[-1:])


async def _tool_ended(start: StepsOfStart, call: FailedCall, *, failed: bool) -> None:
    """Note a call that ended the start, so that it is not uncertain; after a second failure its model answers anew."""
    if failed and call.before and call.asked_by in start.answers:
        await start.journal.void([call.asked_by])
        return
    key, now = failure_note(call.step.key, start.number), datetime.now(UTC)
    note = NewStep(key, StepKind.VALUE, call.step.agent, f"end of {call.step.name}", now)
    await start.journal.record(note, {"failed": failed})
