"""Reads from an answer what it used, whatever its form.

What an API's documents mean is its own business (`Meter`); here is what all have in common: where the documents are,
when the answer is whole, and which counts can be believed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import msgspec

from agentjobs.models.tokens import MAX_TOKENS, Tokens
from agentjobs.proxy.apis.answers import Documents
from agentjobs.proxy.apis.estimate import answer_tokens

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Absurd(ValueError):
    """A count that no provider can mean."""


class Document:
    """A document of an answer, of which only what is asked for is built."""

    def __init__(self, members: Mapping[str, msgspec.Raw]) -> None:
        self._members = members

    def get(self, name: str) -> Any:
        """Return a member; None where it is absent, null, or no JSON after all."""
        raw = self._members.get(name)
        try:
            return None if raw is None else msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None

    def has(self, name: str) -> bool:
        """Whether a member is there, and not null."""
        raw = self._members.get(name)
        return raw is not None and bytes(raw) != b"null"


class Usage:
    """What an answer told of its usage. It is told more than once, each time of the answer so far: what comes later
    counts, and what is not told again stays."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._absurd = False

    def tell(self, told: Any) -> None:
        """Note a usage object, or None."""
        if isinstance(told, dict):
            self._told.update((name, value) for name, value in told.items() if value is not None)
        elif told is not None:
            self._absurd = True

    def __contains__(self, name: str) -> bool:
        return name in self._told

    def count(self, name: str, within: str = "") -> int:
        """Return a count, 0 where it is not told.

        Args:
            within: name of the object that has it, of those in the usage.

        Raises:
            Absurd: it is no whole number from 0, or too large; or no usage object was told at all.
        """
        return counted(self._told.get(within) or {} if within else self._told, name, absurd=self._absurd)

    def objects(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a list in the usage."""
        return objects(self._told.get(name))


def counted(holder: Any, name: str, *, absurd: bool = False) -> int:
    """Return a count of an object, 0 where it is absent or null.

    Raises:
        Absurd: it is no whole number from 0, or too large; or what holds it is no object.
    """
    value = holder.get(name) if isinstance(holder, dict) and not absurd else -1
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_TOKENS:
        raise Absurd(name)
    return value


def objects(found: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; none of anything else."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def text_bytes(text: Any) -> int:
    """Return the bytes of a text, 0 of anything else."""
    return len(text.encode("utf-8", "replace")) if isinstance(text, str) else 0


class Meter(Protocol):
    """What one answer's documents mean to its API."""

    ended: bool
    """Whether the document was seen that ends a stream well."""
    failed: bool
    """Whether an error was."""
    text_bytes: int
    """Of what the model made, as far as pieces of a stream have it."""

    def see(self, document: Document) -> None:
        """Note what a document says."""
        ...

    def word(self, word: bytes) -> None:
        """Note data that is no document."""
        ...

    def tokens(self) -> Tokens | None:
        """Return what the usage means; None where it lacks what counts. May raise `Absurd`."""
        ...


class Reader:
    """Watches an answer pass by: see `api.UsageReader`.

    Args:
        free: whether the answer costs nothing, whatever it says.
        silent: whether the answer has no tokens that were made: vectors, or the description of a cache.
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
        """Take the next bytes of the answer's body, cut anywhere."""
        for data in self._documents.feed(chunk):
            self._see(data)

    def tokens(self) -> Tokens | None:
        """Return what the provider told; None when it told nothing, or nothing that can be believed."""
        if self._free:
            return Tokens()
        self._end()
        try:
            found = self._meter.tokens()
        except Absurd:
            return None
        if found is None or self.whole:
            return found
        # What is told early in a stream is what it was then.
        return replace(found, output=max(found.output, self.output_seen))

    @property
    def output_seen(self) -> int:
        """Tokens of what came, estimated by its bytes."""
        self._end()
        if self._silent or self._free:
            return 0
        streamed = self._understood and not self._documents.is_one
        return answer_tokens(self._meter.text_bytes if streamed else self._documents.size)

    @property
    def whole(self) -> bool:
        """Whether the answer ended as its API ends one; true of one that is too large to look at."""
        self._end()
        if self._documents.lost:
            return True
        if self._meter.failed or not self._understood:
            return False
        return self._documents.is_one or self._meter.ended

    @property
    def between(self) -> bool:
        """Whether an event may follow what came so far."""
        return self._between if self._at_end else self._documents.between

    def _end(self) -> None:
        if not self._at_end:
            self._between = self.between
            self._at_end = True
            for data in self._documents.end():
                self._see(data)

    def _see(self, data: bytes) -> None:
        try:
            document = Document(_OBJECT.decode(data))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            self._meter.word(data)
            return
        self._understood = True
        self._meter.see(document)
