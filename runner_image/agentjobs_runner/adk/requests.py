"""What a step was asked, as a few digests: a later start sees by them whether it asks the same. Pure."""

import hashlib
import json
from typing import Any, Final

from google.adk.models.llm_request import LlmRequest
from pydantic import BaseModel

# A history that differs further back differed when that was its end.
_NEWEST: Final = 3
_DIGEST: Final = 16
# Contents that are looked through in each request; a longer history would take too long.
_MOST_CONTENTS: Final = 200
# Settings that say nothing of what is asked: whose call it is, how it travels.
_ASIDE: Final = frozenset({"system_instruction", "tools", "labels", "http_options"})


def of_model_call(request: LlmRequest, model: str) -> dict[str, Any]:
    """Return what tells two requests to a model apart, without their texts."""
    config = request.config
    told = {name: value for name, value in config if value is not None and name not in _ASIDE} if config else {}
    return {
        "model": model,
        "instruction": digest(config.system_instruction if config else None),
        "tools": digest(config.tools if config else None),
        "contents": len(request.contents),
        "newest": [digest(content) for content in request.contents[-_NEWEST:]],
        "config": digest(told),
    }


def in_any_order(request: LlmRequest) -> dict[str, Any]:
    """Return a digest of a request's contents that does not depend on their order; nothing for a long history.

    Parallel agents end in another order in each start, and so their events stand in what later agents ask.
    """
    if len(request.contents) > _MOST_CONTENTS:
        return {}
    total = sum(int(digest(content), 16) for content in request.contents)
    return {"unordered": f"{total % 16**_DIGEST:0{_DIGEST}x}"}


def of_tool_call(args: dict[str, Any]) -> dict[str, Any]:
    """Return what tells two calls of a tool apart."""
    return {"args": digest(args)}


def difference(recorded: dict[str, Any], asked: dict[str, Any]) -> str:
    """Say in words what the first difference between two requests is; empty when there is none."""
    reordered = "unordered" in recorded and recorded["unordered"] == asked.get("unordered")
    for name, words in _WORDS.items():
        if reordered and name == "newest":
            continue
        if name in recorded and name in asked and recorded[name] != asked[name]:
            was, now = recorded[name], asked[name]
            return f"{words} ({was} then, {now} now)" if name in _SHOWN else words
    return ""


def digest(value: Any) -> str:
    """Return a digest that is the same in every process, whatever `value` holds."""
    try:
        written = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, default=_plain, skipkeys=True)
    except (TypeError, ValueError, RecursionError):  # keys without an order, a value that holds itself
        written = type(value).__qualname__
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def _plain(value: Any) -> Any:
    """A form of `value` that holds no address: what has no value of its own counts by its type."""
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


# In the order in which they are told: what explains the most first.
_WORDS: Final = {
    "model": "another model",
    "instruction": "another system instruction",
    "tools": "other tools",
    "contents": "another number of contents",
    "newest": "other contents",
    "config": "another configuration",
    "args": "other arguments",
}
_SHOWN: Final = frozenset({"model", "contents"})
