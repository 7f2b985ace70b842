"""Checks of a model's answer that claims to be complete: thoughts in its text, no content, or a tool call as text.

`step_plugin` runs them on every answer before ADK reads it, so that no state, graph or agent uses a bad one.
"""

from collections.abc import Collection
from typing import Any, Final

from google.adk.agents.callback_context import CallbackContext
from google.adk.features import FeatureName, is_feature_enabled
from google.adk.models.llm_response import LlmResponse
from google.genai.types import FinishReason

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.adk.agent_tree import is_a
from agentjobs_runner.adk.finish_reasons import (
    is_blocked,
    is_cut,
    is_whole,
    reason_word,
    truncated,
    truncated_call,
    unfinished_ending,
)
from agentjobs_runner.adk.model_usage import tokens_of
from agentjobs_runner.adk.nested_failures import caller_may_see
from agentjobs_runner.endings import Ending, StartEnded, cut_off
from agentjobs_runner.results import as_list, without_thoughts

# ADK's code for an empty answer.
NO_CONTENT: Final = "MODEL_RETURNED_NO_CONTENT"
# The beginnings of tool calls that the host should have parsed out of the text.
_MARKS: Final = (
    "<tool_call",
    "<|tool_call",
    "<｜tool▁call",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<function_call",
    "<function=",
    "<invoke ",
)
_ARGUMENTS: Final = frozenset({"arguments", "parameters", "args", "input"})
_BESIDE: Final = frozenset({"name", "type", "id"})
# Models whose streams end with a finish reason, including those built by user code; without one they were cut.
_WITH_FINISH_REASON: Final = ("Gemini", "OpenAILlm", "AnthropicLlm")


def refusal(context: CallbackContext, answer: LlmResponse, tools: Collection[str]) -> StartEnded | None:
    """Return the error that ends the start for an answer that ADK would wrongly accept; normalize other answers."""
    if (stopped := _stopped(answer, _limit(context))) is not None:
        return stopped
    if answer.finish_reason is None and answer.error_code is None and streams_from(context, *_WITH_FINISH_REASON):
        return cut_off()
    if _came_to_nothing(answer) and streams_from(context, "LiteLlm"):
        return cut_off()
    without_open_thoughts(answer)
    if _streams(context):
        mark_empty(answer)
    return call_as_text(answer, tools)


def without_open_thoughts(answer: LlmResponse) -> None:
    """Remove leading thoughts from a text."""
    parts = (answer.content.parts if answer.content else None) or []
    first = next((part for part in parts if part.text and part.text.strip() and not part.thought), None)
    if first is None or first.text is None or (rest := without_thoughts(first.text)) == first.text:
        return
    first.text = rest
    if not rest and len(parts) > 1:  # providers reject empty texts in later requests
        parts.remove(first)


def mark_empty(answer: LlmResponse) -> None:
    """Set the error code of an empty answer that ADK omits for streamed ones."""
    empty = not (answer.content and answer.content.parts)
    whole = answer.finish_reason == FinishReason.STOP and answer.error_code is None
    # ADK's older streaming ends with an empty answer after the complete one.
    if empty and whole and is_feature_enabled(FeatureName.PROGRESSIVE_SSE_STREAMING):
        answer.error_code = NO_CONTENT
        answer.error_message = "The model returned no content (finish_reason=STOP with empty parts)."


def call_as_text(answer: LlmResponse, tools: Collection[str]) -> StartEnded | None:
    """Return the ending if the model wrote the call of one of `tools` as text, so that it did not run."""
    parts = (answer.content.parts if answer.content else None) or []
    if any(part.function_call for part in parts):
        return None
    text = "".join(part.text for part in parts if part.text and not part.thought).strip()
    named = _named(text, tools)
    if named is None:
        return None
    message = (
        f"the model wrote its call of tool {named} as text, so the tool did not run; "
        "use a model that can call tools, and a host that parses its calls (vLLM: --enable-auto-tool-choice)"
    )
    return StartEnded(Ending(Verdict.RETRY, ErrorClass.RESULT_ERROR, message))


def _named(text: str, tools: Collection[str]) -> str | None:
    for line, begin in _lines(text):
        if line.startswith(_MARKS):
            called = [tool for tool in tools if tool in text[begin:]]
            return max(called, key=len, default=None)
    return next((name for item in as_list(text) if (name := _called(item)) in tools), None)


def _lines(text: str) -> list[tuple[str, int]]:
    found, begin = [], 0
    for line in text.splitlines(keepends=True):
        found.append((line.strip(), begin))
        begin += len(line)
    return found


def _called(item: Any) -> str | None:
    """The tool's name in a call in providers' format: `{"name": …, "arguments": …}`, also inside `function`."""
    if not isinstance(item, dict):
        return None
    function = item.get("function")
    inner: dict[str, Any] = function if isinstance(function, dict) else item
    given = _ARGUMENTS & inner.keys()
    name = inner.get("name")
    return name if given and isinstance(name, str) and inner.keys() <= _BESIDE | given else None


def _stopped(answer: LlmResponse, limit: int | None) -> StartEnded | None:
    """Return the error that ends the start for an incomplete answer.

    A blocked answer, or one that is only an error, passes if a caller may handle it: it cannot be mistaken for an
    answer, and the agent's caller may try again.
    """
    reason = answer.finish_reason or answer.error_code
    if is_whole(reason) or is_blocked(reason):
        return None
    parts = (answer.content.parts if answer.content else None) or []
    calls = [part.function_call.name or "?" for part in parts if part.function_call]
    if is_cut(reason):
        after = tokens_of(answer).output if answer.usage_metadata else None
        if calls:
            return truncated_call(calls[0], after=after, limit=limit)
        return StartEnded(truncated("the model's answer", answer.error_message or "", after=after, limit=limit))
    ending = unfinished_ending(reason_word(reason), answer.error_message or "")
    return StartEnded(ending) if parts or not caller_may_see(ending) else None


def _streams(context: CallbackContext) -> bool:
    settings = context.get_invocation_context().run_config
    return settings is not None and settings.streaming_mode.name == "SSE"


def streams_from(context: CallbackContext, *kinds: str) -> bool:
    """Whether an answer is streamed by a model of one of ADK's classes with these names."""
    return _streams(context) and is_a(getattr(context.get_invocation_context().agent, "canonical_model", None), *kinds)


def _came_to_nothing(answer: LlmResponse) -> bool:
    """Whether an answer has no tokens, as for a web page or a cut stream; LiteLLM reports such answers as stopped."""
    return not (answer.content and answer.content.parts) and not tokens_of(answer).output


def _limit(context: CallbackContext) -> int | None:
    """The agent's own limit of output tokens."""
    config = getattr(context.get_invocation_context().agent, "generate_content_config", None)
    return getattr(config, "max_output_tokens", None)
