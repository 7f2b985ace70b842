"""The recorded steps of a run, by key. Bodies stay JSON until needed: in a long run most are used once."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, cast

from agentjobs.contract import MAX_STEP_KEY_CHARS, ErrorClass, RecordedStep, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.redaction import storable

_DIGEST_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class _Kept:
    frame: Mapping[str, Any]
    """The step without its body."""
    body: bytes


class RecordedSteps:
    """An index of steps.

    Args:
        unseal: puts the pod's secrets back into a body; raises LookupError with the name of a missing one.
    """

    def __init__(self, unseal: Callable[[Any], Any]) -> None:
        self._unseal = unseal
        self._kept: dict[str, _Kept] = {}
        self._ahead: set[str] = set()
        """The keys of ended steps of earlier starts that have not been used."""

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, steps: Iterable[Any]) -> None:
        """Add the steps of a page; for the same key the later one counts.

        Raises:
            StartEnded: StepUnreadable if one is invalid.
        """
        for step in steps:
            try:
                frame = {name: value for name, value in step.items() if name != "body"}
                body = json.dumps(step.get("body"), ensure_ascii=False, separators=(",", ":")).encode()
                self._kept[frame["key"]] = _Kept({**frame, "ended": frame["ended"], "n": frame["n"]}, body)
                if frame["ended"] is not None:
                    self._ahead.add(frame["key"])
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise unreadable(step if isinstance(step, Mapping) else {}, error) from error

    def count_ended(self) -> int:
        """Return how many of the steps have ended."""
        return sum(kept.frame["ended"] is not None for kept in list(self._kept.values()))

    def frames(self) -> list[RecordedStep]:
        """Return all steps by number, without their bodies."""
        frames = sorted((kept.frame for kept in list(self._kept.values())), key=lambda frame: frame["n"])
        return [cast("RecordedStep", {**frame, "body": None}) for frame in frames]

    def put(self, frame: Mapping[str, Any], body: bytes) -> None:
        """Add one step with its body as JSON."""
        self._kept[frame["key"]] = _Kept(frame, body)

    def drop(self, keys: Iterable[str]) -> None:
        """Remove the steps with these keys."""
        for key in keys:
            self._kept.pop(key, None)
            self._ahead.discard(key)

    def clear(self) -> None:
        """Remove all steps."""
        self._kept.clear()
        self._ahead.clear()

    @property
    def has_more(self) -> bool:
        """Whether some of the added steps have not been used."""
        return bool(self._ahead)

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step with this key, with its body, if it has ended.

        Raises:
            StartEnded: StepUnreadable.
        """
        kept = self._kept.get(key)
        self._ahead.discard(key)
        return None if kept is None or kept.frame["ended"] is None else self._read(kept)

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call with this key if it has not ended."""
        kept = self._kept.get(key)
        return None if kept is None or kept.frame["ended"] is not None else self._read(kept)

    def _read(self, kept: _Kept) -> RecordedStep:
        try:
            if kept.frame.get("unreadable"):
                raise ValueError("its stored body is not valid JSON")
            body = self._unseal(json.loads(kept.body))
        except (ValueError, LookupError, RecursionError) as error:
            raise unreadable(kept.frame, error) from error
        return cast("RecordedStep", {**kept.frame, "body": body})


def stored_key(key: str) -> str:
    """Return `key` in its stored form: the end of a very long one is replaced by a digest."""
    key = storable(key)
    if len(key) <= MAX_STEP_KEY_CHARS:
        return key
    return f"{key[: MAX_STEP_KEY_CHARS - _DIGEST_CHARS - 1]}#{sha256(key.encode()).hexdigest()}"


def unreadable(frame: Mapping[str, Any], error: Exception) -> StartEnded:
    """The start's ending for an invalid recorded step; the message has the step and the cure."""
    why = error.args[0] if isinstance(error, LookupError) and error.args else error
    step = f"recorded step {frame.get('n', '?')} ({str(frame.get('key', '?'))[:200]})"
    cure = "Create a new job, or set retry.resume: FromStart so that a new attempt does not read earlier steps"
    message = f"{step} cannot be read: {str(why)[:300]}. {cure}"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_UNREADABLE, message))
