"""Tools' results as JSON, the same for every provider and for scripted models, so that tests notice problems.

Providers' clients differ in the types that they can serialize, such as dates. A value without a JSON form is the tool's
error.
"""

from typing import Final

from google.genai import types

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.json_values import NotJson, jsonable

# Number of cached results: more than one long run has.
_KNOWN: Final = 20_000


class JsonResults:
    """Tools' results as JSON. Each is checked once, not in every request of a long run."""

    def __init__(self) -> None:
        self._known: dict[int, types.Content] = {}

    def of(self, contents: list[types.Content]) -> list[types.Content]:
        """Return a request's contents with every tool's result as JSON; plain JSON stays the same object.

        Raises:
            StartEnded: ToolError with tool, place and type of a value without a JSON form.
        """
        if len(self._known) > _KNOWN:
            self._known.clear()
        return [content if self._known.get(id(content)) is content else self._plain(content) for content in contents]

    def _plain(self, content: types.Content) -> types.Content:
        plain = _content(content)
        if plain is content:
            self._known[id(content)] = content
        return plain


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
