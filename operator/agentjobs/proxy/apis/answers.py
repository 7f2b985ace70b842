"""Splits the body of an answer into JSON documents, as it passes by in arbitrary pieces.

An answer is one document, an array of documents (Gemini's streams without `alt=sse`), or server-sent events; its first
character decides, not its headers. The buffer is bounded.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Final

# Size of one document. Answers with images take tens of megabytes; larger ones are passed on without being read.
MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024
_GZIP: Final = b"\x1f\x8b"
_SIGNS: Final = re.compile(rb'[{}"\\]')


class Document:
    """An answer that is one document, complete at its end."""

    def __init__(self) -> None:
        self.held = 0
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Keep a piece."""
        self._parts.append(piece)
        self.held += len(piece)
        return iter(())

    def end(self) -> Iterator[bytes]:
        """Yield the document."""
        if self._parts:
            yield b"".join(self._parts)
        self._parts = []


class Array:
    """An array of documents: each is complete at its last brace."""

    def __init__(self) -> None:
        self.held = 0
        self._parts: list[bytes] = []
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the documents that a piece completes."""
        if not piece:
            return  # an earlier backslash still escapes
        begin = 0
        passed = 0 if self._escaped else -1  # the character after a backslash is literal
        self._escaped = False
        for sign in _SIGNS.finditer(piece):
            at, what = sign.start(), sign[0]
            if at == passed:
                continue
            if self._quoted:
                if what == b"\\":
                    passed, self._escaped = at + 1, at + 1 == len(piece)
                self._quoted = what != b'"'
            elif what == b'"':
                self._quoted = True
            elif what == b"{":
                begin = begin if self._depth else at
                self._depth += 1
            elif what == b"}" and self._depth:
                self._depth -= 1
                if not self._depth:
                    yield b"".join([*self._parts, piece[begin : at + 1]])
                    self._parts, self.held = [], 0
        if self._depth:
            self._parts.append(piece[begin:])
            self.held += len(piece) - begin

    def end(self) -> Iterator[bytes]:
        """Yield nothing: an incomplete document is ignored."""
        return iter(())


class Events:
    """Server-sent events: the data of each is a document, or a word such as [DONE]."""

    def __init__(self) -> None:
        self.held = 0
        self._line: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of the events that a piece completes."""
        first, *lines = piece.split(b"\n")
        self._line.append(first)
        self.held += len(first)
        for line in lines:
            yield from self._take(b"".join(self._line))
            self._line = [line]
            self.held = len(line) + sum(map(len, self._data))

    def end(self) -> Iterator[bytes]:
        """Yield the data of an event without its final empty line."""
        yield from self._take(b"".join(self._line))
        yield from self._take(b"")
        self._line = []

    @property
    def between(self) -> bool:
        """Whether all events so far are complete."""
        return not self._data and not any(self._line)

    def _take(self, line: bytes) -> Iterator[bytes]:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            yield b"\n".join(self._data)
            self._data = []


def _form(first: bytes) -> Document | Array | Events:
    return Document() if first == b"{" else Array() if first == b"[" else Events()


class Documents:
    """Splits an answer's pieces into documents."""

    def __init__(self, *, most: int = MAX_DOCUMENT_BYTES) -> None:
        self._most = most
        self._form: Document | Array | Events | None = None
        self._begin: bytes | None = b""
        self._zip: zlib._Decompress | None = None
        self.lost = False
        """Whether it is too large to be read, compressed or not."""
        self.size = 0
        """Bytes until now, uncompressed."""

    @property
    def is_single(self) -> bool:
        """Whether the answer is a single document, not a stream."""
        return isinstance(self._form, Document)

    @property
    def between(self) -> bool:
        """Whether an event may follow: nothing was sent yet, or only complete events."""
        return (
            self._zip is None
            and not self.lost
            and (self._form.between if isinstance(self._form, Events) else not self.size)
        )

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the documents that a piece completes."""
        for plain in self._plain(piece):
            self.size += len(plain)
            if self._form is None and not self.lost and (plain := plain.lstrip()):
                self._form = _form(plain[:1])
            if self._form is not None:
                yield from self._form.feed(plain)
                if self._form.held > self._most:
                    self.lost, self._form = True, None

    def end(self) -> Iterator[bytes]:
        """Yield what is complete at the answer's end."""
        if self._form is not None:
            yield from self._form.end()

    def _plain(self, piece: bytes) -> Iterator[bytes]:
        """Decompress a piece: some hosts compress although the request does not allow it."""
        if self._begin is not None:
            self._begin += piece
            if len(self._begin) < len(_GZIP) and _GZIP.startswith(self._begin):
                return
            piece, self._begin = self._begin, None
            if piece.startswith(_GZIP):
                self._zip = zlib.decompressobj(wbits=31)
        if self._zip is None:
            yield piece
            return
        while piece and not self.lost:
            try:
                yield self._zip.decompress(piece, self._most)
            except zlib.error:
                return
            piece = self._zip.unconsumed_tail
