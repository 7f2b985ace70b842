"""Fields of untrusted JSON with the expected types; wrong types count as missing. Pure."""

from typing import Any, Final

from agentjobs_runner.redaction import storable

NAME_CHARS: Final = 256
"""Maximum length of a name, an id or a word; the rest is cut."""


def as_object(value: object) -> dict[str, Any]:
    """Return an object, empty for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list, empty for anything else."""
    return value if isinstance(value, list) else []


def as_name(value: object) -> str:
    """Return a short text, empty for anything else."""
    return storable(value[:NAME_CHARS]) if isinstance(value, str) else ""


def as_much(text: str, most: int) -> str:
    """Return a text, cut to `most` bytes."""
    raw = storable(text).encode()
    return raw.decode() if len(raw) <= most else raw[:most].decode("utf-8", "ignore")


def as_number(value: object) -> float:
    """Return a finite non-negative number; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if 0 <= number < float("inf") else 0.0


def as_count(value: object) -> int:
    """Return a non-negative integer; 0 for anything else."""
    return int(min(as_number(value), 2**53)) if isinstance(value, int) else 0


def as_status(value: object) -> int | None:
    """Return an HTTP status, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599 else None
