"""Finds what a request's body says, without building all of it, and where it says it.

Bodies are written by pods, and read by a provider after us. So a body that two readers may understand differently is
refused: with a key twice, with keys that differ by their case from those that count, or in another encoding than UTF-8.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_KEY: Final = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)

# Of one object or array that is looked into. The longest that are known have some hundred tools or texts; a body of
# nothing but empty members would keep this process for seconds.
MAX_MEMBERS: Final = 2048
# Of a list that is looked into: tools, or texts of a batch. No model takes so much.
MAX_LIST_BYTES: Final = 4 * 1024 * 1024
# Quotes, each two of which may be a key: so many keys are found within 50 ms.
_MAX_QUOTES: Final = 100_000

Value = TypeVar("Value")


class _Large(msgspec.Struct):
    """What of a request may be large. To find it takes a hundredth of the time that building a dict of all takes."""

    contents: msgspec.Raw = msgspec.Raw()
    generate_content_request: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="generateContentRequest")
    input: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    requests: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


_LARGE: Final = msgspec.json.Decoder(_Large)


class Unclear(ValueError):
    """A body that is refused; the message says why, and holds nothing of it but names of fields that we know."""


@dataclass(frozen=True, slots=True)
class Json:
    """A value within a body: its bytes `begin` to `end`, without spaces around it."""

    text: bytes
    begin: int
    end: int

    @classmethod
    def whole(cls, text: bytes) -> "Json":
        """Return a body as a value.

        Raises:
            Unclear: it is not UTF-8.
        """
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError:
                raise Unclear("the body is not UTF-8") from None
        return cls(text, 0, len(text))

    @property
    def bytes(self) -> bytes:
        """The value as it is written."""
        return self.text[self.begin : self.end]

    @property
    def is_object(self) -> bool:
        """Whether it is an object."""
        return self.text.startswith(b"{", self.begin)

    def members(self) -> "Members":
        """Return the members of an object.

        Raises:
            Unclear: it is no JSON object, nests too deeply, has too many members, or a key twice.
        """
        quotes = self.text.count(b'"', self.begin, self.end)
        if quotes > _MAX_QUOTES:
            large = self._decoded(_LARGE, "an object")
            within = sum(bytes(getattr(large, name)).count(b'"') for name in _Large.__struct_fields__)
            _check_number(quotes - within, _MAX_QUOTES)
        values = self._decoded(_OBJECT, "an object")
        _check_number(len(values))
        found: dict[str, Json] = {}
        # The reader keeps the last of two values of one key. So what it found must be all that is written, in order.
        at = self.text.index(b"{", self.begin) + 1
        for name, raw in values.items():
            key = _KEY.match(self.text, at)
            value = bytes(raw)
            if key is None or msgspec.json.decode(key[1]) != name or not self.text.startswith(value, key.end()):
                raise Unclear("the body has a key twice")
            found[name] = Json(self.text, key.end(), key.end() + len(value))
            at = _past(self.text, key.end() + len(value), b",")
        if not self.text.startswith(b"}", _past(self.text, at, b"")):
            raise Unclear("the body has a key twice")
        return Members(found)

    def items(self) -> "Iterator[Json]":
        """Yield the items of an array.

        Raises:
            Unclear: it is no JSON array, nests too deeply, or has too many items.
        """
        at = self.begin + 1
        _check_number(self.end - self.begin, MAX_LIST_BYTES)
        values = self._decoded(_ARRAY, "an array")
        _check_number(len(values))
        for raw in values:
            begin = _past(self.text, at, b"")
            yield Json(self.text, begin, begin + len(bytes(raw)))
            at = _past(self.text, begin + len(bytes(raw)), b",")

    def _decoded(self, decoder: "msgspec.json.Decoder[Value]", what: str) -> Value:
        try:
            return decoder.decode(memoryview(self.text)[self.begin : self.end])
        except RecursionError:
            raise Unclear("the body is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unclear(f"the body is not JSON, or has something else where {what} is due") from None


def _check_number(number: int, most: int = MAX_MEMBERS) -> None:
    if number > most:
        raise Unclear("the body has an object or a list of more members than a request has")


def _past(text: bytes, at: int, mark: bytes) -> int:
    """Return where the next token begins after spaces, and after the mark if it is there."""
    spaces = _SPACE.match(text, at)
    assert spaces is not None  # it matches nothing, too
    at = spaces.end()
    return at + 1 if mark and text.startswith(mark, at) else at


class Members:
    """The members of an object, by name."""

    def __init__(self, found: Mapping[str, Json]) -> None:
        self._found = found
        self._spelt: dict[str, list[str]] = {}
        for name in found:
            self._spelt.setdefault(_plain(name), []).append(name)

    def find(self, name: str) -> Json | None:
        """Return a member by its name; None where it is absent or null.

        Some readers take names of other case, or with underscores, for the same: both at once, or the other alone where
        only ours would be read, is refused.

        Raises:
            Unclear: there is one of another spelling.
        """
        if self._spelt.get(_plain(name), [name]) != [name]:
            raise Unclear(f"the body has another spelling of {name!r}")
        found = self._found.get(name)
        return None if found is None or found.bytes == b"null" else found

    def either(self, name: str, snake: str) -> Json | None:
        """Return a member that has two spellings for its provider; None where both are absent or null.

        Raises:
            Unclear: both are there, or one of a third spelling.
        """
        spelt = self._spelt.get(_plain(name), [])
        if len(spelt) > 1 or not {name, snake}.issuperset(spelt):
            raise Unclear(f"the body has more than one spelling of {name!r}")
        found = self._found[spelt[0]] if spelt else None
        return None if found is None or found.bytes == b"null" else found

    def text(self, name: str) -> str | None:
        """Return a text; None where it is absent or null. Raises `Unclear` for anything else."""
        return _is_a("a text", str, self.find(name), name)

    def flag(self, name: str) -> bool:
        """Return a flag, False where it is absent or null. Raises `Unclear` for anything else."""
        return _is_a("true or false", bool, self.find(name), name) or False

    def count(self, name: str) -> int | None:
        """Return a whole number from 0; None where it is absent or null. Raises `Unclear` for anything else."""
        return counted(self.find(name), name)


def counted(found: Json | None, name: str) -> int | None:
    """Return the whole number from 0 that a member is; None where there is none. Raises `Unclear` for anything else."""
    number = _is_a("a whole number", int, found, name)
    if number is not None and not 0 <= number < 2**31:
        raise Unclear(f"{name!r} must be a whole number from 0")
    return number


def _is_a(what: str, kind: type[Value], found: Json | None, name: str) -> Value | None:
    if found is None:
        return None
    try:
        value = msgspec.json.decode(found.bytes)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        value = None
    # Not by isinstance: true is no number.
    if type(value) is not kind:
        raise Unclear(f"{name!r} must be {what}")
    return value


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()
