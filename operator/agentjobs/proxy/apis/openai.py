"""OpenAI's API, as used by OpenAI, Azure and many other hosts: chat completions, responses, embeddings."""

from collections.abc import Iterator
from typing import Any, Final

from agentjobs.models.names import Kind, check
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import CallRefusal, Operation, ParsedRequest, Request, UsageReader, canonical_name
from agentjobs.proxy.apis.body import RejectedBody
from agentjobs.proxy.apis.estimate import prompt
from agentjobs.proxy.apis.headers import passed
from agentjobs.proxy.apis.refusals import bad_request, document, event, no_such_path, openai_error
from agentjobs.proxy.apis.requests import check_answers, check_others, check_tier, check_tools, place_of, plain_body
from agentjobs.proxy.apis.usage import Document, Reader, Usage, objects, text_bytes

_OPERATIONS: Final = {
    "/chat/completions": Operation.GENERATE,
    "/responses": Operation.GENERATE,
    "/embeddings": Operation.EMBED,
}
# Fields that limit an answer, by path. A host that ignores them has no limit.
_OUTPUT_LIMITS: Final = {
    "/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/responses": ("max_output_tokens",),
}


class OpenAIApi:
    """See `api.Api`."""

    kind: Final = Kind.OPENAI
    delay_in_code: Final = False

    def read(self, request: Request) -> ParsedRequest | CallRefusal:
        """Parse a request. Its query is dropped: it only selects the version of Azure's API."""
        operation = _OPERATIONS.get(request.path) if request.method == "POST" else None
        try:
            return no_such_path() if operation is None else self._read(request, operation)
        except (RejectedBody, ValueError) as error:
            return bad_request(str(error))

    def usage_reader(self, request: ParsedRequest) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        return Reader(OpenAIMeter(), silent=request.operation is Operation.EMBED)

    def refusal_body(self, refusal: CallRefusal) -> bytes:
        """Return a refusal as the API's own error."""
        return document({"error": openai_error(refusal)})

    def refusal_event(self, refusal: CallRefusal) -> bytes:
        """Return a refusal as an event of a stream."""
        return event({"error": openai_error(refusal)})

    def _read(self, request: Request, operation: Operation) -> ParsedRequest:
        members = plain_body(request).members()
        named = check(members.text("model") or "")
        check_others(members)
        if members.flag("background"):
            raise RejectedBody("an answer in the background cannot be counted; remove 'background'")
        check_tools(members)
        check_tier(members.find("service_tier"))
        place = place_of(members, named)
        limit_fields = _OUTPUT_LIMITS.get(request.path, ())
        most = [count for name in limit_fields if (count := members.count(name)) is not None]
        options = members.find("stream_options")
        streamed = members.flag("stream")
        reports_usage = request.path != "/chat/completions" or (
            options is not None and options.members().flag("include_usage")
        )
        size = prompt(request.body)
        return ParsedRequest(
            self.kind,
            operation,
            named,
            canonical_name(self.kind, named),
            "POST",
            request.path,
            "",
            passed(request.headers),
            request.body,
            streamed=streamed,
            reports_usage=reports_usage or not streamed,
            input_estimate=size.tokens,
            max_input=size.most,
            max_output=0 if operation is Operation.EMBED else max(most, default=None),
            answers=max(check_answers(members.count("n")), check_answers(members.count("best_of"))),
            sticky=any(members.find(name) is not None for name in ("previous_response_id", "conversation")),
            places=() if place is None else (place,),
        )


class OpenAIMeter:
    """See `usage.Meter`."""

    def __init__(self) -> None:
        self.ended = self.failed = False
        self.text_bytes = 0
        self._usage = Usage()

    def read(self, document: Document) -> None:
        """Read a chunk of a chat, an event of a response, or a complete answer."""
        self._usage.update(document.get("usage"))
        self.failed = self.failed or document.has("error")
        kind = document.get("type")
        if isinstance(kind, str):
            self._read_event(kind, document)
        for choice in objects(document.get("choices")):
            self.ended = self.ended or bool(choice.get("finish_reason"))
            self.text_bytes += sum(map(text_bytes, _texts(choice.get("delta"))))

    def read_other(self, read_other: bytes) -> None:
        """Read the end of a chat."""
        self.ended = self.ended or read_other.startswith(b"[DONE]")

    def tokens(self) -> Tokens | None:
        """Prompts include cached tokens. For some hosts thinking is only in the total."""
        usage = self._usage
        response = "input_tokens" in usage
        prompt, answer = ("input_tokens", "output_tokens") if response else ("prompt_tokens", "completion_tokens")
        if prompt not in usage:
            return None
        read, made = usage.count(prompt), usage.count(answer)
        thinking = usage.count("reasoning_tokens", within=f"{answer}_details")
        uncounted = max(0, usage.count("total_tokens") - read - made)
        made, thinking = made + uncounted, max(thinking, uncounted)
        cached = usage.count("cached_tokens", within=f"{prompt}_details") or usage.count("prompt_cache_hit_tokens")
        written = usage.count("cache_write_tokens", within=f"{prompt}_details")
        cached = min(cached, read)
        return Tokens(read, made, cached, min(written, read - cached), min(thinking, made))

    def _read_event(self, kind: str, document: Document) -> None:
        response = document.get("response") if kind.startswith("response.") else None
        if isinstance(response, dict):
            self._usage.update(response.get("usage"))
        self.ended = self.ended or kind in ("response.completed", "response.incomplete")
        self.failed = self.failed or kind in ("error", "response.failed")
        if kind.endswith(".delta"):
            self.text_bytes += text_bytes(document.get("delta"))


def _texts(delta: Any) -> Iterator[Any]:
    if isinstance(delta, dict):
        yield from (delta.get(name) for name in ("content", "reasoning_content", "reasoning", "refusal"))
        for call in objects(delta.get("tool_calls")):
            function = call.get("function")
            if isinstance(function, dict):
                yield from (function.get("name"), function.get("arguments"))
