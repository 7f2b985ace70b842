"""Models of OpenAI and of hosts with its chat completions API: `openai/<name>` in a job.

Imported by `models` only if needed: the client takes a third of a second. Key and address come from the pod's
environment, OPENAI_API_KEY and OPENAI_BASE_URL. It extends ADK's class with a client without retries, and detects what
ADK ignores: refusals, errors and other responses instead of answers, incomplete tool calls, unusual finish reasons, and
streams that end too early.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from functools import cached_property
from typing import Any, Final

from google.adk.integrations.openai import OpenAILlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI, Timeout
from openai.resources.chat import AsyncChat, AsyncCompletions

from agentjobs_runner.adk.client_responses import CONNECT_SECONDS, checked, whole
from agentjobs_runner.adk.finish_reasons import arguments, truncated_call, unfinished_ending
from agentjobs_runner.endings import ProviderFailed, StartEnded, content_blocked, lost_call, model_auth

# One's own servers (Ollama, vLLM) need no key, but the client requires one.
NO_KEY: Final = "none"
# OpenAI's finish reasons, by other hosts' names; ADK treats every other name as an unknown end.
_REASONS: Final = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "complete", "completed"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_length", "model_length", "max_output_tokens"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("content_filter", "safety"), "content_filter"),
}


def make(name: str, field: str) -> "OpenAICompatible":
    """Return the model `name` of the job's `field`.

    Raises:
        StartEnded: ModelAuth if neither a key nor another address is set.
    """
    key = os.environ.get("OPENAI_API_KEY") or (NO_KEY if os.environ.get("OPENAI_BASE_URL") else None)
    if key is None:
        raise model_auth(field, f"openai/{name}", "OPENAI_API_KEY")
    # An answer may take as long as steps.llm.timeout allows, which `model_steps` enforces.
    client = _Client(api_key=key, max_retries=0, timeout=Timeout(None, connect=CONNECT_SECONDS))
    return OpenAICompatible(model=name, client=client)


class OpenAICompatible(OpenAILlm):
    """ADK's class, which does not detect a stream that was cut between two events."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yield the model's answer; the last response is complete."""
        try:
            async for response in whole(super().generate_content_async(llm_request, stream), stream=stream):
                yield response
        except (APIStatusError, APIConnectionError):
            raise
        except APIError as error:
            raise ProviderFailed(error.body) from error


class _Client(AsyncOpenAI):
    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    """Checks each answer before ADK reads it."""

    async def create(self, *args: Any, **options: Any) -> Any:
        answer = await super().create(*args, **options)
        streamed = bool(options.get("stream"))
        return await checked(answer, stream=streamed, look=_look, look_through=_looked_through)


def _look(answer: Any) -> None:
    """Reject responses that are not answers, and normalize others for ADK."""
    choices = getattr(answer, "choices", None)
    if not choices:
        _expect_no_error(answer)
    # Hosts answer 200 with anything; a response without a list of choices is left to the parser.
    for choice in choices[:1] if isinstance(choices, list) else ():
        _expect_no_error(choice)
        message = choice.message
        _expect_no_refusal(message.refusal, message.content)
        choice.finish_reason = _reason(choice.finish_reason)
        if choice.finish_reason == "tool_calls" and not message.tool_calls:
            raise lost_call()
        for call in message.tool_calls or ():
            _expect_finished(choice.finish_reason, call.function.name)
            call.function.arguments = arguments(call.function.name, call.function.arguments)


async def _looked_through(chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
    refusal = content = ""
    reason: str | None = None
    calls: dict[Any, list[str]] = {}
    places = _Places()
    async for chunk in chunks:
        for choice in chunk.choices[:1]:
            _expect_no_error(choice)
            refusal += getattr(choice.delta, "refusal", None) or ""
            content += choice.delta.content or ""
            choice.finish_reason = _reason(choice.finish_reason)
            reason = choice.finish_reason or reason
            for part in choice.delta.tool_calls or ():
                places.give(part)
            _gather(calls, choice.delta.tool_calls or ())
        yield chunk
    _expect_no_refusal(refusal, content)
    if reason == "tool_calls" and not calls:
        raise lost_call()
    # Without a finish reason the stream was cut, even if its calls look complete; `OpenAICompatible` reports that.
    for name, written in calls.values() if reason else ():
        _expect_finished(reason, name)
        arguments(name, written)


class _Places:
    """Gives each call its own index, by which its parts are combined.

    Some hosts (Ollama, proxies for Gemini) give all calls index 0, or none: they would be combined into one.
    """

    def __init__(self) -> None:
        self._open: dict[Any, tuple[str | None, int]] = {}
        self._used = 0

    def give(self, part: Any) -> None:
        index, name = getattr(part, "index", None), part.function.name if part.function else None
        id_, place = self._open.get(index, (None, -1))
        if place < 0 or (name and part.id and part.id != id_):
            id_, place = None, self._used
            self._used += 1
        self._open[index] = part.id or id_, place
        part.index = place


def _gather(calls: dict[Any, list[str]], parts: Any) -> None:
    """Combine the parts of calls as ADK does: by index, with the newest name."""
    for part in parts:
        call = calls.setdefault(part.index, ["?", ""])
        if part.function is not None:
            call[0] = part.function.name or call[0]
            call[1] += part.function.arguments or ""


def _reason(word: Any) -> str | None:
    if not word:
        return None
    known = _REASONS.get(str(word).casefold())
    if known is None:
        raise StartEnded(unfinished_ending(word, "the provider's reason is unknown"))
    return known


def _expect_finished(reason: str | None, tool: str) -> None:
    if reason == "length":
        raise truncated_call(tool)


def _expect_no_refusal(refusal: str | None, content: str | None) -> None:
    if refusal and not content:
        raise content_blocked(f"the model refused: {refusal}")


def _expect_no_error(answer: Any) -> None:
    """Some hosts answer 200 with an error instead of an answer, or in one of its choices."""
    beside = getattr(answer, "model_extra", None) or {}
    if beside.get("error"):
        raise ProviderFailed(beside)
    if getattr(answer, "object", None) == "error":
        raise ProviderFailed(dict(beside))
