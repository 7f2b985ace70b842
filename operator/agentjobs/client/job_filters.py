"""The filters of history: the fields of `JobFilter` as keywords. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypedDict

from agentjobs.api.job_filter import NAMES, JobFilter, JobOrder

_PARAMETERS: Final = {field: parameter for parameter, field in NAMES.items()}


class JobFields(TypedDict, total=False):
    """As in `JobFilter`: one value, or several alternatives; empty ones are ignored."""

    name: str | Sequence[str]
    phase: str | Sequence[str]
    reason: str | Sequence[str]
    outcome: str | Sequence[str]
    queue: str | Sequence[str]
    schedule: str | Sequence[str]
    template: str | Sequence[str]
    partition: str | Sequence[str]
    model: str | Sequence[str]
    label: str | Sequence[str]
    """`key=value` or `key`; all must match."""
    since: datetime | None
    until: datetime | None
    ended_since: datetime | None
    ended_until: datetime | None
    min_cost: Decimal | float | str | None
    """US dollars."""
    max_cost: Decimal | float | str | None
    text: str
    order: JobOrder | str


def filter_of(fields: JobFields) -> JobFilter:
    """Return the filter for these keywords.

    Raises:
        errors.Invalid: a value is invalid; the message names it.
        TypeError: a keyword is not a field.
    """
    if unknown := set(fields) - set(_PARAMETERS):
        raise TypeError(f"no filter {sorted(unknown)[0]!r}; use {', '.join(_PARAMETERS)}")
    return JobFilter.parse((_PARAMETERS[name], text) for name, value in fields.items() for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, datetime):
        yield value.isoformat()
    elif isinstance(value, str | Decimal | float | int):
        yield str(value)
    elif value is not None:
        yield from map(str, value)
