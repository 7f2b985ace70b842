"""A value as a job's result: as text, as a JSON object, and within the size limit. Pure."""

import json
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from agentjobs.contract import MAX_RESULT_BYTES, Result, cut
from agentjobs_runner.redaction import plain, size_of, storable

# Control characters and format characters. Models that have nothing to say sometimes answer with one of them.
_INVISIBLE: Final = ("Cc", "Cf")
# The result is sent with verdict, reason and message.
MOST_BYTES: Final = MAX_RESULT_BYTES - 16 * 1024


def without_thoughts(text: str) -> str:
    """Return `text` without the leading thoughts of models that reason in the open.

    If the thoughts do not end, there is nothing else. Some hosts leave out the first tag, because it is in the prompt;
    then the last tag must be on its own line, otherwise a text only mentions it.
    """
    stripped = text.lstrip()
    for name in ("think", "thinking"):
        if stripped.startswith(f"<{name}>"):
            return stripped.partition(f"</{name}>")[2].lstrip()
    if "</think>" not in text or "<think>" in text.partition("</think>")[0]:
        return text
    lines = text.splitlines(keepends=True)
    ends = [index for index, line in enumerate(lines) if line.strip() == "</think>"]
    return "".join(lines[ends[0] + 1 :]).lstrip() if ends else text


def as_text(value: Any) -> str:
    """Return `value` as text: text unchanged, everything else as JSON, including pydantic models."""
    value = plain(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
    return storable(without_thoughts(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it has only spaces and invisible characters, such as a zero-width space."""
    return all(char.isspace() or unicodedata.category(char) in _INVISIBLE for char in text)


def bounded_result(text: str, structured: dict[str, Any] | None, usage: dict[str, int]) -> Result:
    """Return a job's result; if it is too large, without its structure and with a shorter text."""
    result = Result(text=text, structured=structured, outcome=None, usage=usage)
    if size_of(result) > MOST_BYTES:
        result["structured"] = None
    if size_of(result) > MOST_BYTES:
        result["cutFrom"] = len(text.encode())
    # JSON's escapes make a text up to six times longer, so the size is measured, not computed.
    most = MOST_BYTES - 4096  # the JSON around the text
    while size_of(result) > MOST_BYTES:
        result["text"] = cut(text, most)
        most = most * 3 // 4
    return result


def as_object(text: str, *, among_text: bool = False) -> dict[str, Any] | None:
    """Return the JSON object in a text, also in a Markdown block, which models like to add.

    Args:
        text: the answer.
        among_text: whether a single block with a JSON object counts if there is other text.
    """
    stripped = text.strip()
    blocks = list(_blocks(stripped))
    if stripped.startswith("```") and stripped.endswith("```") and len(blocks) < 2:
        return _loaded(blocks[0] if blocks else stripped[3:-3].removeprefix("json"))
    objects = [found for block in blocks if (found := _loaded(block)) is not None] if among_text else []
    return objects[0] if len(objects) == 1 else _loaded(stripped)


def as_list(text: str) -> list[Any]:
    """Return the JSON objects in a text, which may be in a list or a Markdown block; nothing for other texts."""
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            return []
        return value if isinstance(value, list) else []
    found = as_object(stripped)
    return [] if found is None else [found]


def _blocks(text: str) -> Iterator[str]:
    """The contents of Markdown blocks. Line by line, since regular expressions could take exponential time."""
    inside: list[str] | None = None
    for line in text.split("\n"):
        mark = line.strip()
        if inside is None:
            inside = [] if mark.startswith("```") and "`" not in mark[3:] else None
        elif mark == "```":
            yield "\n".join(inside)
            inside = None
        else:
            inside.append(line)


def _loaded(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = plain(value)
    return found if isinstance(found, dict) else None
