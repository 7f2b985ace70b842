"""The content of one ADK event: its text, its output, its media. Pure; `answer` combines the events of a run."""

from typing import Any

from google.adk.events.event import Event

from agentjobs_runner.results import without_thoughts


def text_of(event: Event) -> str:
    """The text of an event, without thoughts."""
    parts = (event.content.parts if event.content else None) or []
    return "".join(part.text for part in parts if part.text and not part.thought)


def answer_in(event: Event) -> Any:
    """Return the possible answer in an event: a text, an output, or tool results that are meant as one; else None."""
    if event.get_function_calls() or not event.is_final_response():
        return _bare(event.output)  # of a task that its agent finished with a call
    text = without_thoughts(text_of(event))
    if text.strip():
        return text
    if event.output is not None:
        return event.output
    return _results(event) if event.actions.skip_summarization else None


def output_of(event: Event) -> Any:
    """Return a node's output, or its text."""
    return event.output if event.output is not None else answer_in(event)


def media_of(event: Event) -> list[str]:
    """The media types of an event's content besides text."""
    parts = (event.content.parts if event.content else None) or []
    blobs = [part.inline_data or part.file_data for part in parts if part.inline_data or part.file_data]
    return [blob.mime_type or "a file" for blob in blobs if blob]


def _results(event: Event) -> Any:
    """The results of tools; exit_loop and similar tools have none."""
    responses = [response.response for response in event.get_function_responses()]
    results = [_bare(response) for response in responses if response and response != {"result": None}]
    return results[0] if len(results) == 1 else results or None


def _bare(value: Any) -> Any:
    """A text that ADK wrapped in an object, since a tool's result must be one."""
    match value:
        case {"result": str(text), **more} if not more:
            return text
        case _:
            return value
