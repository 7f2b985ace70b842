"""Checks untrusted JSON as text, without parsing it into objects.

Objects take up to 25 times the memory of their text, and most of what runners send is only stored. So the text is
checked in pieces, each at a bounded cost. Pure.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

import msgspec
from msgspec import Raw

# Every JSON parser accepts this depth; it is pydantic's limit.
MAX_DEPTH: Final = 200
# Python refuses integers of more than 4,300 digits. PostgreSQL stores numbers that a border between pieces hides.
MAX_DIGITS: Final = 1000
# The size of a piece, which takes one to three milliseconds.
PIECE_BYTES: Final = 64 * 1024

_DIGITS: Final = re.compile(rb"(?<![0-9])[0-9]{%d}" % (MAX_DIGITS + 1))
_STRING: Final = re.compile(rb'"[^"]*"')
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_HIGH: Final = b"89abAB"
_OPENING: Final = b"[{"
_OTHERS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = [1 if byte in _OPENING else -1 for byte in range(256)]
# A byte that UTF-8 never has; it replaces an escaped backslash.
_MARK: Final = b"\xff"


def storable(text: bytes) -> bytes:
    """Return JSON text that every parser accepts and PostgreSQL stores: NUL is replaced by U+FFFD. Raises as
    `checked`."""
    return without_nul(checked(text))


def checked(text: bytes) -> bytes:
    """Return JSON text unchanged if every parser accepts it. PostgreSQL stores it as text.

    Whether it is JSON at all is left to its parser; this works for any bytes.

    Raises:
        ValueError: it is not UTF-8, holds half a surrogate pair, nests deeper than `MAX_DEPTH`, or has a number of more
            than `MAX_DIGITS` digits.
    """
    if not text.isascii():
        _check_encoding(text)
    if sum(map(text.count, (b"[", b"{"))) > MAX_DEPTH or _has_long_number(text):
        _check_structure(text)
    if _SURROGATE.search(text):
        _check_pairs(text.replace(rb"\\", _MARK))
    return text


def readable(text: Raw) -> Raw | None:
    """Return stored JSON text unchanged; None if some parsers would refuse it."""
    try:
        msgspec.json.decode(checked(bytes(text)), type=Raw)
    except (ValueError, RecursionError):
        return None
    return text


def without_nul(text: bytes) -> bytes:
    """Return JSON text with U+FFFD instead of NUL."""
    if b"\\u0000" not in text:
        return text
    plain = text.replace(rb"\\", _MARK).replace(rb"\u0000", rb"\ufffd")
    return plain.replace(_MARK, rb"\\")


def _check_encoding(text: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for begin in range(0, len(text), PIECE_BYTES):
            decoder.decode(text[begin : begin + PIECE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _check_pairs(text: bytes) -> None:
    due = None  # where the second half must begin
    for found in _SURROGATE.finditer(text):
        first = found[0][3:4] in _HIGH
        if first is not (due is None) or (due is not None and found.start() != due):
            due = -1
            break
        due = found.start() + 6 if first else None
    if due is not None:
        raise ValueError("it holds half of a surrogate pair")


def _has_long_number(text: bytes) -> bool:
    return any(_DIGITS.search(text, at, at + PIECE_BYTES) for at in range(0, len(text), PIECE_BYTES))


def _check_structure(text: bytes) -> None:
    depth = 0
    for piece in _without_strings(text):
        if _DIGITS.search(piece):
            raise ValueError(f"it has a number of more than {MAX_DIGITS} digits")
        levels = list(accumulate(map(_STEPS.__getitem__, piece.translate(None, _OTHERS)), initial=depth))
        if max(levels) > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        depth = levels[-1]


def _without_strings(text: bytes) -> Iterator[bytes]:
    inside = False
    for piece in _pieces(text):
        piece = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        begins, inside = inside, inside != bool(piece.count(b'"') % 2)
        yield _STRING.sub(b"", b'"' * begins + piece + b'"' * inside)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut text into pieces, never inside an escape."""
    begin = 0
    while begin < len(text):
        piece = text[begin : begin + PIECE_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = text[begin : begin + PIECE_BYTES + 1]
        yield piece
        begin += len(piece)
