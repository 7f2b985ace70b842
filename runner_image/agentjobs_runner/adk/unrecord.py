"""Recorded answers that later starts must not use, because the run failed right after them.

Otherwise a job would fail in the same way forever. Called by `engine` at the end of a start.
"""

from datetime import UTC, datetime
from typing import Final

from agentjobs.contract import ErrorClass, StepKind, Verdict
from agentjobs_runner.adk.steps_of_start import FailedCall, StepsOfStart, failure_note
from agentjobs_runner.endings import Ending
from agentjobs_runner.journal import NewStep
from agentjobs_runner.steps import StepKey

# Endings caused by answers, which repeat as long as the answers do.
_JUDGED: Final = frozenset(
    {
        ErrorClass.CONTENT_BLOCKED,
        ErrorClass.INVALID_OUTPUT,
        ErrorClass.MODEL_OUTPUT_TRUNCATED,
        ErrorClass.RESULT_ERROR,
    }
)
_TOOL: Final = frozenset({ErrorClass.TOOL_ERROR, ErrorClass.TOOL_TIMEOUT})
# Endings that an answer may cause. Those of models, the platform or the user's Snooze, Cancel and Permanent are not.
_ANSWERED: Final = _JUDGED | _TOOL | {ErrorClass.AGENT_ERROR}


async def unrecord(start: StepsOfStart, ending: Ending) -> None:
    """Void the answers that caused `ending`; record a tool call that ended the start."""
    if ending.verdict is not Verdict.SUCCEED:
        await start.survived.end(start.error)
    call = _failed_call(start)
    if call is not None and ending.reason in (*_TOOL, ErrorClass.SNOOZED):
        await _tool_ended(start, call, failed=ending.reason in _TOOL)
    elif ending.verdict in (Verdict.RETRY, Verdict.FAIL) and ending.reason in _ANSWERED:
        await start.journal.void([str(key) for key in _blamed(start, ending)])


def _failed_call(start: StepsOfStart) -> FailedCall | None:
    """The tool call that ended the start, if any."""
    own = start.failed.get(start.failed_in[0]) if start.failed_in is not None else None
    return own or next(reversed(start.failed.values()), None)


def _blamed(start: StepsOfStart, ending: Ending) -> list[StepKey]:
    """The answers without which the next start may end differently.

    If a start only replayed and failed, the steps after the newest answer do not help.
    """
    if start.repaired_from is not None:
        return start.answers[start.repaired_from :]
    newest = start.newest()
    if newest is None:
        return []
    # The next start calls a model anyway, or the steps after the answer may end differently.
    may_differ = start.lost_after(newest) or (ending.reason not in _JUDGED and start.gave_after(newest))
    return [] if may_differ and start.is_new else start.built_on(newest)


async def _tool_ended(start: StepsOfStart, call: FailedCall, *, failed: bool) -> None:
    """Record that a call ended the start, so that its effect is certain; after a second failure its answer is void."""
    if failed and call.before:
        blamed = call.requested_by if call.requested_by in start.answers else start.newest()
        if blamed is not None:
            await start.journal.void([str(blamed)])
            return
    key, now = failure_note(call.step.key, start.number), datetime.now(UTC)
    note = NewStep(key, StepKind.VALUE, call.step.agent, f"end of {call.step.name}", now)
    await start.journal.record(note, {"failed": failed})
