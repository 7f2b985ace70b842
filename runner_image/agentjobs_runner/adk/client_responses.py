"""How answers of providers are looked at before ADK reads them, for clients of OpenAI's make, as Anthropic's is."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from google.adk.models.llm_response import LlmResponse

from agentjobs_runner.endings import NotAnAnswer, cut_off

# As both clients have it by themselves. What comes after a connection is there is limited by the job.
CONNECT_SECONDS: Final = 5.0

Check = Callable[[Any], None]
CheckStream = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]


async def checked(answer: Any, *, stream: bool, look: Check, look_through: CheckStream) -> Any:
    """Return an answer that `look` lets pass, or a stream in the place of one that `look_through` yields anew.

    Raises:
        NotAnAnswer: it is a page or a text.
    """
    if stream:
        await _expect_events(answer)
        return look_through(answer)
    if isinstance(answer, (str, bytes)):
        raise NotAnAnswer(answer)
    look(answer)
    return answer


async def whole(responses: AsyncIterator[LlmResponse], *, stream: bool) -> AsyncIterator[LlmResponse]:
    """Yield what one of ADK's classes made of an answer. They do not notice a stream that was cut between two events.

    Raises:
        StartEnded: the stream ended before the answer was complete.
    """
    async for response in responses:
        if stream and not response.partial and response.finish_reason is None:
            raise cut_off()
        yield response


async def _expect_events(stream: Any) -> None:
    """A page of HTML holds no event, so that a stream of it would only seem to end too early."""
    response: Any = stream.response
    if "html" in response.headers.get("content-type", ""):
        raise NotAnAnswer((await response.aread()).decode(errors="replace"))
