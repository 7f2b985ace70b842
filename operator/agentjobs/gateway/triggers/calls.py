"""The content of a call: its body, its parameters by path, its idempotency key. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from agentjobs.api.job.relations import MAX_PARAMETER
from agentjobs.api.job.spec import MAX_SPEC_BYTES
from agentjobs.gateway.triggers.file import Signature, Source, TriggerEntry

MAX_KEY: Final = 253
"""The longest idempotency key in characters that is stored unchanged; longer ones are hashed."""
_MAX_FIELDS: Final = 1000
_JSON: Final = msgspec.json.Encoder()


class Unreadable(Exception):
    """The body does not match its Content-Type, or a value is not text where text is needed."""


def read(body: bytes, content_type: str) -> Any:
    """Return the values of a body: JSON, a form, or a form with JSON in its field `payload`.

    Raises:
        Unreadable: it is something else.
    """
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return _json(body)
    try:
        fields = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise Unreadable("its Content-Type is a form, but the body is not; send application/json") from None
    form = dict(reversed(fields))  # the first of each name
    return _json(form["payload"].encode()) if set(form) == {"payload"} else form


def value_of(source: Source, body: Any, headers: Mapping[str, str]) -> str | None:
    """Return the value at a place of a call as text; None without a value.

    Text is unchanged; numbers, lists and objects become JSON; null counts as no value.

    Raises:
        Unreadable: a list or object has invalid text in it, or too many levels.
    """
    if source.header is not None:
        return headers.get(source.header)
    found = body
    for step in source.path:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isascii() and step.isdigit() and len(step) < 10:
            found = found[int(step)] if int(step) < len(found) else None
        else:
            return None
    if found is None or isinstance(found, str):
        return found
    try:
        return _JSON.encode(found).decode()
    except (UnicodeEncodeError, RecursionError):
        raise Unreadable(f"{'.'.join(source.path)} has invalid text in it, or too many levels") from None


def matches(entry: TriggerEntry, body: Any, headers: Mapping[str, str]) -> bool:
    """Whether a call matches the entry."""
    return all(value_of(source, body, headers) in values for source, values in entry.when.items())


def parameters_of(entry: TriggerEntry, body: Any, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the parameters in a call.

    Raises:
        Unreadable: a value is too long, or is not text that a job may have. Values are never cut.
    """
    found = {name: value_of(source, body, headers) for name, source in entry.parameters.items()}
    given = {name: value for name, value in found.items() if value is not None}
    for name, value in given.items():
        if len(value) > MAX_PARAMETER:
            raise Unreadable(f"parameter {name} has {len(value)} characters; the limit is {MAX_PARAMETER}")
        _check_text(value, f"parameter {name}")
        if "\0" in value:  # a job with it would never be accepted
            raise Unreadable(f"parameter {name} contains the character U+0000")
    if (size := sum(len(value.encode()) for value in given.values())) > MAX_SPEC_BYTES:
        raise Unreadable(f"its parameters have {size} bytes in total; the limit is {MAX_SPEC_BYTES}")
    return given


def key_of(entry: TriggerEntry, raw: bytes, body: Any, headers: Mapping[str, str]) -> str:
    """Return the idempotency key of a call, at most `MAX_KEY` characters.

    Raises:
        Unreadable: the call has no key where its entry expects it, or the key is not text.
    """
    if entry.idempotency_key is not None:
        found = value_of(entry.idempotency_key, body, headers)
    elif entry.signature is Signature.STANDARD_WEBHOOKS:
        found = headers.get("webhook-id")
    else:
        # The signature covers the body but not the headers, so only the body cannot be forged in a repeated call.
        return f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if not found:
        raise Unreadable("the call has no idempotency key at the expected place")
    return short_key(found)


def short_key(text: str) -> str:
    """Return an idempotency key as it is stored.

    Raises:
        Unreadable: it is not text.
    """
    _check_text(text, "the idempotency key")
    if len(text) <= MAX_KEY and text.isprintable():
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable(f"{what} is not text") from None


def _json(text: bytes) -> Any:
    try:
        return json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def _number(written: str) -> msgspec.Raw:
    """Keep a number as it was written, however long: 1e5 is not 1E+5."""
    return msgspec.Raw(written.encode())


def _refuse(name: str) -> Any:
    raise ValueError(name)
