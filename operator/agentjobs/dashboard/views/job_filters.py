"""Filters of the list of jobs: in its URL, in the form, and as chips that can be removed. Pure.

The parameters are those of `JobFilter`, and two relative times, `within` and `endedWithin`, so that a bookmark always
means the last day. Fields of the form take several values, `a, b`; `canonical` converts a sent form to parameters.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from agentjobs.api import job_filter
from agentjobs.api.job_filter import NAMES, JobFilter, JobOrder, contradictions
from agentjobs.dashboard.views.time_axis import LAST, SPANS, floor
from agentjobs.dashboard.views.urls import CURSOR, without
from agentjobs.errors import Invalid

Pairs = Sequence[tuple[str, str]]

PATH: Final = "/jobs"
PHASES: Final = job_filter.PHASES
"""The choices of the form, for the template."""
WITHIN: Final[Mapping[str, str]] = {"today": "today", **LAST}
ORDERS: Final[Mapping[JobOrder, str]] = {
    JobOrder.NEWEST: "newest",
    JobOrder.OLDEST: "oldest",
    JobOrder.ENDED: "last ended",
    JobOrder.COST: "by cost",
}
FORM: Final = "form"
"""A parameter that marks a sent form."""
_TYPED: Final = "in."
_OTHERS: Final = ("namespace", CURSOR)
"""Other parameters of the list."""
_DAY_SECONDS: Final = 86400
_MAX_CHIPS: Final = 50
_NAMED: Final = {
    "partition": "partition", "since": "created since", "until": "created before", "within": "created",
    "endedWithin": "ended",
    "endedSince": "ended since", "endedUntil": "ended before", "minCost": "minimum cost", "maxCost": "maximum cost",
    "text": "text",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter, and the address of the list without it."""

    name: str
    value: str
    address: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters of a URL."""

    filter: JobFilter
    errors: Mapping[str, str]
    """Errors by parameter; such parameters are not part of the filter."""
    unknown: tuple[str, ...]
    """Parameters that are not filters."""
    query: tuple[tuple[str, str], ...]
    """The filter parameters of the URL, without namespaces, order and place."""
    chips: tuple[Chip, ...]
    """The first fifty, because each has an address as long as the URL."""
    order: JobOrder

    def typed(self, parameter: str) -> str:
        """Return the text of a field of the form: values separated by commas."""
        return joined(value for name, value in self.query if name == parameter)

    def has(self, parameter: str, value: str) -> bool:
        """Whether a parameter has this value."""
        return (parameter, value) in self.query

    @property
    def is_valid(self) -> bool:
        """Whether all parameters were understood; otherwise the filter would list jobs that the URL does not mean."""
        return not self.errors and not self.unknown

    @property
    def uses_more(self) -> bool:
        """Whether a filter is used whose field is in the folded part of the form."""
        shown = ("text", "phase", "within", "endedWithin", "queue")
        return any(name not in shown for name, _ in self.query) or any(name not in shown for name in self.errors)


def canonical(query: Pairs) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters of a sent form; None for a URL that does not come from the form."""
    if not any(name == FORM or name.startswith(_TYPED) for name, _ in query):
        return None
    found: dict[tuple[str, str], None] = {}
    for name, value in query:
        if name.startswith(_TYPED):
            found |= dict.fromkeys((name.removeprefix(_TYPED), part) for part in split(value))
        elif name not in (FORM, CURSOR) and value.strip():
            found[name, value.strip()] = None
    return tuple(found)


def split(text: str) -> tuple[str, ...]:
    """Return values separated by commas; a value with a comma is in double quotes."""
    rows = csv.reader([text.replace("\n", " ").replace("\r", " ")], skipinitialspace=True)
    return tuple(dict.fromkeys(value.strip() for row in rows for value in row if value.strip()))


def joined(values: Iterable[str]) -> str:
    """Return values as `split` reads them."""
    return ", ".join(
        '"' + value.replace('"', '""') + '"' if "," in value or '"' in value else value for value in values
    )


def wanted(query: Pairs, now: datetime) -> Wanted:
    """Parse the filters of a URL. Invalid ones become errors."""
    unknown = dict.fromkeys(
        name for name, value in query if value.strip() and not _is_mine(name) and name not in _OTHERS
    )
    mine = tuple((name, value.strip()) for name, value in query if _is_mine(name) and value.strip())
    fields: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for parameter in dict.fromkeys(name for name, _ in mine):
        values = [(name, value) for name, value in mine if name == parameter]
        try:
            fields |= _read(parameter, values, now)
        except Invalid as error:
            errors[parameter] = str(error).partition(": ")[2] or str(error)
    errors |= contradictions(fields)
    order = fields.get("order", JobOrder.NEWEST)
    filters = tuple(pair for pair in mine if pair[0] != "order")
    return Wanted(JobFilter(**fields), errors, tuple(unknown), filters, _chips(query, filters), order)


def _is_mine(name: str) -> bool:
    return name in NAMES or name in ("within", "endedWithin")


def _read(parameter: str, values: Pairs, now: datetime) -> dict[str, Any]:
    """Return the fields of a filter that one parameter sets. Raises Invalid."""
    if parameter in ("within", "endedWithin"):
        begin = _begin(parameter, values[-1][1], now)
        return {"since" if parameter == "within" else "ended_since": begin}
    field = NAMES[parameter]
    return {field: getattr(JobFilter.parse(values), field)}


def _begin(parameter: str, word: str, now: datetime) -> datetime:
    if word == "today":
        return floor(now, _DAY_SECONDS)
    if word not in SPANS:
        raise Invalid(f"{parameter}: {word[:60]!r} is not one of {', '.join(WITHIN)}")
    # Rounded to a minute, so that REST can share answers.
    return floor(now, 60) - SPANS[word]


def _chips(query: Pairs, filters: Pairs) -> tuple[Chip, ...]:
    return tuple(
        Chip(
            _NAMED.get(name, name),
            WITHIN.get(value, value) if name in ("within", "endedWithin") else value,
            without(PATH, query, name, value),
        )
        for name, value in islice(dict.fromkeys(filters), _MAX_CHIPS)
    )
