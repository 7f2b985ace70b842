"""Values of an answer, by path, for texts of other jobs: `$(after.plan.steps.0)`.

An answer may have 4 MiB, and 25 times that as Python objects. So only the values along a path are parsed; the rest
stays JSON text. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from agentjobs.contract import cut

MAX_KNOWN: Final = 10
"""How many names an error message lists."""
_MAX_NAME: Final = 60
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Missing:
    """No value exists at the path."""

    at: str
    """The part of the path that exists; empty for the answer itself."""
    known: tuple[str, ...]
    """At most ten of the names there; empty if the value is not an object."""


class Whole(Struct, frozen=True):
    """A whole answer, parsed only where it is read."""

    text: Raw = Raw(b'""')
    structured: Raw = Raw(b"null")
    outcome: str | None = None
    cut_from: int | None = field(name="cutFrom", default=None)

    @property
    def is_cut(self) -> bool:
        """Whether the answer was too large to be stored, so that this is only its beginning."""
        return self.cut_from is not None

    @property
    def content(self) -> Raw:
        """The answer as JSON: its object if it has one, else its text."""
        return self.text if bytes(memoryview(self.structured)[:1]) == b"n" else self.structured


def whole(answer: Raw) -> Whole:
    """Read an answer as history keeps it."""
    return msgspec.json.decode(answer, type=Whole)


class Reader:
    """Reads values of one JSON text by path. Keeps parsed objects, because many paths share a prefix."""

    def __init__(self, value: Raw) -> None:
        self._value = value
        self._opened: dict[tuple[str, ...], dict[str, Raw] | list[Raw]] = {}

    def at(self, path: Sequence[str]) -> Raw | Missing:
        """Return the value at a path of member names and list indexes from 0."""
        value = self._value
        for index, name in enumerate(path):
            above = tuple(path[:index])
            inner = self._opened.get(above)
            if inner is None:
                inner = self._opened[above] = _inner(value)
            found = _member(inner, name)
            if found is None:
                return Missing(".".join(above), _known(inner))
            value = found
        return value


def as_text(value: Raw) -> str:
    """Return a value for use in a text: a string unchanged, anything else as JSON."""
    if bytes(memoryview(value)[:1]) == b'"':
        return msgspec.json.decode(value, type=str)
    return msgspec.json.format(bytes(value), indent=-1).decode()


def _inner(value: Raw) -> dict[str, Raw] | list[Raw]:
    head = bytes(memoryview(value)[:1])
    if head == b"{":
        return msgspec.json.decode(value, type=dict[str, Raw])
    if head == b"[":
        return msgspec.json.decode(value, type=list[Raw])
    return {}


def _member(inner: dict[str, Raw] | list[Raw], name: str) -> Raw | None:
    if isinstance(inner, dict):
        return inner.get(name)
    place = int(name) if _NUMBER.fullmatch(name) else len(inner)
    return inner[place] if place < len(inner) else None


def _known(inner: dict[str, Raw] | list[Raw]) -> tuple[str, ...]:
    if isinstance(inner, list):
        return tuple(map(str, range(min(len(inner), MAX_KNOWN))))
    return tuple(cut(name, _MAX_NAME) for name in islice(inner, MAX_KNOWN))
