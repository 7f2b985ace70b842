"""Addresses of the same page with something changed: the whole state of a page is in its URL. Pure."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode

Query = Iterable[tuple[str, str]]

CURSOR: Final = "cursor"
PAGE: Final = "page"
PLACES: Final = frozenset({CURSOR, PAGE})
"""Parameters for a position in a list. They are invalid if any other parameter changes."""


def with_values(path: str, query: Query, **changed: str | None) -> str:
    """Return the address with these parameters set to new values; None removes one. The place in a list is dropped."""
    kept = [(name, value) for name, value in query if name not in changed and name not in PLACES and value]
    return address(path, [*kept, *((name, value) for name, value in changed.items() if value)])


def without(path: str, query: Query, name: str, value: str) -> str:
    """Return the address without one value of a parameter. The place in a list is dropped."""
    return address(path, [pair for pair in query if pair != (name, value) and pair[0] not in PLACES])


def address(path: str, query: Query) -> str:
    """Return a path with its query."""
    encoded = urlencode(list(query))
    return f"{path}?{encoded}" if encoded else path


def changes_of(namespaces: Iterable[str]) -> str:
    """Return the address of the stream of changes in these namespaces; in all for none."""
    return address("/v1/changes", [("namespace", namespace) for namespace in namespaces])
