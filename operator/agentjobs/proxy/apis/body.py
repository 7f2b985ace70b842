"""Finds fields of a request's body, and their positions, without parsing all of it.

Bodies come from pods, and the provider parses them after us. So ambiguous bodies are rejected: duplicate keys, keys
that differ from relevant ones only in case, encodings other than UTF-8.
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

# Members of one object or array. The longest known have a few hundred tools or texts; a body of empty members would
# block this process for seconds.
MAX_MEMBERS: Final = 2048
# Items of a list: tools, or texts of a batch. No model accepts that many.
MAX_LIST_BYTES: Final = 4 * 1024 * 1024
# Quotes, as an upper bound of keys: that many are scanned within 50 ms.
_MAX_QUOTES: Final = 100_000

Value = TypeVar("Value")


class _Large(msgspec.Struct):
    """Large parts of a request. Finding them takes a hundredth of the time of parsing everything."""

    contents: msgspec.Raw = msgspec.Raw()
    generate_content_request: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="generateContentRequest")
    input: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    requests: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


_LARGE: Final = msgspec.json.Decoder(_Large)


class RejectedBody(ValueError):
    """A rejected body; the message has the reason, and only names of known fields."""


@dataclass(frozen=True, slots=True)
class Json:
    """A value within a body: its bytes `begin` to `end`, without surrounding spaces."""

    text: bytes
    begin: int
    end: int

    @classmethod
    def whole(cls, text: bytes) -> "Json":
        """Return a body as a value.

        Raises:
            RejectedBody: it is not UTF-8.
        """
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError:
                raise RejectedBody("the body is not UTF-8") from None
        return cls(text, 0, len(text))

    @property
    def bytes(self) -> bytes:
        """The raw value."""
        return self.text[self.begin : self.end]

    @property
    def is_object(self) -> bool:
        """Whether it is an object."""
        return self.text.startswith(b"{", self.begin)

    def members(self) -> "Members":
        """Return the members of an object.

        Raises:
            RejectedBody: it is not an object, is nested too deeply, has too many members, or a duplicate key.
        """
        quotes = self.text.count(b'"', self.begin, self.end)
        if quotes > _MAX_QUOTES:
            large = self._decoded(_LARGE, "an object")
            within = sum(bytes(getattr(large, name)).count(b'"') for name in _Large.__struct_fields__)
            _check_number(quotes - within, _MAX_QUOTES)
        values = self._decoded(_OBJECT, "an object")
        _check_number(len(values))
        found: dict[str, Json] = {}
        # The parser keeps the last of duplicate keys. So its result must match the text, in order.
        at = self.text.index(b"{", self.begin) + 1
        for name, raw in values.items():
            key = _KEY.match(self.text, at)
            value = bytes(raw)
            if key is None or msgspec.json.decode(key[1]) != name or not self.text.startswith(value, key.end()):
                raise RejectedBody("the body has a duplicate key")
            found[name] = Json(self.text, key.end(), key.end() + len(value))
            at = _past(self.text, key.end() + len(value), b",")
        if not self.text.startswith(b"}", _past(self.text, at, b"")):
            raise RejectedBody("the body has a duplicate key")
        return Members(found)

    def items(self) -> "Iterator[Json]":
        """Yield the items of an array.

        Raises:
            RejectedBody: it is not an array, is nested too deeply, or has too many items.
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
            raise RejectedBody("the body is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RejectedBody(f"the body is not JSON, or has another value instead of {what}") from None


def _check_number(number: int, most: int = MAX_MEMBERS) -> None:
    if number > most:
        raise RejectedBody("the body has an object or a list with too many members")


def _past(text: bytes, at: int, mark: bytes) -> int:
    """Return the position of the next token after spaces, and after the mark if present."""
    spaces = _SPACE.match(text, at)
    assert spaces is not None  # it also matches the empty string
    at = spaces.end()
    return at + 1 if mark and text.startswith(mark, at) else at


class Members:
    """The members of an object, by name."""

    def __init__(self, found: Mapping[str, Json]) -> None:
        self._found = found
        self._spellings: dict[str, list[str]] = {}
        for name in found:
            self._spellings.setdefault(_plain(name), []).append(name)

    def find(self, name: str) -> Json | None:
        """Return a member by its name; None if it is absent or null.

        Some parsers accept other cases or underscores as the same name: both together, or only the other spelling where
        we would not read it, is rejected.

        Raises:
            RejectedBody: another spelling is present.
        """
        if self._spellings.get(_plain(name), [name]) != [name]:
            raise RejectedBody(f"the body has {name!r} in another spelling; use exactly this one")
        found = self._found.get(name)
        return None if found is None or found.bytes == b"null" else found

    def either(self, name: str, snake: str) -> Json | None:
        """Return a member with two spellings at its provider; None if both are absent or null.

        Raises:
            RejectedBody: both are present, or a third spelling.
        """
        spellings = self._spellings.get(_plain(name), [])
        if len(spellings) > 1 or not {name, snake}.issuperset(spellings):
            raise RejectedBody(f"the body has more than one spelling of {name!r}")
        found = self._found[spellings[0]] if spellings else None
        return None if found is None or found.bytes == b"null" else found

    def text(self, name: str) -> str | None:
        """Return a text; None if it is absent or null. Raises `RejectedBody` for other types."""
        return _is_a("a text", str, self.find(name), name)

    def flag(self, name: str) -> bool:
        """Return a flag, False if it is absent or null. Raises `RejectedBody` for other types."""
        return _is_a("true or false", bool, self.find(name), name) or False

    def count(self, name: str) -> int | None:
        """Return a non-negative integer; None if it is absent or null. Raises `RejectedBody` otherwise."""
        return counted(self.find(name), name)


def counted(found: Json | None, name: str) -> int | None:
    """Return a member's value as a non-negative integer; None if there is none. Raises `RejectedBody` otherwise."""
    number = _is_a("a whole number", int, found, name)
    if number is not None and not 0 <= number < 2**31:
        raise RejectedBody(f"{name!r} must be a whole number from 0")
    return number


def _is_a(what: str, kind: type[Value], found: Json | None, name: str) -> Value | None:
    if found is None:
        return None
    try:
        value = msgspec.json.decode(found.bytes)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        value = None
    # Not isinstance: true is not a number.
    if type(value) is not kind:
        raise RejectedBody(f"{name!r} must be {what}")
    return value


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()
