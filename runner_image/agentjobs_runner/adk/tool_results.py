"""Tools' results as the JSON that every provider gets: real ones, and scripted models as well, so that tests see it.

Clients of providers differ in what they can write down: one knows dates and another does not. What has no JSON form is
the tool's error.
"""

from typing import Final

from google.genai import types

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.json_values import NotJson, jsonable

# Results that are known: more than one long run has.
_KNOWN: Final = 20_000


class JsonResults:
    """Tools' results as JSON. Each is looked through once, and not again in every request of a long run."""

    def __init__(self) -> None:
        self._known: dict[int, types.Content] = {}

    def of(self, contents: list[types.Content]) -> list[types.Content]:
        """Return a request's contents with every tool's result as JSON; what is JSON already stays the same object.

        Raises:
            StartEnded: ToolError that names the tool, the place and the type of a value that has no JSON form.
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
