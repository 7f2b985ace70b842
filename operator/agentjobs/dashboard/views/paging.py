"""A list in numbered pages, whose number is in the URL. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from agentjobs.dashboard.views.urls import PAGE, Query, with_values

ROWS: Final = 40
"""Rows of one page: with 100 queues, a page and all that it loads would be larger than 150 kB."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Paged(Generic[Row]):
    """One page of a list."""

    rows: Sequence[Row]
    first: int
    """Number of its first row, from 1; 0 for an empty list."""
    total: int
    previous: str
    """Address of the page before it, empty for the first page."""
    next: str


def paged(rows: Sequence[Row], path: str, query: Query) -> Paged[Row]:
    """Return the requested page, or the nearest one if it does not exist."""
    given = tuple(query)
    last = max(1, -(-len(rows) // ROWS))
    number = min(last, max(1, _number(given)))
    begin = (number - 1) * ROWS

    def address(of: int) -> str:
        return with_values(path, given, page=str(of) if of > 1 else None)

    return Paged(
        rows=rows[begin : begin + ROWS],
        first=begin + 1 if rows else 0,
        total=len(rows),
        previous=address(number - 1) if number > 1 else "",
        next=address(number + 1) if number < last else "",
    )


def _number(query: Iterable[tuple[str, str]]) -> int:
    text = next((value for name, value in query if name == PAGE), "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 1
