"""Converts ADK's events to timeline entries. `engine` passes them to the recorder."""

from collections.abc import Iterator
from typing import Any, Final

from google.adk.events.event import Event

from agentjobs_runner.adk.event_content import text_of

_OURS: Final = "Error in plugin 'agentjobs' during "
"""The beginning of ADK's message for an error of our plugin that ends a start. The entry `ended` already has it."""


def entries(event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a complete ADK event as (kind, data): a model's answer, its text, tool results, an error."""
    if event.partial:
        return
    calls, results = event.get_function_calls(), event.get_function_responses()
    if event.usage_metadata is not None or calls:
        yield "model", _model(event, calls)
    for result in results:
        yield "tool", {"name": result.name, "callId": result.id, "result": result.response}
    if event.error_code and not (event.error_message or "").startswith(_OURS):
        yield "error", {"code": str(event.error_code), "message": event.error_message or ""}
    if text := text_of(event):
        yield "text", {"text": text, "final": event.is_final_response()}


def _model(event: Event, calls: list[Any]) -> dict[str, Any]:
    usage = event.usage_metadata
    return {
        "model": event.model_version,
        "inputTokens": usage.prompt_token_count if usage else None,
        "outputTokens": usage.candidates_token_count if usage else None,
        "toolCalls": [{"name": call.name, "callId": call.id, "args": call.args} for call in calls],
    }
