"""Objects on the wire: bodies as JSON, answers read back, and what a connection died of in words. Does no I/O."""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from agentjobs.errors import Unavailable

Obj = dict[str, Any]
"""A Kubernetes object as JSON says it."""

# Types that JSON does not have are mistakes of ours.
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def written(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON. What orjson cannot or must not write goes as the standard library writes it.

    orjson refuses integers of more than 64 bits and halves of surrogate pairs. NaN it writes as null, which in a merge
    patch removes the field. The server has to see these, and refuses them.
    """
    try:
        raw = orjson.dumps(body, option=_STRICT)
    except TypeError:
        return json.dumps(body).encode()
    return json.dumps(body).encode() if b"null" in raw else raw


def understood(raw: bytes, request: str) -> Obj:
    """Read an answer; Unavailable when it is no JSON object, for then it was not the API server that answered."""
    try:
        answer = orjson.loads(raw)
        if not isinstance(answer, dict):
            raise ValueError(f"not an object: {raw[:80]!r}")
    except ValueError as error:
        raise Unavailable(f"{request}: {words(error)}") from error
    return answer


def event(line: bytes) -> tuple[str, Obj]:
    """Read one line of a watch; ValueError when it is none."""
    told = orjson.loads(line)
    try:
        kind, obj = told["type"], told["object"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a watch event: {line[:80]!r}") from error
    return kind, obj


def words(error: BaseException) -> str:
    """A time-out has no text of its own."""
    return str(error) or type(error).__name__
