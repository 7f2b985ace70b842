"""Tools' results as the JSON that every provider gets: real ones, and scripted models as well, so that tests see it.

Clients of providers differ in what they can write down: one knows dates and another does not. Here all that has one
plain form gets it (dates, decimals, enums, dataclasses, pydantic models, numpy's numbers, bytes as base64), and what
has none is the tool's error.
"""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from google.genai import types
from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.redaction import safe_str, storable

_MAX_DEPTH: Final = 100


class NotJson(Exception):
    """A value without a JSON form stands at `model_assignment`."""

    def __init__(self, place: tuple[str, ...], value: object) -> None:
        self.place, self.kind = ".".join(place), type(value).__name__
        super().__init__(f"{self.kind} at {self.place}")


def with_json_results(contents: list[types.Content]) -> list[types.Content]:
    """Return a request's contents with every tool's result as JSON; what is JSON already stays the same object.

    Raises:
        StartEnded: ToolError that names the tool, the place and the type of a value that has no JSON form.
    """
    return [_content(content) for content in contents]


def _content(content: types.Content) -> types.Content:
    parts = [_part(part) for part in content.parts or ()]
    changed = any(new is not old for new, old in zip(parts, content.parts or (), strict=True))
    return content.model_copy(update={"parts": parts}) if changed else content


def _part(part: types.Part) -> types.Part:
    response = part.function_response
    if response is None or response.response is None:
        return part
    try:
        plain = jsonable(response.response, ())
    except NotJson as error:
        cure = "return text, numbers, lists and dicts of them"
        message = (
            f"tool {response.name} returned a value of type {error.kind} at {error.place}, which is not JSON; {cure}"
        )
        raise StartEnded(Ending(Verdict.RETRY, ErrorClass.TOOL_ERROR, message)) from error
    if plain is response.response:
        return part
    return part.model_copy(update={"function_response": response.model_copy(update={"response": plain})})


def jsonable(value: Any, place: tuple[str, ...]) -> Any:
    """Return `value` as JSON, the same object when it is JSON already.

    Raises:
        NotJson: a value at `model_assignment` or below has no JSON form.
    """
    if len(place) > _MAX_DEPTH:
        raise NotJson(place[:3], value)
    match value:
        case Enum():
            return jsonable(value.value, place)
        case None | bool() | int():
            return value
        case float():
            # JSON has neither NaN nor infinity, and providers refuse them.
            return value if math.isfinite(value) else str(value)
        case str():
            text = storable(value)
            return value if text == value else text
        case Mapping():
            return _mapping(value, place)
        case list() | tuple() | set() | frozenset():
            items = [
                item if _is_short(item) else jsonable(item, (*place, str(index))) for index, item in enumerate(value)
            ]
            same = isinstance(value, list) and all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        case _:
            return _other(value, place)


def _is_short(value: Any) -> bool:
    """Whether a value is JSON at first sight; a result may hold a million of them, and each call looks at all."""
    kind = type(value)
    return kind is int or kind is bool or value is None or (kind is str and value.isascii())


def _mapping(value: Mapping[Any, Any], place: tuple[str, ...]) -> Any:
    found = {
        (name := safe_str(key)): item if _is_short(item) else jsonable(item, (*place, name))
        for key, item in value.items()
    }
    same = isinstance(value, dict) and all(isinstance(key, str) and found[key] is value[key] for key in value)
    return value if same else found


def _other(value: Any, place: tuple[str, ...]) -> Any:
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return jsonable(value.tolist(), place)
    try:
        plain = to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings", serialize_unknown=False)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise NotJson(place, value) from error
    return plain
