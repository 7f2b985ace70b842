"""The filter and order of lists of jobs: the same names in REST, URLs, CLI and client. Pure.

Several values of one field are alternatives; several fields must all hold.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from agentjobs.api.conditions import DELETED, REASON_PATTERN, Phase
from agentjobs.durations import format_time, is_usable
from agentjobs.errors import Invalid

MAX_VALUES: Final = 20
"""Most values of one field."""
MAX_VALUE_CHARS: Final = 316
"""The longest label key in Kubernetes; no name is longer."""
MAX_TEXT_CHARS: Final = 200
PHASES: Final = (*(phase.value for phase in Phase), DELETED)


class JobOrder(StrEnum):
    """The order of jobs. Ties are ordered by uid."""

    NEWEST = "newest"
    """By creation time."""
    OLDEST = "oldest"
    ENDED = "ended"
    """By end time, newest first; without jobs that have not ended."""
    COST = "cost"
    """By cost, highest first; without jobs that have no cost."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions on jobs. Empty tuples and None do not restrict."""

    name: tuple[str, ...] = ()
    phase: tuple[str, ...] = ()
    """Also `Deleted`, for a job whose object was deleted before it ended."""
    reason: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    template: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    """Labels at acceptance: `key=value`, or `key` for any value; unlike other fields, all must match."""
    since: datetime | None = None
    """Created at or after this time."""
    until: datetime | None = None
    """Created before this time."""
    ended_since: datetime | None = None
    """Ended, or deleted before its end, at or after this time."""
    ended_until: datetime | None = None
    """Ended, or deleted before its end, before this time."""
    min_cost: Decimal | None = None
    """Minimum cost of its model calls until now, in US dollars. A job without such calls has no cost."""
    max_cost: Decimal | None = None
    """Maximum cost."""
    text: str = ""
    """Words in name, reason or message; all must occur, in any order, the last may be a prefix."""
    order: JobOrder = JobOrder.NEWEST

    @classmethod
    def parse(cls, query: Iterable[tuple[str, str]]) -> "JobFilter":
        """Parse the parameters of a URL; other parameters and empty values are ignored.

        Raises:
            Invalid: an invalid value, or two that no job can match; the message names parameter and values.
        """
        given: dict[str, Any] = {}
        for parameter, value in query:
            name, value = NAMES.get(parameter, ""), value.strip()
            if not name or not value:
                continue
            _check(parameter, name, value)
            if name in _SEVERAL:
                before = given.get(name, ())
                given[name] = before if value in before else (*before, value)
            else:
                given[name] = _READERS[name](parameter, value)
        for name in _SEVERAL:
            if len(given.get(name, ())) > MAX_VALUES:
                raise Invalid(f"{name}: expected at most {MAX_VALUES} values, got {len(given[name])}")
        for parameter, message in contradictions(given):
            raise Invalid(f"{parameter}: {message}")
        return cls(**given)

    def query(self) -> Iterator[tuple[str, str]]:
        """Yield the URL parameters of this filter, the reverse of `parse`."""
        for parameter, name in NAMES.items():
            value = getattr(self, name)
            if isinstance(value, tuple):
                yield from ((parameter, each) for each in value)
            elif isinstance(value, datetime):
                yield parameter, value.isoformat().replace("+00:00", "Z")
            elif value not in (None, "", JobOrder.NEWEST):
                yield parameter, str(value)

    @property
    def is_empty(self) -> bool:
        """Whether all jobs match."""
        return self == JobFilter(order=self.order)


def _check(parameter: str, name: str, value: str) -> None:
    """Check one value of the field `name`.

    Raises:
        Invalid: no job can have it.
    """
    if len(value) > (MAX_TEXT_CHARS if name == "text" else MAX_VALUE_CHARS) or "\0" in value:
        raise Invalid(f"{parameter}: {value[:80]!r} is too long, or contains a NUL character")
    if name == "phase" and value not in PHASES:
        raise Invalid(f"{parameter}: {value[:60]!r} is not one of {', '.join(PHASES)}")
    if name == "reason" and not re.fullmatch(REASON_PATTERN, value):
        raise Invalid(f"{parameter}: {value[:60]!r} is not a reason; use a word such as ToolError")
    if name == "label" and value.startswith("="):
        raise Invalid(f"{parameter}: {value[:80]!r} has no key; write key=value, or key for any value")


def contradictions(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of upper limits that no job can match together with the lower ones, each with a message.

    Args:
        given: values by field.
    """
    for lower, upper in (("since", "until"), ("ended_since", "ended_until"), ("min_cost", "max_cost")):
        if lower not in given or upper not in given:
            continue
        first, last = given[lower], given[upper]
        if isinstance(first, datetime):
            # The end of a time does not belong to it.
            if last <= first:
                yield _camel(upper), f"{format_time(last)} is not after {format_time(first)}; no job can match both"
        elif last < first:
            yield _camel(upper), f"{last} is less than {first}; no job can match both"


def _time(parameter: str, value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Invalid(f"{parameter}: {value!r} is not a time; use e.g. 2026-11-29T08:00:00Z") from None
    if found.tzinfo is None:
        raise Invalid(f"{parameter}: {value!r} has no time zone; use e.g. 2026-11-29T08:00:00Z")
    if not is_usable(found):
        raise Invalid(f"{parameter}: {value!r} is too far in the past or future")
    return found


def _dollars(parameter: str, value: str) -> Decimal:
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise Invalid(f"{parameter}: {value!r} is not an amount of US dollars; use e.g. 2.50") from None
    if not found.is_finite() or not 0 <= found < 10**9:
        raise Invalid(f"{parameter}: {value!r} is not between 0 and a billion US dollars")
    return found


def _order(parameter: str, value: str) -> JobOrder:
    try:
        return JobOrder(value)
    except ValueError:
        raise Invalid(f"{parameter}: {value!r} is not an order; use one of {', '.join(JobOrder)}") from None


def _text(parameter: str, value: str) -> str:
    if not any(character.isalnum() for character in value):
        raise Invalid(f"{parameter}: {value[:80]!r} contains no word")
    return value


_SEVERAL: Final = frozenset(each.name for each in fields(JobFilter) if str(each.type).startswith("tuple"))
_READERS: Final[Mapping[str, Any]] = {
    "since": _time,
    "until": _time,
    "ended_since": _time,
    "ended_until": _time,
    "min_cost": _dollars,
    "max_cost": _dollars,
    "text": _text,
    "order": _order,
}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


NAMES: Final[Mapping[str, str]] = {_camel(each.name): each.name for each in fields(JobFilter)}
"""The parameters of a URL and their fields: `endedSince` is `ended_since`."""

EVERY_JOB: Final = JobFilter()
