"""YAML with the line numbers of its values, and error messages with line, field, value and cure. Pure.

Decimal numbers are `Decimal`, with the digits as written: prices are never floats.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agentjobs.errors import Misconfigured

_NUMBER: Final = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,2})?", re.ASCII)

Place = tuple[str | int, ...]
"""Path of a value: `("providers", 0, "name")`."""

MAX_SHOWN: Final = 60
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 20_000
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Flaw:
    """One error in a file."""

    place: Place
    message: str
    """The problem and the cure, without values that may be secrets."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed value, and the line of each part."""

    source: str
    """Name of the file in messages."""
    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of a value, or of the nearest existing parent."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def refused(self, flaws: Iterable[Flaw]) -> Misconfigured:
        """Return the error with all flaws, in the order of lines."""
        located = sorted((self.line(flaw.place), name_of(flaw.place), flaw.message) for flaw in flaws)
        return Misconfigured("\n".join(f"{self.source}:{line}: {name}{message}" for line, name, message in located))

    def as_model(self, model: type[M]) -> M:
        """Return the value as a model.

        Raises:
            errors.Misconfigured: it does not match; the message lists every flaw.
        """
        try:
            return model.model_validate(self.value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            raise self.refused([_flaw(detail, model) for detail in details]) from None


def load(text: str, source: str) -> Document:
    """Read one document.

    Raises:
        errors.Misconfigured: it is not YAML, has a duplicate key, or values that JSON does not support.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Place, int] = {}
        value = None if node is None else _value(node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Misconfigured(
            f"{source}:{mark.line + 1 if mark else 1}: is not YAML: {error.problem or error.context}"
        ) from None
    except yaml.YAMLError:
        raise Misconfigured(f"{source}:1: is not YAML: it contains control characters") from None
    except RecursionError:
        raise Misconfigured(f"{source}:1: is nested too deeply, or too large") from None
    return Document(source, value, lines)


def name_of(place: Place) -> str:
    """Return the path in readable form, with a colon: `providers[0].name: `; empty for the whole document."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z0-9_-]{1,63}", part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return f"{text}: " if text else ""


def shown(value: object) -> str:
    """Return a value for a message, shortened."""
    if isinstance(value, str):
        text = json.dumps(value[:MAX_SHOWN], ensure_ascii=False)
        return text if len(value) <= MAX_SHOWN else f"{text}…"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):  # by type, because 0 and 1 are equal to these
        return json.dumps(value)
    return str(value)[:MAX_SHOWN]


def _value(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Any:
    lines[place] = node.start_mark.line + 1
    if len(place) > MAX_DEPTH or len(lines) > MAX_VALUES:
        # Anchors can expand a few lines without bound.
        raise RecursionError
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, item in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if not name or name in found:
                message = f"key {shown(name)} is given twice" if name else "a key must be a string"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            found[name] = _value(item, (*place, name), lines)
            lines[(*place, name)] = key.start_mark.line + 1
        return found
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() in ("true", "yes", "on")
        case "int" if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text):
            return int(text)
        # Helm writes 2000000 as 2e+06, which YAML 1.1 reads as a string.
        case "float" | "str" if _NUMBER.fullmatch(text) and isinstance(node, yaml.ScalarNode) and node.style is None:
            return Decimal(text)
    return text


def _flaw(error: ErrorDetails, model: type[BaseModel]) -> Flaw:
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        return Flaw(place, _unknown(place, model))
    if kind == "missing":
        return Flaw(place, "is required")
    if kind == "value_error":
        return Flaw(place, str(context.get("error", error["msg"])))
    if kind in _SHAPES:
        # Not shown, because a string instead of an object may be a secret key.
        return Flaw(place, _SHAPES[kind])
    if kind in _TYPES:
        return Flaw(place, f"{shown(value)} {_TYPES[kind]}")
    if kind in _BOUNDS:
        return Flaw(place, f"{shown(value)} {_BOUNDS[kind].format(**context)}")
    return Flaw(place, f"is refused: {error['msg']}"[:200])


def _unknown(place: Place, model: type[BaseModel]) -> str:
    known = _fields_at(place[:-1], model)
    near = difflib.get_close_matches(str(place[-1])[:63], known, n=1)
    return f"is an unknown field; {f'did you mean {near[0]}?' if near else 'use one of ' + ', '.join(known)}"


def _fields_at(place: Place, model: type[BaseModel]) -> list[str]:
    kind: type[BaseModel] | None = model
    for part in place:
        if kind is not None and isinstance(part, str):
            field = next((field for field in kind.model_fields.values() if field.alias == part), None)
            # Below a mapping with free keys, the part is such a key.
            kind = _model_in(field.annotation) if field is not None else kind
    return [] if kind is None else [str(field.alias) for field in kind.model_fields.values()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, getattr(annotation, "__args__", ()))), None)


def choice(kind: type[Enum], value: object) -> Any:
    """Return the member of an enumeration for a value in a file.

    Raises:
        ValueError: there is none; the message lists all members.
    """
    known = [str(member.value) for member in kind]
    if value in known:
        return kind(value)
    near = difflib.get_close_matches(str(value)[:63], known, n=1, cutoff=0.5)
    cure = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
    raise ValueError(f"{shown(value)} is not allowed; {cure}")


_TYPES: Final[Mapping[str, str]] = {
    "string_type": "is not a string; write it in quotes",
    "int_type": "is not a whole number; write it without quotes or fraction",
}
_SHAPES: Final[Mapping[str, str]] = {
    "tuple_type": "is not a list; write each entry after a dash",
    "dict_type": "is not an object; write keys and values below it",
    "model_type": "is not an object; write its fields below it",
}
_BOUNDS: Final[Mapping[str, str]] = {
    "string_too_short": "is too short; use at least {min_length} characters",
    "string_too_long": "is too long; use at most {max_length} characters",
    "too_short": "has too few entries; use at least {min_length}",
    "too_long": "has too many entries; use at most {max_length}",
    "greater_than_equal": "is too small; use at least {ge}",
    "less_than_equal": "is too large; use at most {le}",
    "string_pattern_mismatch": "is not allowed; use lower-case letters, digits and -",
}
