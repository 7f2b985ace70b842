"""Models of OpenAI and of every host that speaks its chat completions: `openai/<name>` in a job.

Imported by `models` for the jobs that use it: the client takes a third of a second. Key and address come from the
pod's environment, OPENAI_API_KEY and OPENAI_BASE_URL. ADK's class does the work; here are its client, which asks once,
and what ADK does not tell: a refusal, a stream that ends too early, and one that ends with an error.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from functools import cached_property
from typing import Any, Final

from google.adk.integrations.openai import OpenAILlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI
from openai.resources.chat import AsyncChat, AsyncCompletions

from agentjobs_runner.endings import StreamFailed, content_blocked, cut_off, model_auth

# Servers of one's own (Ollama, vLLM) ask for no key, but the client wants one.
NO_KEY: Final = "none"


def make(name: str, field: str) -> "OpenAICompatible":
    """Return the model `name`, which stands in `field` of the job.

    Raises:
        Ended: ModelAuth when there is neither a key nor an address of one's own.
    """
    key = os.environ.get("OPENAI_API_KEY") or (NO_KEY if os.environ.get("OPENAI_BASE_URL") else None)
    if key is None:
        raise model_auth(field, f"openai/{name}", "OPENAI_API_KEY")
    return OpenAICompatible(model=name, client=_Client(api_key=key, max_retries=0))


class OpenAICompatible(OpenAILlm):
    """ADK's class, which does not notice a stream that was cut between two events."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Yield what the model answers; the last one is whole."""
        try:
            async for response in super().generate_content_async(llm_request, stream):
                if stream and not response.partial and response.finish_reason is None:
                    raise cut_off()
                yield response
        except (APIStatusError, APIConnectionError):
            raise
        except APIError as error:
            raise StreamFailed(error.body) from error


class _Client(AsyncOpenAI):
    @cached_property
    def chat(self) -> AsyncChat:
        return _Chat(self)


class _Chat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    """Tells refusals, which stand beside the content that ADK reads."""

    async def create(self, *args: Any, **options: Any) -> Any:
        answer = await super().create(*args, **options)
        if options.get("stream"):
            return _until_refused(answer)
        # Hosts answer 200 with anything; what has no choices is left to whoever reads it.
        for choice in getattr(answer, "choices", None) or ():
            _look(choice.message.refusal, choice.message.content)
        return answer


async def _until_refused(chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
    refusal = content = ""
    async for chunk in chunks:
        for choice in chunk.choices[:1]:
            refusal += getattr(choice.delta, "refusal", None) or ""
            content += choice.delta.content or ""
        yield chunk
    _look(refusal, content)


def _look(refusal: str | None, content: str | None) -> None:
    if refusal and not content:
        raise content_blocked(f"the model refused: {refusal}")
