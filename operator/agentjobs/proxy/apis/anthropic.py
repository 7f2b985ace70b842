"""Anthropic's API: messages and the count of their tokens. Vertex AI has the same requests and answers elsewhere."""

from typing import Any, Final

from agentjobs.models.names import Kind, check
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import Asked, Operation, Refusal, Request, UsageReader, canonical_name
from agentjobs.proxy.apis.body import Members, Unclear
from agentjobs.proxy.apis.estimate import prompt
from agentjobs.proxy.apis.headers import passed
from agentjobs.proxy.apis.refusals import (
    anthropic_error,
    bad_request,
    document,
    event,
    no_such_path,
    told_by_claude_code,
)
from agentjobs.proxy.apis.requests import check_others, check_tier, check_tools, place_of, plain_body
from agentjobs.proxy.apis.usage import Document, Reader, Usage, counted, text_bytes

_OPERATIONS: Final = {"/v1/messages": Operation.GENERATE, "/v1/messages/count_tokens": Operation.COUNT}
_HELLO: Final = "/api/hello"
# Turns of the provider's own that its total leaves out; those of other models are refused.
_BESIDE: Final = "compaction"


class AnthropicApi:
    """See `api.Api`."""

    kind: Final = Kind.ANTHROPIC
    tells_delays: Final = True

    def read(self, request: Request) -> Asked | Refusal:
        """Understand a request."""
        if request.method in ("HEAD", "GET") and request.path == _HELLO:
            return Asked(self.kind, Operation.HELLO, "", "", request.method, _HELLO, "", {}, b"")
        operation = _OPERATIONS.get(request.path) if request.method == "POST" else None
        if operation is None:
            return no_such_path()
        # Of the query only what the client of the CLI sends: the same API with its betas.
        query = "beta=true" if "beta=true" in request.query.split("&") else ""
        try:
            return messages_asked(request, kind=self.kind, operation=operation, path=request.path, query=query)
        except (Unclear, ValueError) as error:
            return bad_request(str(error))

    def usage_reader(self, asked: Asked) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        return Reader(AnthropicMeter(), free=asked.free)

    def refusal_body(self, refusal: Refusal) -> bytes:
        """Return a refusal as the API's own error."""
        return document({"type": "error", "error": anthropic_error(refusal) | told_by_claude_code(refusal)})

    def refusal_event(self, refusal: Refusal) -> bytes:
        """Return a refusal as an event of a stream."""
        return event({"type": "error", "error": anthropic_error(refusal) | told_by_claude_code(refusal)}, name="error")


def messages_asked(
    request: Request, *, kind: Kind, operation: Operation, path: str, query: str = "", named: str = ""
) -> Asked:
    """Return a request for a message, or for its tokens.

    Args:
        named: the model by the path, with its publisher; empty where the body alone names it.

    Raises:
        Unclear: it is not passed on as it is.
        ValueError: the model's name is none.
    """
    members = plain_body(request).members()
    own = named.removeprefix("anthropic/") if named else check(members.text("model") or "")
    check_models(members)
    place = place_of(members, own)
    generates, size = operation is Operation.GENERATE, prompt(request.body)
    named = named or (f"anthropic/{own}" if kind is Kind.VERTEX_AI else own)
    return Asked(
        kind,
        operation,
        named,
        canonical_name(kind, named),
        "POST",
        path,
        query,
        passed(request.headers),
        request.body,
        streamed=members.flag("stream") and generates,
        input_estimate=size.tokens,
        input_most=size.most,
        max_output=members.count("max_tokens") if generates else 0,
        sticky=members.find("container") is not None,
        places=() if place is None else (place,),
    )


def check_models(members: Members) -> None:
    """Refuse what asks another model than the one that is named, or costs more than the prices that are known.

    Raises:
        Unclear: there is such a thing.
    """
    check_others(members)
    speed = members.text("speed")
    if speed not in (None, "standard"):
        raise Unclear("the speed costs more than the prices that are known; leave 'speed' out")
    check_tools(members)
    check_tier(members.find("service_tier"))


class AnthropicMeter:
    """See `usage.Meter`."""

    def __init__(self) -> None:
        self.ended = self.failed = False
        self.text_bytes = 0
        self._usage = Usage()

    def see(self, document: Document) -> None:
        """Note an event, or a whole message. Counts are of the message so far."""
        kind = document.get("type")
        self._usage.tell(document.get("usage"))
        self.failed = self.failed or kind == "error"
        self.ended = self.ended or kind == "message_stop"
        if kind == "message_start":
            message = document.get("message")
            self._usage.tell(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "content_block_delta":
            delta = document.get("delta")
            names = ("text", "thinking", "partial_json") if isinstance(delta, dict) else ()
            self.text_bytes += sum(text_bytes(delta.get(name)) for name in names)

    def word(self, word: bytes) -> None:
        """Note nothing: there are no such words."""

    def tokens(self) -> Tokens | None:
        """The prompt counts without what a cache read or wrote of it."""
        usage = self._usage
        if "output_tokens" not in usage or "input_tokens" not in usage:
            return None
        cached, written = usage.count("cache_read_input_tokens"), usage.count("cache_creation_input_tokens")
        made = usage.count("output_tokens")
        thinking = usage.count("thinking_tokens", within="output_tokens_details")
        read = usage.count("input_tokens") + cached + written
        # What is kept for an hour costs more than what is kept for five minutes.
        kept = usage.count("ephemeral_1h_input_tokens", within="cache_creation")
        told = Tokens(read, made, cached, written, min(thinking, made), min(kept, written))
        return sum((_turn(turn) for turn in usage.objects("iterations") if turn.get("type") == _BESIDE), told)


def _turn(turn: dict[str, Any]) -> Tokens:
    cached, written = counted(turn, "cache_read_input_tokens"), counted(turn, "cache_creation_input_tokens")
    kept = counted(turn.get("cache_creation") or {}, "ephemeral_1h_input_tokens")
    read, made = counted(turn, "input_tokens") + cached + written, counted(turn, "output_tokens")
    return Tokens(read, made, cached, written, cache_written_long=min(kept, written))
