"""Models of Anthropic's API: `anthropic/<name>` in a job.

Imported by `models` for the jobs that use it: the client takes a second. Key and address come from the pod's
environment, ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) and ANTHROPIC_BASE_URL. ADK's class does the work; here are its
client, which asks once, and two ways a stream may end that ADK does not tell: too early, and with an error.
"""

from collections.abc import AsyncGenerator

from anthropic import APIStatusError, AsyncAnthropic
from google.adk.models.anthropic_llm import AnthropicLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse

from agentjobs_runner.endings import StreamFailed, cut_off, model_auth


def make(name: str, field: str) -> "Anthropic":
    """Return the model `name`, which stands in `field` of the job.

    Raises:
        Ended: ModelAuth when the environment holds no key.
    """
    client = AsyncAnthropic(max_retries=0)
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
            async for response in super().generate_content_async(llm_request, stream):
                if stream and not response.partial and response.finish_reason is None:
                    raise cut_off()
                yield response
        except APIStatusError as error:
            if error.response.is_success:
                # ADK reads the response of what it reports, which raises anew for one that was streamed.
                raise StreamFailed(error.body) from None
            raise
