"""Reads what a form sent: text, of a bounded size."""

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
        Problem: 413 or 415 for what no page of ours sends.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != _KIND:
        raise Problem(415, "UnsupportedMediaType", "Send the form as the page does.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise Problem(413, "BodyTooLarge", f"The form is larger than {MAX_FORM_BYTES} bytes.")
    try:
        text = body.decode("utf-8")
        return ImmutableMultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError as error:
        raise Problem(400, "BadRequest", "The form cannot be read.") from error
