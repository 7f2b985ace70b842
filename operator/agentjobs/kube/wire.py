"""Encodes bodies as JSON, decodes responses, and describes connection errors. Does no I/O."""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from agentjobs.errors import Unavailable

Obj = dict[str, Any]
"""A Kubernetes object as parsed JSON."""

# Types that JSON does not have are bugs.
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def written(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON, encoded by the standard library where orjson differs.

    orjson refuses integers of more than 64 bits and halves of surrogate pairs, and writes NaN as null, which in a merge
    patch removes the field. The server must get these, and refuses them.
    """
    try:
        raw = orjson.dumps(body, option=_STRICT)
    except TypeError:
        return json.dumps(body).encode()
    return json.dumps(body).encode() if b"null" in raw else raw


def understood(raw: bytes, request: str) -> Obj:
    """Decode a response; Unavailable if it is not a JSON object, because then it is not from the API server."""
    try:
        answer = orjson.loads(raw)
        if not isinstance(answer, dict):
            raise ValueError(f"not an object: {raw[:80]!r}")
    except ValueError as error:
        raise Unavailable(f"{request}: {words(error)}") from error
    return answer


def event(line: bytes) -> tuple[str, Obj]:
    """Decode one line of a watch; ValueError if it is invalid."""
    content = orjson.loads(line)
    try:
        kind, obj = content["type"], content["object"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a watch event: {line[:80]!r}") from error
    return kind, obj


def words(error: BaseException) -> str:
    """Describe an error; a time-out has no text."""
    return str(error) or type(error).__name__
