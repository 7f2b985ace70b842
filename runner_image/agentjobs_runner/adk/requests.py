"""Digests of a step's request, by which a later start compares its own. Pure."""

import hashlib
import json
from typing import Any, Final

from google.adk.models.llm_request import LlmRequest
from pydantic import BaseModel

# An earlier difference in the history was already noticed at its time.
_NEWEST: Final = 3
_DIGEST: Final = 16
# Number of contents that are digested; more would take too long.
_MOST_CONTENTS: Final = 200
# Settings that do not affect the answer: caller and transport.
_ASIDE: Final = frozenset({"system_instruction", "tools", "labels", "http_options"})


def of_model_call(request: LlmRequest, model: str) -> dict[str, Any]:
    """Return what distinguishes two requests to a model, without their texts."""
    config = request.config
    settings = {name: value for name, value in config if value is not None and name not in _ASIDE} if config else {}
    return {
        "model": model,
        "instruction": digest(config.system_instruction if config else None),
        "tools": digest(config.tools if config else None),
        "contents": len(request.contents),
        "newest": [digest(content) for content in request.contents[-_NEWEST:]],
        "config": digest(settings),
    }


def in_any_order(request: LlmRequest) -> dict[str, Any]:
    """Return an order-independent digest of a request's contents; nothing for a long history.

    Parallel agents end in a different order in each start, and so do their events in later requests.
    """
    if len(request.contents) > _MOST_CONTENTS:
        return {}
    total = sum(int(digest(content), 16) for content in request.contents)
    return {"unordered": f"{total % 16**_DIGEST:0{_DIGEST}x}"}


def of_tool_call(args: dict[str, Any]) -> dict[str, Any]:
    """Return what distinguishes two calls of a tool."""
    return {"args": digest(args)}


def difference(recorded: dict[str, Any], requested: dict[str, Any]) -> str:
    """Describe the first difference between two requests; empty if there is none."""
    reordered = "unordered" in recorded and recorded["unordered"] == requested.get("unordered")
    for name, words in _WORDS.items():
        if reordered and name == "newest":
            continue
        if name in recorded and name in requested and recorded[name] != requested[name]:
            was, now = recorded[name], requested[name]
            return f"{words} ({was} then, {now} now)" if name in _SHOWN else words
    return ""


def digest(value: Any) -> str:
    """Return a digest of any `value` that is the same in every process."""
    try:
        written = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, default=_plain, skipkeys=True)
    except (TypeError, ValueError, RecursionError):  # unordered keys, or a value that contains itself
        written = type(value).__qualname__
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def _plain(value: Any) -> Any:
    """A form of `value` without addresses: objects without a value are represented by their type."""
    match value:
        case BaseModel():
            return value.model_dump(exclude_none=True)
        case type():
            return f"{value.__module__}.{value.__qualname__}"
        case bytes():
            return hashlib.sha256(value).hexdigest()
        case set() | frozenset():
            return sorted(str(item) for item in value)
        case dict() | list() | str() | int() | float() | bool() | None:
            return value
        case tuple():
            return list(value)
        case _:
            return type(value).__qualname__


# Most informative first.
_WORDS: Final = {
    "model": "another model",
    "instruction": "a different system instruction",
    "tools": "other tools",
    "contents": "a different number of contents",
    "newest": "other contents",
    "config": "another configuration",
    "args": "other arguments",
}
_SHOWN: Final = frozenset({"model", "contents"})
