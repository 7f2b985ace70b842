"""Entries of a start's timeline as they are stored: checked and cleaned for PostgreSQL, with their usage. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypedDict

from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import USAGE, TimelineEntry
from agentjobs.history.sanitize import clean_text, dump_json

_MAX_SEQ: Final = 2**63 - 1
# The largest integer that every JSON reader, such as JavaScript, represents exactly.
MAX_USAGE: Final = 2**53


class Entry(TypedDict):
    """One row of the table of events, with what it used."""

    seq: int
    time: datetime
    kind: str
    author: str
    data: Raw
    usage: dict[str, int] | None


def entries_of(batch: Sequence[TimelineEntry]) -> list[Entry]:
    """Return the entries to store of a body of events; of two with the same number the first.

    Raises:
        errors.Invalid: a time or number cannot be stored.
    """
    checked = [_entry(event) for event in batch]
    return list({entry["seq"]: entry for entry in reversed(checked)}.values())[::-1]


def new_events(batch: Sequence[TimelineEntry], stored: Iterable[int]) -> list[TimelineEntry]:
    """Return those events of a body whose numbers were stored, in the order of their numbers."""
    given = {event["seq"]: event for event in reversed(batch)}
    return [given[seq] for seq in sorted(stored)]


def total_usage(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of usages, by the names of `contract.USAGE`, without zeros."""
    total: dict[str, int] = {}
    for each in counts:
        for name in USAGE:
            if each.get(name):
                total[name] = min(total.get(name, 0) + each[name], MAX_USAGE)
    return total


def _entry(event: TimelineEntry) -> Entry:
    if not 0 <= event["seq"] <= _MAX_SEQ:
        raise errors.Invalid(f"event seq: expected 0 to {_MAX_SEQ}, got {event['seq']}")
    return Entry(
        seq=event["seq"],
        time=parse_time(event["time"], "event time"),
        kind=clean_text(event["kind"]),
        author=clean_text(event["author"]),
        data=Raw(dump_json(event["data"])),
        usage=total_usage([event.get("usage") or {}]) or None,
    )


def parse_time(value: str, what: str) -> datetime:
    """Return a time that a runner sent, in UTC.

    Raises:
        errors.Invalid: it cannot be stored; `what` is its name in the message.
    """
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            raise ValueError("no time zone")
        time = time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise errors.Invalid(f"{what}: expected RFC 3339 with a time zone, got {value[:64]!r}") from error
    if not 1970 <= time.year < 9999:  # Python cannot read later times back
        raise errors.Invalid(f"{what}: expected a year from 1970 to 9998, got {value[:64]!r}")
    return time
