"""The sinks file: its format, and the rules between its parts. Pure.

`sinks` makes it usable for the notifier.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from agentjobs.durations import parse_duration
from agentjobs.models import marked_yaml
from agentjobs.models.marked_yaml import Flaw, Place, choice, shown

MAX_TIMEOUT: Final = timedelta(seconds=60)
MAX_SINKS: Final = 200
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,252}", re.ASCII)
# Headers set by the notifier, or by the connection.
_OWN_HEADERS: Final = re.compile(
    r"webhook-.*|host|content-.*|transfer-encoding|connection|expect|upgrade|te|trailer|user-agent", re.IGNORECASE
)
# Suffixes of names that only the cluster or the machine resolves.
_INSIDE: Final = re.compile(r"localhost|127\.[0-9.]+|::1|.*\.svc|.*\.cluster\.local|[a-z0-9-]+", re.IGNORECASE)


class Format(StrEnum):
    """The format of a notification."""

    CLOUD_EVENTS = "CloudEvents"
    SLACK = "Slack"


def address(value: object) -> str:
    """Return the address of a sink.

    Raises:
        ValueError: it is invalid. The message does not contain it: the address of a chat may be secret.
    """
    text = value.strip() if isinstance(value, str) else ""
    try:
        parts = urlsplit(text)
        host, fits = parts.hostname or "", parts.port is None or parts.port > 0
    except ValueError:
        host, fits = "", False
    if not fits or not host or parts.scheme not in ("http", "https") or not re.fullmatch(r"[!-~]+", text):
        raise ValueError("is not an address; use https://, a host and a path")
    if parts.username is not None or parts.fragment:
        raise ValueError("must not have user, password or #; put keys into headers")
    if parts.scheme == "http" and not _INSIDE.fullmatch(host):
        raise ValueError(
            "must begin with https://; http:// is only allowed for Services of the cluster and this machine"
        )
    return text


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{shown(value)} is not a valid name; use at most 63 lower-case letters, digits and -")
    return value


def _file(value: object) -> Path:
    # Never shown: it may be the secret itself.
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > 4096:
        raise ValueError("is not a file path; use an absolute path such as /etc/agentjobs/sinks/chat")
    return Path(value)


def _variable(value: object) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError(
            "is not the name of a variable; use a name such as CHAT_URL, and put the secret into that variable"
        )
    return value


def _header(value: object) -> str:
    if not isinstance(value, str) or not _HEADER.fullmatch(value) or _OWN_HEADERS.fullmatch(value):
        raise ValueError(f"{shown(value)} cannot be set here; use another header, such as Authorization")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 4096:
        raise ValueError("must have printable ASCII characters only")
    return value


def _timeout(value: object) -> timedelta:
    found = parse_duration(value)
    if not timedelta(0) < found <= MAX_TIMEOUT:
        raise ValueError(f"{shown(value)} is out of range; use more than 0s and at most 60s")
    return found


def _source(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,253}", value):
        raise ValueError(f"{shown(value)} is not a URI; use one that names this installation")
    return value


File = Annotated[Path, BeforeValidator(_file)]
Variable = Annotated[str, BeforeValidator(_variable)]


class _Form(BaseModel):
    """A part of the file: frozen, camelCase, without unknown fields; error messages do not contain values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class HeaderEntry(_Form):
    """A header of each request."""

    name: Annotated[str, BeforeValidator(_header)]
    value: Annotated[str, BeforeValidator(_text)] | None = Field(default=None, repr=False)
    file: File | None = None
    env: Variable | None = None


class SinkEntry(_Form):
    """A sink: its address, format and credentials."""

    name: Annotated[str, BeforeValidator(_name)]
    format: Annotated[Format, BeforeValidator(lambda value: choice(Format, value))] = Format.CLOUD_EVENTS
    url: Annotated[str, BeforeValidator(address)] | None = Field(default=None, repr=False)
    url_file: File | None = None
    url_env: Variable | None = None
    signing_key_file: File | None = None
    signing_key_env: Variable | None = None
    headers: tuple[HeaderEntry, ...] = Field(default=(), max_length=16)
    timeout: Annotated[timedelta, BeforeValidator(_timeout)] = timedelta(seconds=10)
    concurrency: int = Field(default=4, ge=1, le=32, strict=True)
    source: Annotated[str, BeforeValidator(_source)] | None = None


class SinksFile(_Form):
    """The whole file."""

    sinks: tuple[SinkEntry, ...] = Field(default=(), max_length=MAX_SINKS)


def parse(text: str, source: str) -> SinksFile:
    """Read a sinks file.

    Raises:
        errors.Misconfigured: it is invalid; the message has every problem with its line, and no secrets.
    """
    document = marked_yaml.load(text, source)
    if document.value is None:
        return SinksFile()
    file = document.as_model(SinksFile)
    if flaws := list(_flaws(file)):
        raise document.refused(flaws)
    return file


def _flaws(file: SinksFile) -> Iterator[Flaw]:
    seen: Counter[str] = Counter()
    for number, sink in enumerate(file.sinks):
        place: Place = ("sinks", number)
        seen[sink.name] += 1
        if seen[sink.name] == 2:
            yield Flaw((*place, "name"), f"{shown(sink.name)} is used twice; use another name")
        if sum(source is not None for source in (sink.url, sink.url_file, sink.url_env)) != 1:
            yield Flaw(place, "needs exactly one of url, urlFile and urlEnv")
        if sink.signing_key_file is not None and sink.signing_key_env is not None:
            yield Flaw((*place, "signingKeyEnv"), "conflicts with signingKeyFile; remove one")
        if sink.format is Format.CLOUD_EVENTS and sink.signing_key_file is None and sink.signing_key_env is None:
            yield Flaw(place, "needs signingKeyFile or signingKeyEnv, so that the receiver can verify messages")
        if sink.format is Format.SLACK and sink.source is not None:
            yield Flaw((*place, "source"), "applies to CloudEvents only; remove it")
        for index, header in enumerate(sink.headers):
            if sum(source is not None for source in (header.value, header.file, header.env)) != 1:
                yield Flaw((*place, "headers", index), "needs exactly one of value, file and env")
