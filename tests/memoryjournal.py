"""A journal in memory, for tests of engines: `again()` is what the next start of the job finds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentjobs.contract import MAX_STEP_BYTES, ErrorClass, RecordedStep, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.journal import NewStep
from agentjobs_runner.usage import UsageCounter


class MemoryJournal:
    """Means what `journal.Journal` says; what was recorded stands in `steps`, in its order."""

    def __init__(self, usage: UsageCounter | None = None, found: dict[str, RecordedStep] | None = None) -> None:
        self.usage = usage or UsageCounter()
        self.found = found or {}
        self.steps: list[tuple[NewStep, Any]] = []
        """Bodies are None where a call began."""
        self.voided: list[str] = []
        self.versions: dict[str, str] = {}
        self._kept = dict(self.found)
        self._ahead = {key for key, step in self.found.items() if step["ended"] is not None}

    def again(self, usage: UsageCounter | None = None) -> "MemoryJournal":
        """The journal of the next start: with all that this one has, but for void steps."""
        return MemoryJournal(usage, dict(self._kept))

    @property
    def names(self) -> list[str]:
        """The kinds and names of what was recorded, intents with an ellipsis."""
        return [f"{step.kind} {step.name}" + ("" if body is not None else "…") for step, body in self.steps]

    def open(self, *, adk: str, scheme: str, agent: str) -> None:
        """Keep the versions in `versions`."""
        self.versions = {"adk": adk, "scheme": scheme, "agent": agent}

    @property
    def resumes(self) -> bool:
        """Whether it was found with steps."""
        return bool(self.found)

    @property
    def has_more(self) -> bool:
        """Whether it was found with steps that have not been asked for."""
        return bool(self._ahead)

    def earlier(self) -> list[RecordedStep]:
        """Return the steps it was found with, without bodies."""
        return [{**_copy(step), "body": None} for step in sorted(self.found.values(), key=lambda step: step["n"])]

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step of that key if it has ended."""
        self._ahead.discard(key)
        step = self._kept.get(key)
        return None if step is None or step["ended"] is None else _copy(step)

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call of that key that an earlier start began without an end."""
        step = self.found.get(key)
        return None if step is None or step["ended"] is not None else _copy(step)

    async def begin(self, step: NewStep) -> None:
        """Record an intent."""
        self._add(step, None, None)

    async def record(self, step: NewStep, body: Any, *, void: bool = False) -> None:
        """Record what a step gave."""
        self._add(step, "2026-01-01T00:00:01.000Z", body, void=void)

    def record_now(self, step: NewStep, body: Any) -> None:
        """Record what a step gave."""
        self._add(step, "2026-01-01T00:00:01.000Z", body)

    async def void(self, keys: Sequence[str]) -> None:
        """Let no later start use the steps of these keys."""
        self.voided += keys
        self._ahead -= set(keys)
        for key in keys:
            self._kept.pop(key, None)

    def _add(self, step: NewStep, ended: str | None, body: Any, *, void: bool = False) -> None:
        written = json.dumps(body, allow_nan=False)
        if len(written.encode()) > MAX_STEP_BYTES:
            raise StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_TOO_LARGE, f"{step.name} gave {len(written)} bytes"))
        intended = any(begun.key == step.key for begun, given in self.steps if given is None)
        if ended is None or not intended:
            self.usage.count(step.usage)
        self.steps.append((replace(step), json.loads(written)))
        if void:
            self.voided.append(step.key)
            return
        self._kept[step.key] = RecordedStep(
            n=len(self.steps),
            start=1,
            key=step.key,
            kind=step.kind.value,
            agent=step.agent,
            name=step.name,
            ended=ended,
            request=step.request,
            body=json.loads(written),
        )


def _copy(step: RecordedStep) -> RecordedStep:
    copied: RecordedStep = json.loads(json.dumps(step))
    return copied
