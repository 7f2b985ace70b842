"""Models of Anthropic's API: `anthropic/<name>` in a job.

Imported by `models` only if needed: the client takes a second. Key and address come from the pod's environment,
ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) and ANTHROPIC_BASE_URL. It extends ADK's class with a client without
retries, and detects what ADK ignores: errors and other responses instead of answers, paused turns, incomplete tool
calls, and streams that end too early or with an error.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from functools import cached_property
from typing import Any, Final

from anthropic import APIStatusError, AsyncAnthropic, Timeout
from anthropic.resources.messages import AsyncMessages
from google.adk.models.anthropic_llm import AnthropicLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse

from agentjobs_runner.adk.client_responses import CONNECT_SECONDS, checked, whole
from agentjobs_runner.adk.finish_reasons import arguments, truncated, truncated_call, unfinished_ending
from agentjobs_runner.endings import ProviderFailed, StartEnded, lost_call, model_auth

# Stop reasons that ADK handles correctly; it treats `pause_turn` as an end, although the model would continue.
_KNOWN: Final = frozenset({"end_turn", "stop_sequence", "tool_use", "max_tokens", "refusal"})


def make(name: str, field: str) -> "Anthropic":
    """Return the model `name` of the job's `field`.

    Raises:
        StartEnded: ModelAuth if the environment has no key.
    """
    # An answer may take as long as steps.llm.timeout allows, which `model_steps` enforces.
    client = _Client(max_retries=0, timeout=Timeout(None, connect=CONNECT_SECONDS))
    if not (client.api_key or client.auth_token or client.credentials):
        raise model_auth(field, f"anthropic/{name}", "ANTHROPIC_API_KEY")
    return Anthropic(model=name, client=client)


class Anthropic(AnthropicLlm):
    """ADK's class, which does not detect a stream that was cut between two events."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yield the model's answer; the last response is complete."""
        try:
            async for response in whole(super().generate_content_async(llm_request, stream), stream=stream):
                yield response
        except APIStatusError as error:
            if error.response.is_success:
                # ADK reads the response of the error, which raises another error for a stream.
                raise ProviderFailed(error.body) from None
            raise


class _Client(AsyncAnthropic):
    @cached_property
    def messages(self) -> AsyncMessages:
        return _Messages(self)


class _Messages(AsyncMessages):
    """Checks each answer before ADK reads it."""

    async def create(self, *args: Any, **options: Any) -> Any:
        answer = await super().create(*args, **options)
        streamed = bool(options.get("stream"))
        return await checked(answer, stream=streamed, look=_look, look_through=_looked_through)


def _look(answer: Any) -> None:
    if getattr(answer, "type", None) == "error":
        raise ProviderFailed(answer.model_extra or {})
    reason, content = answer.stop_reason, answer.content
    blocks = content if isinstance(content, list) else []
    calls = [block for block in blocks if getattr(block, "type", None) == "tool_use"]
    for block in calls:
        _expect_finished(reason, block.name)
        arguments(block.name, block.input)
    _expect_known(reason)
    _expect_calls(reason, calls)


async def _looked_through(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    reason: str | None = None
    calls: dict[int, list[str]] = {}
    async for event in events:
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            calls[event.index] = [event.content_block.name, ""]
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta" and event.index in calls:
            calls[event.index][1] += event.delta.partial_json
        elif event.type == "message_delta":
            reason = event.delta.stop_reason or reason
        yield event
    # Without a stop reason the stream was cut, even if its calls look complete; `Anthropic` reports that.
    for name, written in calls.values() if reason else ():
        _expect_finished(reason, name)
        arguments(name, written)
    _expect_known(reason)
    _expect_calls(reason, calls)


def _expect_finished(reason: str | None, tool: str) -> None:
    if reason in ("max_tokens", "model_context_window_exceeded"):
        raise truncated_call(tool)


def _expect_calls(reason: str | None, calls: Collection[Any]) -> None:
    if reason == "tool_use" and not calls:
        raise lost_call()


def _expect_known(reason: str | None) -> None:
    if reason == "model_context_window_exceeded":
        raise StartEnded(truncated("the model's answer", "prompt and answer fill the model's context window"))
    if reason == "pause_turn":
        raise StartEnded(
            unfinished_ending("PAUSE_TURN", "the provider paused a long turn, which ADK does not continue")
        )
    if reason and reason not in _KNOWN:
        raise StartEnded(unfinished_ending(reason, "the provider's reason is unknown"))
