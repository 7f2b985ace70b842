"""Which jobs of a list are wanted, and in which order: the same words in REST, URLs, CLI and client. Pure.

Several values of one field are alternatives; several fields must all hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from agentjobs.durations import is_usable
from agentjobs.errors import Invalid

MAX_VALUES: Final = 20
"""Of one field."""
MAX_VALUE_CHARS: Final = 316
"""The longest label key that Kubernetes allows; no name is longer."""
MAX_TEXT_CHARS: Final = 200


class JobOrder(StrEnum):
    """In which order jobs are listed. Those of one time, or cost, come by their uids."""

    NEWEST = "newest"
    """By the time they were created."""
    OLDEST = "oldest"
    ENDED = "ended"
    """Those that ended last come first; what has not ended is left out."""
    COST = "cost"
    """The costliest first; what has no cost is left out."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What jobs of a list have. Empty tuples and None ask for nothing."""

    name: tuple[str, ...] = ()
    phase: tuple[str, ...] = ()
    """Also `Deleted`, of a job whose object vanished before it ended."""
    reason: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    template: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    """`key=value`, or `key` for any value; unlike other fields all of them must hold. As the job was accepted with."""
    since: datetime | None = None
    """Created then or later."""
    until: datetime | None = None
    """Created before then."""
    ended_since: datetime | None = None
    """Ended, or deleted before it could, then or later."""
    ended_until: datetime | None = None
    """Ended, or deleted before it could, before then."""
    min_cost: Decimal | None = None
    """Its model calls cost so much or more so far, in US dollars. A job without such calls has no cost."""
    max_cost: Decimal | None = None
    """So much or less."""
    text: str = ""
    """Words that name, reason or message have; all of them, in any order, the last one may be a beginning."""
    order: JobOrder = JobOrder.NEWEST

    @classmethod
    def parse(cls, query: Iterable[tuple[str, str]]) -> "JobFilter":
        """Read the parameters of a URL; names that are no filter are left alone, and empty values say nothing.

        Raises:
            Invalid: a value cannot be one; the message names parameter and value.
        """
        given: dict[str, Any] = {}
        for parameter, value in query:
            name, value = NAMES.get(parameter, ""), value.strip()
            if not name or not value:
                continue
            if len(value) > (MAX_TEXT_CHARS if name == "text" else MAX_VALUE_CHARS) or "\0" in value:
                raise Invalid(f"{parameter}: {value[:80]!r} is too long, or has a NUL character")
            if name == "label" and value.startswith("="):
                raise Invalid(f"{parameter}: {value[:80]!r} has no key; write key=value, or key for any value")
            if name in _SEVERAL:
                before = given.get(name, ())
                given[name] = before if value in before else (*before, value)
            else:
                given[name] = _READERS[name](parameter, value)
        for name in _SEVERAL:
            if len(given.get(name, ())) > MAX_VALUES:
                raise Invalid(f"{name}: expected at most {MAX_VALUES} values, got {len(given[name])}")
        return cls(**given)

    def query(self) -> Iterator[tuple[str, str]]:
        """Yield the parameters that `parse` reads as this filter."""
        for parameter, name in NAMES.items():
            value = getattr(self, name)
            if isinstance(value, tuple):
                yield from ((parameter, one) for one in value)
            elif isinstance(value, datetime):
                yield parameter, value.isoformat().replace("+00:00", "Z")
            elif value not in (None, "", JobOrder.NEWEST):
                yield parameter, str(value)

    @property
    def is_empty(self) -> bool:
        """Whether all jobs have what it asks for."""
        return self == JobFilter(order=self.order)


def _time(parameter: str, value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Invalid(f"{parameter}: {value!r} is no time; write 2026-11-29T08:00:00Z") from None
    if found.tzinfo is None:
        raise Invalid(f"{parameter}: {value!r} has no time zone; write 2026-11-29T08:00:00Z")
    if not is_usable(found):
        raise Invalid(f"{parameter}: {value!r} is too long ago, or too far away")
    return found


def _dollars(parameter: str, value: str) -> Decimal:
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise Invalid(f"{parameter}: {value!r} is no number of US dollars") from None
    if not found.is_finite() or not 0 <= found < 10**9:
        raise Invalid(f"{parameter}: {value!r} is not between 0 and a billion US dollars")
    return found


def _order(parameter: str, value: str) -> JobOrder:
    try:
        return JobOrder(value)
    except ValueError:
        raise Invalid(f"{parameter}: {value!r} is none of {', '.join(JobOrder)}") from None


def _text(parameter: str, value: str) -> str:
    if not any(character.isalnum() for character in value):
        raise Invalid(f"{parameter}: {value[:80]!r} has no word")
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
"""The parameters of a URL, each with its field: `endedSince` is `ended_since`."""

EVERY_JOB: Final = JobFilter()
