"""Values of user code as JSON, the same for every provider and every later start.

Types with one obvious form are converted (dates, decimals, enums, dataclasses, pydantic models, numpy's numbers, bytes
as base64); for others the error names their place. Pure.
"""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from agentjobs_runner.redaction import safe_str, storable

_MAX_DEPTH: Final = 100


class NotJson(Exception):
    """A value at `place` has no JSON form."""

    def __init__(self, place: tuple[str, ...], value: object) -> None:
        self.place, self.kind = ".".join(place), type(value).__name__
        super().__init__(f"{self.kind} at {self.place}")


def jsonable(value: Any, place: tuple[str, ...]) -> Any:
    """Return `value` as JSON, the same object if it is JSON already.

    Raises:
        NotJson: a value at `place` or below has no JSON form.
    """
    if len(place) > _MAX_DEPTH:
        raise NotJson(place[:3], value)
    match value:
        case Enum():
            return jsonable(value.value, place)
        case None | bool() | int():
            return value
        case float():
            # JSON has neither NaN nor infinity, and providers reject them.
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
    """Whether a value is plain JSON. A result may have a million values, and each call checks all."""
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
