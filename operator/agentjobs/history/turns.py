"""A job's turn of its session as it is stored: checked, with words for memory search. Pure.

Events stay JSON text. Only the texts of their parts are read, for the search index.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypedDict

import msgspec
from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import MAX_STATE_BYTES, MAX_TURN_BYTES

MAX_INDEXED_BYTES: Final = 256 * 1024
"""A larger event is stored, but not searchable: it contains images or documents."""


@dataclass(frozen=True, slots=True)
class TurnParts:
    """`contract.Turn` as the gateway passes it to history: storable JSON text, not parsed yet."""

    events: Sequence[Raw]
    state: Raw
    user: Mapping[str, Raw]
    app: Mapping[str, Raw]


class EventRow(TypedDict):
    """One event of a turn."""

    n: int
    event: Raw
    texts: str
    """The texts in it, empty for none."""


def checked(turn: TurnParts) -> TurnParts:
    """Return the turn.

    Raises:
        errors.TooLarge: the turn exceeds its limit.
        errors.Invalid: a state exceeds its limit.
    """
    if (size := turn_bytes(turn)) > MAX_TURN_BYTES:
        raise errors.TooLarge(f"the turn has {size} bytes; {MAX_TURN_BYTES} is the limit for one turn")
    sizes = {"state": _size(turn.state), "user": state_bytes(turn.user), "app": state_bytes(turn.app)}
    for name, size in sizes.items():
        if size > MAX_STATE_BYTES:
            raise errors.Invalid(f"{name}: {size} bytes of state; {MAX_STATE_BYTES} is the limit")
    return turn


def turn_bytes(turn: TurnParts) -> int:
    """Return the size of a turn in its session."""
    return sum(map(_size, turn.events)) + _size(turn.state)


def state_bytes(state: Mapping[str, Raw]) -> int:
    """Return the size of a user's or an app's state."""
    return sum(len(key.encode()) + _size(value) for key, value in state.items())


def digest(turn: TurnParts) -> bytes:
    """Return the digest of a turn, to compare it with the stored one."""
    found = hashlib.sha256()
    for raw in (*turn.events, turn.state):
        found.update(_size(raw).to_bytes(8))
        found.update(raw)
    for state in (turn.user, turn.app):
        found.update(msgspec.json.encode(state))
    return found.digest()


def event_rows(turn: TurnParts) -> list[EventRow]:
    """Return the rows of a turn's events, numbered from 0."""
    return [EventRow(n=n, event=event, texts=texts_of(event)) for n, event in enumerate(turn.events)]


class _Part(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _TextOfEvent(msgspec.Struct):
    content: _Content | None = None


class EventHead(msgspec.Struct):
    """The fields of an event in search results, in addition to its texts."""

    id: str = ""
    author: str = ""
    timestamp: float = math.nan

    def time(self, otherwise: datetime) -> datetime:
        """Return when it happened."""
        try:
            return datetime.fromtimestamp(self.timestamp, UTC)
        except (ValueError, OverflowError, OSError):
            return otherwise


_DECODER: Final = msgspec.json.Decoder(_TextOfEvent)
_HEAD: Final = msgspec.json.Decoder(EventHead)


def texts_of(event: Raw) -> str:
    """Return the texts of an event's parts without thoughts; empty where it is too large or no ADK Event."""
    if _size(event) > MAX_INDEXED_BYTES:
        return ""
    try:
        content = _DECODER.decode(event).content
    except msgspec.DecodeError:
        return ""
    parts = (content.parts if content else None) or ()
    return "\n".join(part.text for part in parts if part.text and not part.thought)


def head(event: Raw) -> EventHead:
    """Return an event's id, author and time, empty where it has none."""
    try:
        return _HEAD.decode(event)
    except msgspec.DecodeError:
        return EventHead()


def _size(raw: Raw) -> int:
    return len(memoryview(raw))
