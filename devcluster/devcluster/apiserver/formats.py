"""String formats and regular expressions of OpenAPI schemas, as kube-apiserver reads them.

Go's regular expressions (RE2) differ from Python's: `go_pattern` translates them and refuses what RE2 refuses. Two
differences remain: Python's engine backtracks, so a pattern such as `(a+)+$` can be slow, and Unicode classes
(`\\p{L}`) are not available. As on a real server, unknown formats are ignored.
"""

import base64
import binascii
import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[tT]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)?(?:[zZ]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_GO_DURATION: Final = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_WORD_DURATION: Final = re.compile(
    r"(?:\d+(?:\.\d+)?\s*(?:ns|nano|us|µs|micro|ms|milli|s|sec|second|m|min|minute|h|hr|hour|d|day|w|wk|week)s?\s*)+",
    re.ASCII,
)
_ISO_DURATION: Final = re.compile(
    r"P(?=.)(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?", re.ASCII
)
# One label with at most one hyphen, or labels with a last one of letters: stricter than DNS, as on a real server.
_HOSTNAME: Final = re.compile(r"[^\W_]-?[^\W_]{0,62}|(?:[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?\.)+[^\W\d_]{2,63}")
_EMAIL: Final = re.compile(r"""\s*(?:[^<>@]*<)?(?:"[^"]*"|[^\s<>@"]+)@[^\s<>@]*[^\s<>@.]>?\s*""")
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}")
_UUID: Final = re.compile(
    r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?([0-9a-fA-F])[0-9a-fA-F]{3}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
)
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")

_POSIX: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_NOT_IN_RE2: Final = ("(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "(?P=", "(?#")
# RE2 refuses higher repetition counts.
_MAX_REPEAT: Final = 1000


@functools.cache
def go_pattern(text: str) -> re.Pattern[str]:
    """Compile a Go regular expression; use `search`, since patterns are not anchored.

    Raises:
        ValueError: it is not a regular expression, or only one of the two engines supports it.
    """
    for count in re.findall(r"\{(\d+)(?:,(\d*))?\}", text):
        if any(number and int(number) > _MAX_REPEAT for number in count):
            raise ValueError(f"invalid repeat count in `{text}`: at most {_MAX_REPEAT}")
    try:
        return re.compile("".join(_translated(text)), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"error parsing regexp: {error}: `{text}`") from error


def _translated(text: str) -> list[str]:
    pieces: list[str] = []
    position, in_class = 0, False
    while position < len(text):
        step, piece = _next_piece(text, position, in_class=in_class)
        if piece == "[":
            in_class = True
            # A bracket directly after the opening bracket is an ordinary character.
            for ordinary in ("^]", "]", "^"):
                if text.startswith(ordinary, position + 1):
                    piece += ordinary.replace("]", r"\]")
                    step += len(ordinary)
                    break
        elif piece == "]" and in_class:
            in_class = False
        pieces.append(piece)
        position += step
    return pieces


def _next_piece(text: str, position: int, *, in_class: bool) -> tuple[int, str]:
    """Return the number of characters read and their translation."""
    character = text[position]
    if character == "\\":
        return _escape(text, position)
    if in_class:
        return _class_piece(text, position)
    if character == "$":
        return 1, r"\Z"
    if any(text.startswith(group, position) for group in _NOT_IN_RE2):
        raise ValueError(f"error parsing regexp: invalid or unsupported Perl syntax: `{text}`")
    if character in "*+?}" and text.startswith("+", position + 1):
        raise ValueError(f"error parsing regexp: invalid nested repetition operator: `{text}`")
    return 1, character


def _class_piece(text: str, position: int) -> tuple[int, str]:
    if not text.startswith("[", position):
        # Python warns of `--`, `&&`, `||` and `~~` in classes, since they may become set operations.
        return 1, f"\\{text[position]}" if text[position] in "&|~" else text[position]
    named = re.match(r"\[:(\^?)([a-z]+):\]", text[position:])
    if named is None:
        return 1, r"\["
    if named.group(1) or named.group(2) not in _POSIX:
        raise ValueError(f"character class {named.group()} is not available on the development server: `{text}`")
    return named.end(), _POSIX[named.group(2)]


def _escape(text: str, position: int) -> tuple[int, str]:
    following = text[position + 1 : position + 2]
    if following == "z":
        return 2, r"\Z"
    if following in "pP" and following:
        raise ValueError(f"Unicode classes (\\{following}) are not available on the development server: `{text}`")
    if following == "Q":
        end = text.find(r"\E", position)
        quoted = text[position + 2 :] if end < 0 else text[position + 2 : end]
        return len(quoted) + 2 + (2 if end >= 0 else 0), re.escape(quoted)
    if following in "123456789ZCEkgNuU" or not following:
        raise ValueError(f"error parsing regexp: invalid escape sequence: `\\{following}` in `{text}`")
    if text.startswith("x{", position + 1):
        end = text.find("}", position)
        return end + 1 - position, re.escape(chr(int(text[position + 3 : end], 16)))
    return 2, text[position : position + 2]


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return len(value) == 10  # YYYY-MM-DD; Python also reads 20260101


def _is_date_time(value: str) -> bool:
    found = _DATE_TIME.fullmatch(value)
    if found is None or not _is_date(found.group(1)):
        return False
    hour, minute, second = (int(part) for part in found.groups()[1:])
    return hour < 24 and minute < 60 and second < 60


def _is_duration(value: str) -> bool:
    return bool(
        _GO_DURATION.fullmatch(value)
        or _WORD_DURATION.fullmatch(value.strip().lower())
        or _ISO_DURATION.fullmatch(value)
    )


def _is_uri(value: str) -> bool:
    if not (_SCHEME.match(value) or value.startswith("/")) or any(ord(character) <= 0x20 for character in value):
        return False
    try:
        urlsplit(value)
    except ValueError:
        return False
    return True


def _is_address(version: int) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return ipaddress.ip_address(value).version == version and "%" not in value
        except ValueError:
            return False

    return check


def _is_cidr(value: str) -> bool:
    address, _, bits = value.partition("/")
    try:
        limit = ipaddress.ip_address(address).max_prefixlen
    except ValueError:
        return False
    return bits.isascii() and bits.isdecimal() and int(bits) <= limit


def _is_base64(value: str) -> bool:
    try:
        return bool(value) and bool(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return False


def _is_uuid(version: str = "") -> Callable[[str], bool]:
    def check(value: str) -> bool:
        found = _UUID.fullmatch(value)
        return found is not None and (not version or found.group(1) == version)

    return check


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


STRING_FORMATS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "byte": _is_base64,
        "cidr": _is_cidr,
        "date": _is_date,
        "date-time": _is_date_time,
        "datetime": _is_date_time,
        "duration": _is_duration,
        "email": _matches(_EMAIL),
        "hostname": _matches(_HOSTNAME),
        "ipv4": _is_address(4),
        "ipv6": _is_address(6),
        "mac": _matches(_MAC),
        "uri": _is_uri,
        "uuid": _is_uuid(),
        "uuid3": _is_uuid("3"),
        "uuid4": _is_uuid("4"),
        "uuid5": _is_uuid("5"),
    }
)

INTEGER_FORMATS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
)
