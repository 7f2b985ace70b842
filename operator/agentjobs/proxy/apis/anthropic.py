"""Anthropic's API: messages and their token counts. Vertex AI has the same requests and answers at other paths."""

from typing import Any, Final

from agentjobs.models.names import Kind, check
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import CallRefusal, Operation, ParsedRequest, Request, UsageReader, canonical_name
from agentjobs.proxy.apis.body import Members, RejectedBody
from agentjobs.proxy.apis.estimate import prompt
from agentjobs.proxy.apis.headers import passed
from agentjobs.proxy.apis.refusals import (
    anthropic_error,
    bad_request,
    claude_code_details,
    document,
    event,
    no_such_path,
)
from agentjobs.proxy.apis.requests import check_others, check_tier, check_tools, place_of, plain_body
from agentjobs.proxy.apis.usage import Document, Reader, Usage, counted, text_bytes

_OPERATIONS: Final = {"/v1/messages": Operation.GENERATE, "/v1/messages/count_tokens": Operation.COUNT}
_HELLO: Final = "/api/hello"
# Turns of the provider's own that its total excludes; those of other models are rejected.
_BESIDE: Final = "compaction"


class AnthropicApi:
    """See `api.Api`."""

    kind: Final = Kind.ANTHROPIC
    delay_in_code: Final = True

    def read(self, request: Request) -> ParsedRequest | CallRefusal:
        """Parse a request."""
        if request.method in ("HEAD", "GET") and request.path == _HELLO:
            return ParsedRequest(self.kind, Operation.HELLO, "", "", request.method, _HELLO, "", {}, b"")
        operation = _OPERATIONS.get(request.path) if request.method == "POST" else None
        if operation is None:
            return no_such_path()
        # The only query is that of the CLI's client: the same API with its betas.
        query = "beta=true" if "beta=true" in request.query.split("&") else ""
        try:
            return parse_messages(request, kind=self.kind, operation=operation, path=request.path, query=query)
        except (RejectedBody, ValueError) as error:
            return bad_request(str(error))

    def usage_reader(self, request: ParsedRequest) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        return Reader(AnthropicMeter(), free=request.free)

    def refusal_body(self, refusal: CallRefusal) -> bytes:
        """Return a refusal as the API's own error."""
        return document({"type": "error", "error": anthropic_error(refusal) | claude_code_details(refusal)})

    def refusal_event(self, refusal: CallRefusal) -> bytes:
        """Return a refusal as an event of a stream."""
        return event({"type": "error", "error": anthropic_error(refusal) | claude_code_details(refusal)}, name="error")


def parse_messages(
    request: Request, *, kind: Kind, operation: Operation, path: str, query: str = "", named: str = ""
) -> ParsedRequest:
    """Return a request for a message, or for its token count.

    Args:
        named: the model in the path, with its publisher; empty if only the body has it.

    Raises:
        RejectedBody: it must not be passed on.
        ValueError: the model's name is invalid.
    """
    members = plain_body(request).members()
    own = named.removeprefix("anthropic/") if named else check(members.text("model") or "")
    check_models(members)
    place = place_of(members, own)
    generates, size = operation is Operation.GENERATE, prompt(request.body)
    named = named or (f"anthropic/{own}" if kind is Kind.VERTEX_AI else own)
    return ParsedRequest(
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
        max_input=size.most,
        max_output=members.count("max_tokens") if generates else 0,
        sticky=members.find("container") is not None,
        places=() if place is None else (place,),
    )


def check_models(members: Members) -> None:
    """Reject requests for another model, or for options that cost more than the known prices.

    Raises:
        RejectedBody: the request has one.
    """
    check_others(members)
    speed = members.text("speed")
    if speed not in (None, "standard"):
        raise RejectedBody("'speed' costs more than the known prices; remove it")
    check_tools(members)
    check_tier(members.find("service_tier"))


class AnthropicMeter:
    """See `usage.Meter`."""

    def __init__(self) -> None:
        self.ended = self.failed = False
        self.text_bytes = 0
        self._usage = Usage()

    def read(self, document: Document) -> None:
        """Read an event, or a complete message. Counts are cumulative."""
        kind = document.get("type")
        self._usage.update(document.get("usage"))
        self.failed = self.failed or kind == "error"
        self.ended = self.ended or kind == "message_stop"
        if kind == "message_start":
            message = document.get("message")
            self._usage.update(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "content_block_delta":
            delta = document.get("delta")
            names = ("text", "thinking", "partial_json") if isinstance(delta, dict) else ()
            self.text_bytes += sum(text_bytes(delta.get(name)) for name in names)

    def read_other(self, read_other: bytes) -> None:
        """Do nothing: this API has no such words."""

    def tokens(self) -> Tokens | None:
        """The prompt's count excludes tokens that the cache read or wrote."""
        usage = self._usage
        if "output_tokens" not in usage or "input_tokens" not in usage:
            return None
        cached, written = usage.count("cache_read_input_tokens"), usage.count("cache_creation_input_tokens")
        made = usage.count("output_tokens")
        thinking = usage.count("thinking_tokens", within="output_tokens_details")
        read = usage.count("input_tokens") + cached + written
        # Caching for an hour costs more than for five minutes.
        kept = usage.count("ephemeral_1h_input_tokens", within="cache_creation")
        tokens = Tokens(read, made, cached, written, min(thinking, made), min(kept, written))
        return sum((_turn(turn) for turn in usage.objects("iterations") if turn.get("type") == _BESIDE), tokens)


def _turn(turn: dict[str, Any]) -> Tokens:
    cached, written = counted(turn, "cache_read_input_tokens"), counted(turn, "cache_creation_input_tokens")
    kept = counted(turn.get("cache_creation") or {}, "ephemeral_1h_input_tokens")
    read, made = counted(turn, "input_tokens") + cached + written, counted(turn, "output_tokens")
    return Tokens(read, made, cached, written, cache_written_long=min(kept, written))
