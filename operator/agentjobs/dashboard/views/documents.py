"""Objects and values as YAML and JSON of bounded size, with hidden characters shown. Pure."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from agentjobs.dashboard.texts import visible

MAX_CHARS: Final = 100_000
"""Characters of a document on its own."""
MAX_VALUE_CHARS: Final = 4_000
"""Characters of a value among others."""


_SPREAD_CHARS: Final = 64 * 1024
"""Largest value that is written over several lines."""
_ENCODER: Final = json.JSONEncoder(indent=2, ensure_ascii=False, default=str)
_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The C implementation takes a fiftieth of the time, if PyYAML has it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it is shown."""

    text: str
    left_out: int = 0
    """Characters that were cut."""


def cut_text(text: str, limit: int = MAX_VALUE_CHARS) -> Text:
    """Return the beginning of a text."""
    return Text(visible(text[:limit]), max(0, len(text) - limit))


def json_text(value: object, limit: int = MAX_VALUE_CHARS) -> Text:
    """Return a value as JSON over several lines; a text as it is.

    The number of cut characters excludes the space between values: with it, a megabyte of deep lists would have
    hundreds.
    """
    if isinstance(value, str):
        return cut_text(value, limit)
    parts, size = [], 0
    for part in _ENCODER.iterencode(value):
        parts.append(part)
        size += len(part)
        if size > limit:
            break
    else:
        return cut_text("".join(parts), limit)
    text = "".join(parts)[:limit]
    return Text(visible(text), max(1, len(_compact(value)) - len("".join(text.split()))))


def json_file(value: object) -> str:
    """Return a value as JSON, over several lines where that is not much more than the value itself."""
    compact = _compact(value)
    return _ENCODER.encode(value) if len(compact) <= _SPREAD_CHARS else compact


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))


def object_text(body: Mapping[str, Any]) -> Text:
    """Return a Kubernetes object as YAML, its spec before its status."""
    return yaml_text(ordered(body))


def ordered(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Kubernetes object with its spec before its status."""
    first = {key: body[key] for key in ("apiVersion", "kind", "metadata", "spec") if key in body}
    return {**first, **body}


def yaml_text(value: Mapping[str, Any], limit: int = MAX_CHARS) -> Text:
    """Return an object as YAML, its fields in the order in which they came.

    What is cut is counted as in `json_text`.
    """
    written = _Beginning(limit)
    try:
        _dump(value, written)
    except _Enough:
        text = written.getvalue()[:limit]
        return Text(visible(text), max(1, len(_compact(value)) - len("".join(text.split()))))
    return cut_text(written.getvalue(), limit)


def yaml_file(value: Mapping[str, Any]) -> str:
    """Return a whole object as YAML."""
    written = io.StringIO()
    _dump(value, written)
    return written.getvalue()


def _dump(value: Mapping[str, Any], written: io.StringIO) -> None:
    yaml.dump(dict(value), written, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100)


class _Enough(Exception):
    """More than is shown has been written."""


class _Beginning(io.StringIO):
    """Collects text up to a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._left = limit

    def write(self, text: str) -> int:
        self._left -= len(text)
        super().write(text)
        if self._left < 0:
            raise _Enough
        return len(text)
