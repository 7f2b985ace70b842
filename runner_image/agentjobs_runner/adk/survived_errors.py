"""Errors that a run went on after: a node with retries, a custom agent that catches what its sub-agent raised.

Errors are not recorded, because the next start is to try again. But a run that goes on after one has steps that belong
to what came of it. So the error is noted when that is known, before the next step begins; a later start raises it
again in its place. A note that ends a start is void, so that no job fails by it for ever.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.contract import StepKind, Verdict
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.journal import Journal, NewStep
from agentjobs_runner.origins import Origin, Source, note_origin, origin_of
from agentjobs_runner.redaction import safe_str, storable
from agentjobs_runner.steps import StepKey

# Of each text of an error: some hold a whole page.
_MOST_CHARS: Final = 8_000


@dataclass(frozen=True, slots=True)
class _Failure:
    key: StepKey
    note: str
    error: Exception


class SurvivedErrors:
    """The failed steps of one start."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open: dict[str, _Failure] = {}
        """Failures after which nothing went on so far."""
        self._newest: _Failure | None = None

    def failed(self, key: StepKey, error: Exception, step: str = "") -> None:
        """Note that a model call or tool call raised `error`; `step` is the key it is recorded under, if another."""
        self._newest = _Failure(key, _note(step or str(key)), error)
        self._open[self._newest.note] = self._newest

    def forget(self, key: StepKey, step: str = "") -> None:
        """Take back what `failed` said: a callback made an answer or a result of the error."""
        self._open.pop(_note(step or str(key)), None)
        self._newest = None

    def went_on(self) -> None:
        """Note that a later step came to its end."""
        self._newest = None

    async def begins(self, key: StepKey) -> None:
        """Record the errors that the run has survived, if it goes on after them with the step of `key`."""
        for failure in [one for one in self._open.values() if _after(one.key, key)]:
            del self._open[failure.note]
            if self._journal.ended(failure.note) is None:
                step = NewStep(failure.note, StepKind.VALUE, failure.key.agent, "survived error", datetime.now(UTC))
                await self._journal.record(step, _to_json(failure.error))

    def again(self, key: StepKey, step: str = "") -> Exception | None:
        """Return the error that the step of `key` met in an earlier start that went on after it."""
        noted = self._journal.ended(_note(step or str(key)))
        if noted is None:
            return None
        error = _of(noted["body"])
        self.failed(key, error, step)
        return error

    async def end(self) -> None:
        """Void the note of the error after which nothing came any more: the next start is to try again."""
        if self._newest is not None and self._journal.ended(self._newest.note) is not None:
            await self._journal.void([self._newest.note])


def _note(step: str) -> str:
    return f"survived:{step}"


def _after(failed: StepKey, key: StepKey) -> bool:
    """Whether a run that begins the step of `key` goes on after the step of `failed`, and does not run beside it."""
    if key.tool_call is not None and key.model_call and key.model_call == failed.model_call:
        return False
    inside_failed = key.strand.startswith(f"{failed}>")  # a tool's node is tried again in the context of the first try
    inside_call = failed.strand.startswith(f"{key.strand}|{key.agent}#")
    return key.strand == failed.strand or inside_failed or inside_call


def _to_json(error: Exception) -> dict[str, Any]:
    kind, ending, origin = type(error), classify(error, now=datetime.now(UTC)), origin_of(error)
    plain = {name: value for name, value in vars(error).items() if isinstance(value, (str, int, float, bool))}
    return {
        "type": [kind.__module__, kind.__qualname__],
        "message": _text(safe_str(error)),
        "plain": {name: _text(value) if isinstance(value, str) else value for name, value in plain.items()},
        "origin": [origin.source.value, origin.name] if origin else [],
        "ending": [ending.verdict.value, ending.reason, _text(ending.message)],
    }


def _text(value: str) -> str:
    return storable(value)[:_MOST_CHARS]


def _of(body: Mapping[str, Any]) -> Exception:
    """Make an error of the same class, as far as that is known here; else one that ends a start as it did."""
    verdict, reason, message = body["ending"]
    ended = StartEnded(Ending(Verdict(verdict), reason, message))
    module, name = body["type"]
    kind: Any = sys.modules.get(module)
    for part in name.split("."):
        kind = getattr(kind, part, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(kind, StartEnded):
        return ended
    try:
        error = kind.__new__(kind, body["message"])
        error.args = (body["message"],)
        vars(error).update(body["plain"])
        if body["origin"]:
            note_origin(error, Origin(Source(body["origin"][0]), body["origin"][1]))
        # Classes may rely on what their own constructors set.
        same = str(error) == body["message"] and classify(error, now=datetime.now(UTC)).reason == reason
    except Exception:
        return ended
    return error if same else ended
