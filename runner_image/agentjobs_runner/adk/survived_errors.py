"""Errors that a run handled: a node with retries, a custom agent that catches its sub-agent's error.

Errors are not recorded, because the next start is to retry. But if a run continues after one, its later steps depend on
it. So the error is recorded when the next step begins; a later start raises it again at the same point. An error that
ends a start is made void, so that no job fails because of it forever.
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

# Length of each text of an error: some contain a whole page.
_MOST_CHARS: Final = 8_000
# Number of errors: their frames keep objects alive.
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
        """Failures that no later step has followed yet."""
        self._newest: _Failure | None = None
        self._all: deque[_Failure] = deque(maxlen=_MOST_KEPT)

    def failed(self, key: StepKey, error: Exception, step: str = "") -> None:
        """Record that a model call or tool call raised `error`; `step` is its key in the journal, if different."""
        failure = _Failure(key, _note(step or str(key)), error)
        self._newest = self._open[failure.note] = failure
        self._all.append(failure)

    def forget(self, key: StepKey, step: str = "") -> None:
        """Remove `failed`: a callback replaced the error by an answer or a result."""
        self._open.pop(_note(step or str(key)), None)
        self._newest = None

    def went_on(self) -> None:
        """Record that a later step has ended."""
        self._newest = None

    async def begins(self, key: StepKey) -> None:
        """Record the errors that the run has survived, if the step of `key` follows them."""
        for failure in [failure for failure in self._open.values() if _after(failure.key, key)]:
            del self._open[failure.note]
            if self._journal.ended(failure.note) is None:
                step = NewStep(failure.note, StepKind.VALUE, failure.key.agent, "survived error", datetime.now(UTC))
                await self._journal.record(step, _to_json(failure.error))

    def again(self, key: StepKey, step: str = "") -> Exception | None:
        """Return the error of the step of `key` in an earlier start that continued after it."""
        noted = self._journal.ended(_note(step or str(key)))
        if noted is None:
            return None
        error = _of(noted["body"])
        self.failed(key, error, step)
        return error

    async def end(self, error: BaseException | None) -> None:
        """Void the records of errors that ended the start after all: the next start is to retry.

        Args:
            error: of the run; None if it ended normally.
        """
        # Only explicit causes: code may have caught an error and failed with another.
        chain = causes(error) if error is not None else ()
        met = {id(cause.error) for cause in chain if cause.is_explicit or cause.error is error}
        ended = [failure for failure in self._all if id(failure.error) in met or failure is self._newest]
        if notes := [note for note in {failure.note for failure in ended} if self._journal.ended(note) is not None]:
            await self._journal.void(notes)


def _note(step: str) -> str:
    return f"survived:{step}"


def _after(failed: StepKey, key: StepKey) -> bool:
    """Whether a run that begins the step of `key` continues after the step of `failed`, not in parallel."""
    if key.tool_call is not None and key.model_call and key.model_call == failed.model_call:
        return False
    inside_failed = key.strand.startswith(f"{failed}>")  # a tool's node is retried in the context of the first attempt
    inside_call = failed.strand.startswith(f"{key.strand}|{key.agent}#")
    beside = key.tool_call is None and _parent(key.strand) is not None and _parent(key.strand) == _parent(failed.strand)
    return key.strand == failed.strand or inside_failed or inside_call or beside


def _parent(strand: str) -> str | None:
    """The node whose code ran a strand's node; None at the top."""
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
    """Create an error of the same class, if known here; else one with the same ending."""
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
        # Classes may depend on attributes set by their constructors.
        same = str(error) == body["message"] and classify(error, now=datetime.now(UTC)).reason == reason
    except Exception:
        return ended
    return error if same else ended
