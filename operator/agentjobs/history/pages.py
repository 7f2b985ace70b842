"""Pages of long lists, with keyset cursors.

A cursor contains the key of a page's last row, so each page has the same cost, and rows inserted meanwhile neither
repeat nor hide any. It is opaque to clients. Pure.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Generic, TypeVar

from agentjobs import errors
from agentjobs.api.job_filter import JobOrder
from agentjobs.api.recorded import RecordedJob
from agentjobs.durations import is_usable

T = TypeVar("T")
_INT8_MAX: Final = 2**63 - 1

DEFAULT_LIMIT: Final = 100
"""Default size of a page."""

MAX_LIMIT: Final = 500
"""Maximum rows of a page, and starts and transitions of a job."""

MAX_TREE: Final = 1000
"""Maximum jobs of one tree."""

MAX_DOLLARS: Final = 10**10
"""The largest cost that the tables can store."""

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of events' data; the event that exceeds it is the page's last. 500 of the largest would be 32 MB, and several
times that in the gateway's memory."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor of the next page, None at the end."""

    items: list[T]
    cursor: str | None


def checked_limit(limit: int) -> int:
    """Return the size of a page.

    Raises:
        errors.Invalid: it is out of range.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise errors.Invalid(f"limit: expected 1 to {MAX_LIMIT}, got {limit}")
    return limit


def page_of(items: list[T], key: Callable[[T], Sequence[datetime | int | str]], *, more: bool) -> Page[T]:
    """Return a page of these items; if there are more, `key` of the last is the cursor."""
    return Page(items, write_cursor(key(items[-1])) if more else None)


def write_cursor(key: Sequence[datetime | int | str]) -> str:
    """Return `key` as text that is safe in a URL."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def write_job_cursor(order: JobOrder, last: RecordedJob) -> str:
    """Return the cursor of the page after that job, valid for this order only."""
    place = place_of(order, last)
    key: tuple[datetime | int | str, ...] = (str(place) if isinstance(place, Decimal) else place, last.uid)
    # The default order's cursor has its original format, because gateways of different versions may run together.
    return write_cursor(key if order is JobOrder.NEWEST else (order.value, *key))


def parse_job_cursor(order: JobOrder, cursor: str) -> tuple[datetime | Decimal, str]:
    """Return place and uid of the job that `write_job_cursor` was given.

    Raises:
        errors.Invalid: it is not a cursor of this list in this order.
    """
    kind: type = str if order is JobOrder.COST else datetime
    if order is JobOrder.NEWEST:
        place, uid = parse_cursor(cursor, (datetime, str))
    else:
        named, place, uid = parse_cursor(cursor, (str, kind, str))
        if named != order:
            raise _foreign(cursor)
    return (_dollars(cursor, place) if order is JobOrder.COST else place), uid


def place_of(order: JobOrder, job: RecordedJob) -> Any:
    """Return the sort key of a job in this order; None if it is not listed."""
    match order:
        case JobOrder.NEWEST | JobOrder.OLDEST:
            return job.created
        case JobOrder.ENDED:
            return job.finished or job.deleted
        case JobOrder.COST:
            return job.cost_usd


def parse_cursor(cursor: str, kinds: Sequence[type]) -> list[Any]:
    """Return the key that `write_cursor` was given.

    Raises:
        errors.Invalid: it is not a cursor of this list.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(parts, list):
            raise TypeError("no list")
        return [_parse_part(part, kind) for part, kind in zip(parts, kinds, strict=True)]
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise _foreign(cursor) from error


def _foreign(cursor: str) -> errors.Invalid:
    return errors.Invalid(f"cursor: {cursor[:80]!r} is not of this list in this order; omit it to start over")


def _dollars(cursor: str, text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise _foreign(cursor) from None
    if not found.is_finite() or not 0 <= found < MAX_DOLLARS:
        raise _foreign(cursor)
    return found


def _parse_part(part: Any, kind: type) -> Any:
    if kind is datetime:
        time = datetime.fromisoformat(part)
        if time.tzinfo is None or not is_usable(time):
            raise ValueError("no time zone, or no time that PostgreSQL has")
        return time
    if type(part) is not kind or (isinstance(part, int) and not 0 <= part <= _INT8_MAX):
        raise TypeError(f"expected {kind.__name__}")
    if isinstance(part, str) and "\0" in part.encode().decode():  # encode() refuses half a character
        raise ValueError("a NUL character")
    return part
