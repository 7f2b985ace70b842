"""Addresses of the same page with something changed: a page's whole state is in its URL. Pure."""

from collections.abc import Iterable
from urllib.parse import urlencode

Query = Iterable[tuple[str, str]]


def with_values(path: str, query: Query, **changed: str | None) -> str:
    """Return the address with these parameters set anew; None takes one away. The place in a list is left out."""
    kept = [(name, value) for name, value in query if name not in changed and name != "cursor" and value]
    return address(path, [*kept, *((name, value) for name, value in changed.items() if value)])


def without(path: str, query: Query, name: str, value: str) -> str:
    """Return the address without one value of a parameter. The place in a list is left out."""
    return address(path, [pair for pair in query if pair != (name, value) and pair[0] != "cursor"])


def address(path: str, query: Query) -> str:
    """Return a path with its query."""
    told = urlencode(list(query))
    return f"{path}?{told}" if told else path


def changes_of(namespaces: Iterable[str]) -> str:
    """Return where the server says that something changed in these namespaces; in all for none."""
    return address("/v1/changes", [("namespace", one) for one in namespaces])
