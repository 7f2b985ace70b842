"""Checks providers' answers before ADK reads them, for OpenAI's client and similar ones such as Anthropic's."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from google.adk.models.llm_response import LlmResponse

from agentjobs_runner.endings import NotAnAnswer, cut_off

# Both clients' own default. The time after connecting is limited by the job.
CONNECT_SECONDS: Final = 5.0

Check = Callable[[Any], None]
CheckStream = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]


async def checked(answer: Any, *, stream: bool, look: Check, look_through: CheckStream) -> Any:
    """Return an answer after `look`, or a stream wrapped by `look_through`.

    Raises:
        NotAnAnswer: it is a web page or plain text.
    """
    if stream:
        await _expect_events(answer)
        return look_through(answer)
    if isinstance(answer, (str, bytes)):
        raise NotAnAnswer(answer)
    look(answer)
    return answer


async def whole(responses: AsyncIterator[LlmResponse], *, stream: bool) -> AsyncIterator[LlmResponse]:
    """Yield the responses of an ADK class, which does not detect a stream that was cut between two events.

    Raises:
        StartEnded: the stream ended before the answer was complete.
    """
    async for response in responses:
        if stream and not response.partial and response.finish_reason is None:
            raise cut_off()
        yield response


async def _expect_events(stream: Any) -> None:
    """An HTML page has no events, so that its stream would only seem to end too early."""
    response: Any = stream.response
    if "html" in response.headers.get("content-type", ""):
        raise NotAnAnswer((await response.aread()).decode(errors="replace"))
