"""Tools' results as the JSON that every provider gets: real ones, and scripted models as well, so that tests see it.

Clients of providers differ in what they can write down: one knows dates and another does not. What has no JSON form is
the tool's error.
"""

from google.genai import types

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import Ending, StartEnded
from agentjobs_runner.json_values import NotJson as NotJson
from agentjobs_runner.json_values import jsonable as jsonable


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
