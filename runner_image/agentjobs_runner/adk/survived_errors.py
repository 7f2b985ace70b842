"""Errors that a run went on after: a node with retries, a custom agent that catches what its sub-agent raised.

Errors are not recorded, because the next start is to try again. But a run that goes on after one has steps that belong
to what came of it. So the error is noted when that is known, before the next step begins; a later start raises it
again in its place. A note that ends a start is void, so that no job fails by it for ever.
"""

import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.contract import StepKind, Verdict
from agentjobs_runner.adk.classify import classify
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.journal import Journal, NewStep
from agentjobs_runner.origins import Origin, Source, causes, note_origin, origin_of
from agentjobs_runner.redaction import safe_str, storable
from agentjobs_runner.steps import StepKey

# Of each text of an error: some hold a whole page.
_MOST_CHARS: Final = 8_000
# Errors keep alive what their frames hold.
_MOST_KEPT: Final = 50


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
        self._all: deque[_Failure] = deque(maxlen=_MOST_KEPT)

    def failed(self, key: StepKey, error: Exception, step: str = "") -> None:
        """Note that a model call or tool call raised `error`; `step` is the key it is recorded under, if another."""
        failure = _Failure(key, _note(step or str(key)), error)
        self._newest = self._open[failure.note] = failure
        self._all.append(failure)

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

    async def end(self, error: BaseException | None) -> None:
        """Void the notes of errors that ended the start after all: the next one is to try again.

        Args:
            error: what came out of the run; None when the run itself came to its end.
        """
        # What an error was raised over is not its reason: code may have caught that and failed at something else.
        chain = causes(error) if error is not None else ()
        met = {id(cause.error) for cause in chain if cause.is_told or cause.error is error}
        ended = [one for one in self._all if id(one.error) in met or one is self._newest]
        if notes := [note for note in {one.note for one in ended} if self._journal.ended(note) is not None]:
            await self._journal.void(notes)


def _note(step: str) -> str:
    return f"survived:{step}"


def _after(failed: StepKey, key: StepKey) -> bool:
    """Whether a run that begins the step of `key` goes on after the step of `failed`, and does not run beside it."""
    if key.tool_call is not None and key.model_call and key.model_call == failed.model_call:
        return False
    inside_failed = key.strand.startswith(f"{failed}>")  # a tool's node is tried again in the context of the first try
    inside_call = failed.strand.startswith(f"{key.strand}|{key.agent}#")
    beside = key.tool_call is None and _parent(key.strand) is not None and _parent(key.strand) == _parent(failed.strand)
    return key.strand == failed.strand or inside_failed or inside_call or beside


def _parent(strand: str) -> str | None:
    """The node whose code ran the node of a strand; None at the top."""
    way, _, path = strand.rpartition("|")
    parent = path.rpartition("/")[0]
    return f"{way}|{parent}" if parent else None


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
