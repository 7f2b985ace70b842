"""The state of an object as pages show it: a word, a colour, and a sentence. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Tone = Literal["ok", "run", "wait", "warn", "bad", "dim"]


@dataclass(frozen=True, slots=True)
class State:
    """A state and its reason."""

    word: str
    tone: Tone
    text: str
    """Its meaning, as a sentence of this package."""
    reason: str = ""
    """The condition's reason, empty for none."""
    message: str = ""
    """The condition's message, which may contain text of users."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How much of a limit is used or remains, for a bar next to its text."""

    percent: int
    """0 to 100."""
    text: str
    tone: Tone = "run"


def part_of(value: float, whole: float) -> int:
    """Return a value in percent of a whole, from 0 to 100; 100 for a whole of 0."""
    return 100 if whole <= 0 else max(0, min(100, round(100 * value / whole)))


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return `1 job`, `2 jobs`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def listed(words: list[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) if words else ""


def text_of(raw: Mapping[str, Any], key: str) -> str:
    """Return a member that is a string, else an empty string."""
    value = raw.get(key)
    return value if isinstance(value, str) else ""
