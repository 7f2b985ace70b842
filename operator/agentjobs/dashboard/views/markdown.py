"""Markdown of models and users as harmless HTML: without links, images and the text's own HTML. Pure.

markdown-it-py renders it with HTML disabled; nh3 then keeps only the tags listed here. Links are shown as their text
followed by the address, and headings as bold paragraphs, because the page has its own headings.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from agentjobs.dashboard.texts import visible

MAX_CHARS: Final = 20_000
"""Characters of one text; longer ones are cut, and the page links to the whole text."""
_ADDRESS_CHARS: Final = 300
# Of the tables of a text that is not long: 1500 characters could make 65,000, in seconds. More are shown as text.
_CELLS: Final = 200
_LINE: Final = re.compile(r"\r\n?|\n")  # as Markdown has lines
_BLANK: Final = re.compile(r"\n[ \t]*\n")
_TEXT: Final = ("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li")
_TABLE: Final = ("table", "thead", "tbody", "tr", "th", "td")
TAGS: Final = frozenset((*_TEXT, *_TABLE))
"""The tags that are kept."""
ATTRIBUTES: Final[dict[str, set[str]]] = {"ol": {"start"}}


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as it is shown."""

    html: Markup
    left_out: int = 0
    """Characters that were cut."""


def markdown(text: str, limit: int = MAX_CHARS) -> Shown:
    """Return a text as HTML, cut to `limit` characters."""
    limit = min(limit, MAX_CHARS)
    shown = visible(text[:limit])
    made = _reader(tables=_cells(shown) <= max(_CELLS, len(shown) // 4))
    tokens = [_inert(token) for token in made.parse(shown)]
    html = made.renderer.render(tokens, made.options, {})
    # All tags and attributes that are not listed are removed; no listed attribute can have an address.
    clean = nh3.clean(html, tags=set(TAGS), attributes=ATTRIBUTES, url_schemes=set(), link_rel=None)
    return Shown(Markup(clean), max(0, len(text) - limit))  # noqa: S704  nh3 has just cleaned it


def _reader(*, tables: bool) -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 12}).enable("strikethrough")
    return made.enable("table") if tables else made


def _cells(text: str) -> int:
    """Return how many cells the tables of a text have at most: each row is filled up to the length of the longest."""
    blocks = (_LINE.split(block) for block in _BLANK.split(text))
    return sum(len(rows) * max((row.count("|") for row in rows), default=0) for rows in blocks)


def _inert(token: Token) -> Token:
    if token.type in ("heading_open", "heading_close"):
        token.tag = "p"
    if token.children is not None:
        token.children = list(_plain(token.children))
    return token


def _plain(children: Sequence[Token]) -> Iterator[Token]:
    """Yield the parts of a line, with addresses as text."""
    addresses: list[str] = []
    for child in children:
        match child.type:
            case "link_open":
                addresses.append("" if child.info == "auto" else _address(child, "href"))
            case "link_close":
                yield _text(addresses.pop() if addresses else "")
            case "image":
                yield _text(f"[image: {child.content}]{_address(child, 'src')}")
            case _:
                yield child


def _address(token: Token, attribute: str) -> str:
    address = str(token.attrGet(attribute) or "")
    return f" ({address[:_ADDRESS_CHARS]})" if address else ""


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
