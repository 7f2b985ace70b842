"""The recorded steps of a run, by key. Bodies stay JSON until they are asked for: most of a long run is asked once."""

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
        unseal: puts the pod's secrets back into a body; raises LookupError with the name of one that the pod lacks.
    """

    def __init__(self, unseal: Callable[[Any], Any]) -> None:
        self._unseal = unseal
        self._kept: dict[str, _Kept] = {}
        self._ahead: set[str] = set()
        """The keys of ended steps of earlier starts that have not been asked for."""

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, steps: Iterable[Any]) -> None:
        """Add steps as a page holds them; of two with one key the later counts.

        Raises:
            StartEnded: StepUnreadable when one is no step.
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
        """Forget the steps of these keys."""
        for key in keys:
            self._kept.pop(key, None)
            self._ahead.discard(key)

    def clear(self) -> None:
        """Forget all steps."""
        self._kept.clear()
        self._ahead.clear()

    @property
    def has_more(self) -> bool:
        """Whether some of the added steps have not been asked for."""
        return bool(self._ahead)

    def ended(self, key: str) -> RecordedStep | None:
        """Return the step of that key, with its body, if it has ended.

        Raises:
            StartEnded: StepUnreadable.
        """
        kept = self._kept.get(key)
        self._ahead.discard(key)
        return None if kept is None or kept.frame["ended"] is None else self._read(kept)

    def interrupted(self, key: str) -> RecordedStep | None:
        """Return the call of that key if it has not ended."""
        kept = self._kept.get(key)
        return None if kept is None or kept.frame["ended"] is not None else self._read(kept)

    def _read(self, kept: _Kept) -> RecordedStep:
        try:
            if kept.frame.get("unreadable"):
                raise ValueError("what is stored of it is not JSON any more")
            body = self._unseal(json.loads(kept.body))
        except (ValueError, LookupError, RecursionError) as error:
            raise unreadable(kept.frame, error) from error
        return cast("RecordedStep", {**kept.frame, "body": body})


def stored_key(key: str) -> str:
    """Return `key` as it is stored: the end of a very long one is replaced by a digest of the whole."""
    key = storable(key)
    if len(key) <= MAX_STEP_KEY_CHARS:
        return key
    return f"{key[: MAX_STEP_KEY_CHARS - _DIGEST_CHARS - 1]}#{sha256(key.encode()).hexdigest()}"


def unreadable(frame: Mapping[str, Any], error: Exception) -> StartEnded:
    """How a start ends whose recorded step is not what it should be; the message names the step and the cure."""
    why = error.args[0] if isinstance(error, LookupError) and error.args else error
    step = f"recorded step {frame.get('n', '?')} ({str(frame.get('key', '?'))[:200]})"
    cure = "A new job helps, or retry.resume: FromStart, by which a new attempt reads no steps of the one before"
    message = f"{step} cannot be read: {str(why)[:300]}. {cure}"
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.STEP_UNREADABLE, message))
