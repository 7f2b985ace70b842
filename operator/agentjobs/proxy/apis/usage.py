"""Reads the usage from an answer of any format.

Each API interprets its documents (`Meter`). Here is the common part: finding documents, whether the answer is complete,
and which counts are plausible.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec

from agentjobs.models.tokens import MAX_TOKENS, Tokens
from agentjobs.proxy.apis.answers import Documents
from agentjobs.proxy.apis.estimate import answer_tokens

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Implausible(ValueError):
    """An implausible count."""


class Document:
    """A document of an answer, parsed only as far as needed."""

    def __init__(self, members: Mapping[str, msgspec.Raw]) -> None:
        self._members = members

    def get(self, name: str) -> Any:
        """Return a member; None if it is absent, null, or invalid JSON."""
        raw = self._members.get(name)
        try:
            return None if raw is None else msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None

    def has(self, name: str) -> bool:
        """Whether a member is present and not null."""
        raw = self._members.get(name)
        return raw is not None and bytes(raw) != b"null"


class Usage:
    """The usage in an answer. It is sent several times, always cumulative: later values replace earlier ones, missing
    ones stay."""

    def __init__(self) -> None:
        self._counts: dict[str, Any] = {}
        self._is_implausible = False

    def update(self, value: Any) -> None:
        """Read a usage object, or None."""
        if isinstance(value, dict):
            self._counts.update((name, value) for name, value in value.items() if value is not None)
        elif value is not None:
            self._is_implausible = True

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    def count(self, name: str, within: str = "") -> int:
        """Return a count, 0 if it is missing.

        Args:
            within: the object that has it, within the usage.

        Raises:
            Implausible: it is not a non-negative integer, or too large; or there was no usage object at all.
        """
        holder = self._counts.get(within) or {} if within else self._counts
        return counted(holder, name, is_implausible=self._is_implausible)

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a list in the usage."""
        return objects(self._counts.get(name))


def counted(holder: Any, name: str, *, is_implausible: bool = False) -> int:
    """Return a count of an object, 0 if it is absent or null.

    Raises:
        Implausible: it is not a non-negative integer, or too large; or its parent is not an object.
    """
    value = holder.get(name) if isinstance(holder, dict) and not is_implausible else -1
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_TOKENS:
        raise Implausible(name)
    return value


def objects(found: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; nothing for other types."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text_bytes(text: Any) -> int:
    """Return the bytes of a text, 0 for other types."""
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else 0


class Meter(Protocol):
    """One API's interpretation of an answer's documents."""

    ended: bool
    """Whether the document that ends a complete stream was seen."""
    failed: bool
    """Whether an error was seen."""
    text_bytes: int
    """Bytes of output, as far as a stream has them in pieces."""

    def read(self, document: Document) -> None:
        """Read a document."""
        ...

    def read_other(self, read_other: bytes) -> None:
        """Read data that is not a document."""
        ...

    def tokens(self) -> Tokens | None:
        """Return the usage; None if an essential part is missing. May raise `Implausible`."""
        ...


class Reader:
    """Reads the usage from a passing answer: see `api.UsageReader`.

    Args:
        free: whether the answer is free, whatever it contains.
        silent: whether the answer has no generated tokens: embeddings, or the description of a cache.
    """

    def __init__(self, meter: Meter, *, free: bool = False, silent: bool = False) -> None:
        self._meter = meter
        self._free = free
        self._silent = silent
        self._documents = Documents()
        self._understood = False
        self._at_end = False
        self._between = True

    def feed(self, chunk: bytes) -> None:
        """Process the next bytes of the answer's body, in arbitrary pieces."""
        for data in self._documents.feed(chunk):
            self._read(data)

    def tokens(self) -> Tokens | None:
        """Return the provider's usage; None if it is missing or implausible."""
        if self._free:
            return Tokens()
        self._end()
        try:
            found = self._meter.tokens()
        except Implausible:
            return None
        if found is None or self.whole:
            return found
        # Usage from early in a stream is not final.
        return replace(found, output=max(found.output, self.received_output))

    @property
    def received_output(self) -> int:
        """Tokens of the received part, estimated by its size."""
        self._end()
        if self._silent or self._free:
            return 0
        streamed = self._understood and not self._documents.is_single
        return answer_tokens(self._meter.text_bytes if streamed else self._documents.size)

    @property
    def whole(self) -> bool:
        """Whether the answer ended as its API requires; true for one that is too large to read."""
        self._end()
        if self._documents.lost:
            return True
        if self._meter.failed or not self._understood:
            return False
        return self._documents.is_single or self._meter.ended

    @property
    def between(self) -> bool:
        """Whether our own event may follow."""
        return self._between if self._at_end else self._documents.between

    def _end(self) -> None:
        if not self._at_end:
            self._between = self.between
            self._at_end = True
            for data in self._documents.end():
                self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            document = Document(_OBJECT.decode(data))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self._meter.read_other(data)
            return
        self._understood = True
        self._meter.read(document)
