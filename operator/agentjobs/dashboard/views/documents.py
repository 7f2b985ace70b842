"""Objects and values as text that people read: YAML and JSON, of bounded size, with hidden characters shown. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from agentjobs.dashboard.rendering import visible

MAX_CHARS: Final = 100_000
"""Of a document of its own."""
MAX_VALUE_CHARS: Final = 4_000
"""Of a value among others."""


_DUMPER: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C takes a fiftieth of the time, where PyYAML was built with it."""


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
    """Return a value as JSON over several lines; a text as it is."""
    if isinstance(value, str):
        return cut_text(value, limit)
    return cut_text(json.dumps(value, indent=2, ensure_ascii=False, default=str), limit)


def object_text(body: Mapping[str, Any]) -> Text:
    """Return an object of Kubernetes as YAML: what it asks for before what became of it."""
    first = {key: body[key] for key in ("apiVersion", "kind", "metadata", "spec") if key in body}
    return yaml_text({**first, **body})


def yaml_text(value: Mapping[str, Any], limit: int = MAX_CHARS) -> Text:
    """Return an object as YAML, its fields in the order in which they came."""
    text = yaml.dump(dict(value), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100)
    return cut_text(text, limit)
