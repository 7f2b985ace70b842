"""Converts ADK's objects to the journal's JSON and back: model answers, tool results, changes of the session.

The conversion is lossless, except that tool results and state become plain JSON values. Pure.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from google.adk.agents.context import Context
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.models.llm_response import LlmResponse
from google.adk.tools._forwarding_artifact_service import ForwardingArtifactService
from google.genai import types
from pydantic import BaseModel

from agentjobs.contract import RecordedStep
from agentjobs_runner.json_values import NotJson, jsonable
from agentjobs_runner.recorded_steps import unreadable

_Model = TypeVar("_Model", bound=BaseModel)

# The key for the class of a google-genai object: media in a tool's result must stay media.
_CLASS: Final = "$genai"
_VALUE: Final = "value"
_PLAIN: Final = "dict"
# How deep ADK searches a tool's result for media, plus one.
_MEDIA_DEPTH: Final = 3


def answers_to_json(answers: list[LlmResponse]) -> dict[str, Any]:
    """Return the complete answers of one model call as a step's body."""
    return {"answers": [answer.model_dump(mode="json", exclude_none=True) for answer in answers]}


def answers_of(body: Mapping[str, Any]) -> list[LlmResponse]:
    """Return the answers that `answers_to_json` wrote."""
    return [read_as(LlmResponse, answer) for answer in body["answers"]]


def read_as(kind: type[_Model], value: Any) -> _Model:
    """Build an ADK or google-genai object from JSON.

    A lone surrogate, which JSON cannot store, becomes `?`, as in results.

    Raises:
        ValidationError: the value is invalid.
    """
    # Only for JSON text pydantic decodes bytes (a thought's signature, media) from base64.
    return kind.model_validate_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


@contextmanager
def reading(recorded: RecordedStep) -> Iterator[None]:
    """Add the step to an error about a recorded body with an unexpected structure.

    Raises:
        StartEnded: StepUnreadable.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unreadable(recorded, error) from error


def result_to_json(value: Any) -> Any:
    """Return a tool's result as JSON, which `result_of` reads.

    Raises:
        NotJson: a value has no JSON form.
    """
    return jsonable(_marked(value, 0), ())


def result_of(value: Any, depth: int = 0) -> Any:
    """Return the result that `result_to_json` wrote: JSON, and media as the objects they were."""
    if isinstance(value, dict) and _CLASS in value:
        inner = value[_VALUE]
        if value[_CLASS] == _PLAIN:
            return {key: result_of(item, depth + 1) for key, item in inner.items()}
        kind: type[BaseModel] = getattr(types, value[_CLASS])
        return read_as(kind, inner)
    if depth < _MEDIA_DEPTH and isinstance(value, list):
        return [result_of(item, depth + 1) for item in value]
    if depth < _MEDIA_DEPTH and isinstance(value, dict):
        return {key: result_of(item, depth + 1) for key, item in value.items()}
    return value


def _marked(value: Any, depth: int) -> Any:
    if isinstance(value, BaseModel) and type(value).__module__ == types.__name__:
        return {_CLASS: type(value).__name__, _VALUE: value.model_dump(mode="json", exclude_none=True)}
    if depth < _MEDIA_DEPTH and isinstance(value, (list, tuple)):
        items = [_marked(item, depth + 1) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict) and _CLASS in value:
        return {_CLASS: _PLAIN, _VALUE: {key: _marked(item, depth + 1) for key, item in value.items()}}
    if depth < _MEDIA_DEPTH and isinstance(value, dict):
        found = {key: _marked(item, depth + 1) for key, item in value.items()}
        return value if all(found[key] is value[key] for key in value) else found
    return value


class Changes:
    """What code does to the actions of its context, from the moment this is made."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._before = _fields(context.actions)

    def to_json(self) -> dict[str, Any]:
        """Return what has changed since, as JSON.

        Raises:
            NotJson: a value put into the state has no JSON form.
        """
        now = _fields(self._context.actions)
        changed: dict[str, Any] = {}
        for name, value in now.items():
            before = self._before.get(name)
            if isinstance(value, dict):
                was = before or {}
                value = {key: item for key, item in value.items() if key not in was or was[key] != item}
                for item in value.values():
                    if isinstance(item, _Unwritable):
                        raise item.why
                if value:
                    changed[name] = value
            elif value != before:
                changed[name] = value
        return changed


def redo(changes: Mapping[str, Any], context: Context) -> None:
    """Do to the actions of `context` what code did to them when `changes` were recorded."""
    actions = context.actions
    read = read_as(EventActions, changes)
    for name in read.model_fields_set:
        value = getattr(read, name)
        if name == "state_delta":
            context.state.update(value)
        elif name == "artifact_delta":
            _save_again(value, context)
        elif isinstance(value, dict) and isinstance(before := getattr(actions, name), dict):
            before.update(value)
        else:
            setattr(actions, name, value)


def normalize_state(changes: Mapping[str, Any], context: Context) -> None:
    """Give the state its values as later starts get them from `changes`: JSON."""
    for key, value in (changes.get("state_delta") or {}).items():
        if not _equal(context.actions.state_delta.get(key), value):
            context.state[key] = value


def _save_again(versions: Mapping[str, int], context: Context) -> None:
    """Note artifacts as saved, as saving does it: also in the calls of tools that `context` runs in."""
    context.actions.artifact_delta.update(versions)
    service = context.get_invocation_context().artifact_service
    if isinstance(service, ForwardingArtifactService):
        _save_again(versions, service.tool_context)


def _fields(actions: EventActions) -> dict[str, Any]:
    """The fields of `actions` that hold something, as JSON."""
    found: dict[str, Any] = {}
    for name in type(actions).model_fields:
        value = getattr(actions, name)
        if name == "state_delta":
            value = {str(key): _written(item, (name, str(key))) for key, item in value.items()}
        elif value:
            value = actions.model_dump(mode="json", include={name}, exclude_none=True)[name]
        if value is not None and value != {}:
            found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class _Unwritable:
    """Stands for a value without a JSON form: equal to itself alone, and no reason to fail until it is written."""

    value: int
    """Its id; the actions hold it."""
    why: NotJson = field(compare=False)


def _written(value: Any, place: tuple[str, ...]) -> Any:
    """`value` as JSON, in a copy: code may still change what it put into the state."""
    try:
        return deepcopy(jsonable(value, place))
    except NotJson as error:
        return _Unwritable(id(value), error)


def event_to_json(event: Event) -> dict[str, Any]:
    """Return an event that a node yielded as JSON, without what belongs to one start: its id and time.

    Raises:
        NotJson: its output is not JSON, so that the next node would get another one from a journal.
    """
    dumped = event.model_dump(mode="json", exclude_none=True, exclude={"id", "timestamp", "output"})
    if event.output is not None:
        dumped["output"] = deepcopy(result_to_json(event.output))  # a generator may still change what it yielded
        if not _equal(result_of(dumped["output"]), event.output):
            raise NotJson(("output",), event.output)
    return dumped


def _equal(read: Any, given: Any) -> bool:
    try:
        return bool(read == given)
    except Exception:  # an array of numbers does not say whether it equals a list
        return False


def event_of(dumped: Mapping[str, Any]) -> Event:
    """Return the event that `event_to_json` wrote, as a new one."""
    event = read_as(Event, {**dumped, "output": None})
    event.output = result_of(dumped.get("output"))
    return event
