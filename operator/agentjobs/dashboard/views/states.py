"""The state of an object as pages show it: a word, how it is painted, and a sentence. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["ok", "run", "wait", "warn", "bad", "dim"]


@dataclass(frozen=True, slots=True)
class State:
    """In which state something is, and why."""

    word: str
    tone: Tone
    text: str
    """What that means, as a sentence of ours."""
    reason: str = ""
    """The condition's reason, empty for none."""
    message: str = ""
    """What the condition says: names of users and texts of others may be in it."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How much of a limit is used or left, for a bar beside its text."""

    percent: int
    """0 to 100."""
    text: str
    tone: Tone = "run"


def part_of(value: float, whole: float) -> int:
    """Return how many hundredths of a whole a value is, at least 0 and at most 100; all of a whole of nothing."""
    return 100 if whole <= 0 else max(0, min(100, round(100 * value / whole)))


def counted(count: int, one: str, several: str = "") -> str:
    """Return `1 job`, `2 jobs`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def listed(words: list[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) if words else ""


def text_of(raw: Mapping[str, Any], key: str) -> str:
    """Return a member that is a text, else an empty one."""
    value = raw.get(key)
    return value if isinstance(value, str) else ""
