"""Reads forms: text of a bounded size, with a bounded number of fields."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.datastructures import ImmutableMultiDict

from agentjobs.problem import Problem

MAX_FORM_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 2000
_KIND: Final = "application/x-www-form-urlencoded"


async def form_of(request: Request) -> ImmutableMultiDict[str, str]:
    """Return the fields of a form.

    Raises:
        Problem: 400, 413 or 415 for what no page of the dashboard sends.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != _KIND:
        raise Problem(415, "UnsupportedMediaType", f"Send the form as {_KIND}, as the page does.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise too_large()
    return ImmutableMultiDict(fields_of(bytes(body)))


def fields_of(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form. Raises Problem: 413 for too many, 400 for text that is not UTF-8."""
    if (fields := body.count(b"&") + 1) > MAX_FIELDS:
        raise Problem(413, "TooManyFields", f"The form has {fields} fields, and {MAX_FIELDS} are allowed: send fewer.")
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Problem(400, "BadRequest", "The form cannot be read: it is not text in UTF-8.") from error


def too_large() -> Problem:
    """Return the refusal of a form with too many bytes."""
    return Problem(413, "BodyTooLarge", f"The form is larger than {MAX_FORM_BYTES} bytes.")
