"""What reading long lists of history gives: pages, with keyset cursors.

A cursor holds the key of a page's last row, so a page costs the same wherever it lies and rows that come in meanwhile
neither repeat nor hide any. To a client it is opaque. Pure.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from agentjobs import errors

T = TypeVar("T")
_INT8_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and where the next ones begin: None when there are none."""

    items: list[T]
    cursor: str | None


def write_cursor(key: Sequence[datetime | int | str]) -> str:
    """Return `key` as text that is safe in a URL."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def parse_cursor(cursor: str, kinds: Sequence[type]) -> list[Any]:
    """Return the key that `write_cursor` was given.

    Raises:
        errors.Invalid: it is no cursor of this list.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(parts, list):
            raise TypeError("no list")
        return [_parse_part(part, kind) for part, kind in zip(parts, kinds, strict=True)]
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise errors.Invalid(f"cursor: {cursor[:80]!r} is none of this list; leave it out to begin anew") from error


def _parse_part(part: Any, kind: type) -> Any:
    if kind is datetime:
        time = datetime.fromisoformat(part)
        if time.tzinfo is None:
            raise ValueError("no time zone")
        return time
    if type(part) is not kind or (isinstance(part, int) and not 0 <= part <= _INT8_MAX):
        raise TypeError(f"expected {kind.__name__}")
    return part
