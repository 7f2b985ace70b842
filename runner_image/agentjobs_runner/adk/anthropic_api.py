"""Models of Anthropic's API: `anthropic/<name>` in a job.

Imported by `models` for the jobs that use it: the client takes a second. Key and address come from the pod's
environment, ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) and ANTHROPIC_BASE_URL. ADK's class does the work; here are its
client, which asks once, and what ADK does not tell: an answer that is an error or no answer at all, a turn that is not
over, a tool call that the model did not finish, and a stream that ends too early or with an error.
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

# Ends that ADK reads rightly; it takes `pause_turn` for an end as well, though the model wants to go on.
_KNOWN: Final = frozenset({"end_turn", "stop_sequence", "tool_use", "max_tokens", "refusal"})


def make(name: str, field: str) -> "Anthropic":
    """Return the model `name`, which stands in `field` of the job.

    Raises:
        StartEnded: ModelAuth when the environment holds no key.
    """
    # An answer may take as long as steps.llm.timeout allows; that is measured in `model_steps`.
    client = _Client(max_retries=0, timeout=Timeout(None, connect=CONNECT_SECONDS))
    if not (client.api_key or client.auth_token or client.credentials):
        raise model_auth(field, f"anthropic/{name}", "ANTHROPIC_API_KEY")
    return Anthropic(model=name, client=client)


class Anthropic(AnthropicLlm):
    """ADK's class, which does not notice a stream that was cut between two events."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yield what the model answers; the last one is whole."""
        try:
            async for response in whole(super().generate_content_async(llm_request, stream), stream=stream):
                yield response
        except APIStatusError as error:
            if error.response.is_success:
                # ADK reads the response of what it reports, which raises anew for one that was streamed.
                raise ProviderFailed(error.body) from None
            raise


class _Client(AsyncAnthropic):
    @cached_property
    def messages(self) -> AsyncMessages:
        return _Messages(self)


class _Messages(AsyncMessages):
    """Looks at each answer before ADK reads it."""

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
    # Without a reason the stream was cut, whatever its calls look like; `Anthropic` says so.
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
            unfinished_ending("PAUSE_TURN", "the provider paused a long turn, which ADK does not go on with")
        )
    if reason and reason not in _KNOWN:
        raise StartEnded(unfinished_ending(reason, "the provider's reason is unknown"))
