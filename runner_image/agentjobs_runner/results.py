"""One value as the result of a job: as text, as a JSON object, and small enough to keep. Pure."""

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from agentjobs.contract import MAX_RESULT_BYTES, Result, cut
from agentjobs_runner.redaction import plain, size_of, storable

# The result travels in a document with verdict, reason and message around it.
MOST_BYTES: Final = MAX_RESULT_BYTES - 16 * 1024


def without_thoughts(text: str) -> str:
    """Return `text` without the thoughts at its beginning, which models that reason in the open put before an answer.

    Thoughts that do not end are all there is. Some hosts leave out the first tag, since they had put it into the
    prompt; then the last one stands on a line of its own, else a text only speaks of it.
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
    """Return the answer `value` as text: a text as it is, all else as JSON, also one of pydantic's models."""
    value = plain(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
    return storable(without_thoughts(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def bounded_result(text: str, structured: dict[str, Any] | None, usage: dict[str, int]) -> Result:
    """Return the result of a job, without its structure and with a shorter text where it is too large to keep."""
    result = Result(text=text, structured=structured, outcome=None, usage=usage)
    if size_of(result) > MOST_BYTES:
        result["structured"] = None
    if size_of(result) > MOST_BYTES:
        result["cutFrom"] = len(text.encode())
    # JSON's escapes make a text up to six times longer, so what remains is measured, not computed.
    most = MOST_BYTES - 4096  # what stands around the text
    while size_of(result) > MOST_BYTES:
        result["text"] = cut(text, most)
        most = most * 3 // 4
    return result


def as_object(text: str, *, beside_words: bool = False) -> dict[str, Any] | None:
    """Return a text that is a JSON object, also one in a Markdown block, which models like to put around it.

    Args:
        text: the answer.
        beside_words: whether the one JSON object in a block counts that has words around it, too.
    """
    stripped = text.strip()
    blocks = list(_blocks(stripped))
    if stripped.startswith("```") and stripped.endswith("```") and len(blocks) < 2:
        return _loaded(blocks[0] if blocks else stripped[3:-3].removeprefix("json"))
    objects = [found for block in blocks if (found := _loaded(block)) is not None] if beside_words else []
    return objects[0] if len(objects) == 1 else _loaded(stripped)


def as_list(text: str) -> list[Any]:
    """Return what a text holds that is one JSON object or several, in a list or a Markdown block; else nothing."""
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
    """The contents of Markdown blocks. By lines, since models write what makes regular expressions take forever."""
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
