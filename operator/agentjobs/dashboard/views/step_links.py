"""Which tool call in the transcript a step is, and which step a call is. Pure.

Runners identify a step's call in its request and its key: Claude Code by the call's id, which is unique; ADK by a
digest of the arguments, because its ids differ from start to start. If the transcript has secrets redacted, the digest
differs, and the call is not found.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from agentjobs.api.recorded import RecordedEntry, RecordedStep, StepContent

SLACK: Final = timedelta(seconds=5)
"""How much later than its step a call may be recorded: Claude Code may report an answer after its first tool began."""
_DIGEST: Final = 16
"""Characters of the runner's digest (`agentjobs_runner.adk.requests`); a test compares the two."""


def digest(args: object) -> str:
    """Return the digest by which ADK's runner identifies arguments."""
    written = json.dumps(args, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def call_of(content: StepContent, entries: Iterable[RecordedEntry]) -> tuple[RecordedEntry, int] | None:
    """Return the entry whose model requested a tool's step, and the call's position in it from 0; None if not found.

    Of equal calls the last one before the step: a later one has a step of its own.
    """
    step, request = content.step, content.request
    found = [
        (entry, place)
        for entry in entries
        if entry.time <= step.began + SLACK
        for place, call in enumerate(calls_of(entry))
        if call.get("name") == step.name
        and (_is(request.get("id"), call.get("callId")) or _is(request.get("args"), digest(call.get("args") or {})))
    ]
    return min(found, key=lambda candidate: _apart(candidate[0].time, step.began), default=None)


def step_of(entry: RecordedEntry, place: int, steps: Iterable[RecordedStep]) -> RecordedStep | None:
    """Return the step of a tool call in an entry; None if it is not among `steps`.

    The first one from the entry on; of equal calls in the entry each has its own.
    """
    calls = calls_of(entry)
    if not 0 <= place < len(calls):
        return None
    call = calls[place]
    name, args = call.get("name"), digest(call.get("args") or {})
    tools = [
        step
        for step in sorted(steps, key=lambda step: step.n)
        if step.kind == "tool" and step.name == name and step.began >= entry.time - SLACK
    ]
    if by_id := [step for step in tools if _is(_id_in(step.key), call.get("callId"))]:
        return by_id[0]
    equal = [step for step in tools if step.key.endswith(f" {name} {args}")]
    before = sum(other.get("name") == name and other.get("args") == call.get("args") for other in calls[:place])
    return equal[before] if before < len(equal) else None


def shown_at(step: RecordedStep) -> datetime:
    """Return the time of a step's entry in the transcript: the end of a model's step, the beginning of others."""
    return step.ended if step.kind == "model" and step.ended is not None else step.began


def nearest_to(step: RecordedStep, entries: Sequence[RecordedEntry]) -> RecordedEntry:
    """Return the entry that is nearest to a step in time, for a model's step the nearest answer."""
    answers = [entry for entry in entries if entry.kind == "model"] if step.kind == "model" else []
    return min(answers or entries, key=lambda entry: _apart(entry.time, shown_at(step)))


def calls_of(entry: RecordedEntry) -> list[Mapping[str, Any]]:
    """Return the tool calls of an entry."""
    calls = entry.data.get("toolCalls")
    return [call if isinstance(call, Mapping) else {} for call in calls] if isinstance(calls, list) else []


def _id_in(key: str) -> str:
    """Return the id of a call in a key of Claude Code: `2/toolu_01#2`, in which `#2` is its second run."""
    return key.partition("/")[2].partition("#")[0]


def _is(left: object, right: object) -> bool:
    return isinstance(left, str) and left != "" and left == right


def _apart(left: datetime, right: datetime) -> float:
    return abs((left - right).total_seconds())
