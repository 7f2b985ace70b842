"""The Gemini API: its paths, requests and answers. Vertex AI has the same requests and answers at other paths."""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

from agentjobs.models.names import Kind, check
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import CallRefusal, Operation, ParsedRequest, Place, Request, UsageReader, canonical_name
from agentjobs.proxy.apis.body import Members, RejectedBody, counted
from agentjobs.proxy.apis.estimate import prompt
from agentjobs.proxy.apis.headers import passed
from agentjobs.proxy.apis.refusals import bad_request, document, event, google_error, no_such_path
from agentjobs.proxy.apis.requests import check_answers, check_tier, place_of, plain_body
from agentjobs.proxy.apis.usage import Document, Reader, Usage, objects, text_bytes

_MODEL_PATH: Final = re.compile(r"/(v1|v1beta)/models/([^?#%\\]+):([A-Za-z]+)")
_CACHES_PATH: Final = re.compile(r"/(?:v1|v1beta)/cachedContents")
_CACHE_PATH: Final = re.compile(r"/(?:v1|v1beta)/cachedContents/[A-Za-z0-9_-]{1,128}")
_CACHE: Final = re.compile(rb'"cachedContents/[A-Za-z0-9_-]{1,128}"')
OPERATIONS: Final = {
    "generateContent": Operation.GENERATE,
    "streamGenerateContent": Operation.GENERATE,
    "countTokens": Operation.COUNT,
}
_OPERATIONS: Final = OPERATIONS | {"embedContent": Operation.EMBED, "batchEmbedContents": Operation.EMBED}
# A cache costs by the hour, which is not counted here; so a request may keep it for at most a day.
MAX_CACHE_SECONDS: Final = 86_400
_SECONDS: Final = re.compile(r"(\d{1,9})(?:\.\d{1,9})?s")
# Size of a picture in an answer (1,290 tokens), as bytes of text.
_IMAGE_TEXT_BYTES: Final = 4000


class GeminiApi:
    """See `api.Api`."""

    kind: Final = Kind.GEMINI
    delay_in_code: Final = False

    def read(self, request: Request) -> ParsedRequest | CallRefusal:
        """Parse a request."""
        try:
            return self._read(request) or no_such_path()
        except (RejectedBody, ValueError) as error:
            return bad_request(str(error))

    def usage_reader(self, request: ParsedRequest) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        silent = request.operation in (Operation.EMBED, Operation.KEEP)
        return Reader(GeminiMeter(keeps=request.operation is Operation.KEEP), free=request.free, silent=silent)

    def refusal_body(self, refusal: CallRefusal) -> bytes:
        """Return a refusal as the API's own error."""
        return document({"error": google_error(refusal)})

    def refusal_event(self, refusal: CallRefusal) -> bytes:
        """Return an error as an event of a stream; in a stream that is an array it is not an item."""
        return event({"error": google_error(refusal)})

    def _read(self, request: Request) -> ParsedRequest | None:
        if request.method == "DELETE" and _CACHE_PATH.fullmatch(request.path):
            headers = passed(request.headers)
            return ParsedRequest(
                self.kind, Operation.FORGET, "", "", "DELETE", request.path, "", headers, b"", sticky=True
            )
        if request.method != "POST":
            return None
        if _CACHES_PATH.fullmatch(request.path):
            return self._cache(request)
        found = _MODEL_PATH.fullmatch(request.path)
        if found is None or found[3] not in _OPERATIONS:
            return None
        return parse_content(
            request,
            kind=self.kind,
            operation=_OPERATIONS[found[3]],
            named=check(found[2]),
            path=f"/{found[1]}/models/{{model}}:{found[3]}",
            streamed=found[3].startswith("stream"),
        )

    def _cache(self, request: Request) -> ParsedRequest:
        body = plain_body(request)
        members = body.members()
        model = members.text("model") or ""
        named = check(model.removeprefix("models/"))
        if members.either("expireTime", "expire_time") is not None:
            raise RejectedBody("set 'ttl' of a cache, not 'expireTime'")
        ttl = members.text("ttl")
        seconds = _SECONDS.fullmatch(ttl) if ttl is not None else None
        if ttl is not None and (seconds is None or int(seconds[1]) > MAX_CACHE_SECONDS):
            raise RejectedBody(f"'ttl' of a cache must be in seconds, such as '3600s', at most {MAX_CACHE_SECONDS}")
        size = prompt(request.body)
        return ParsedRequest(
            self.kind,
            Operation.KEEP,
            named,
            canonical_name(self.kind, named),
            "POST",
            request.path,
            "",
            passed(request.headers),
            request.body,
            input_estimate=size.tokens,
            max_input=size.most,
            max_output=0,
            sticky=True,
            places=_places(members, named),
        )


def parse_content(
    request: Request, *, kind: Kind, operation: Operation, named: str, path: str, streamed: bool
) -> ParsedRequest:
    """Return a request for content, its token count or its embedding.

    Raises:
        RejectedBody: it must not be passed on.
    """
    members = plain_body(request).members()
    settings = members.either("generationConfig", "generation_config")
    settled = Members({}) if settings is None else settings.members()
    cache = members.either("cachedContent", "cached_content")
    if cache is not None and not (kind is Kind.GEMINI and _CACHE.fullmatch(cache.bytes)):
        raise RejectedBody("'cachedContent' must be the name of a cache that was created through this proxy")
    check_tier(members.either("serviceTier", "service_tier"))
    generates = operation is Operation.GENERATE
    most = counted(settled.either("maxOutputTokens", "max_output_tokens"), "maxOutputTokens")
    answers = counted(settled.either("candidateCount", "candidate_count"), "candidateCount")
    size = prompt(request.body)
    return ParsedRequest(
        kind,
        operation,
        named,
        canonical_name(kind, named),
        "POST",
        path,
        _query(request.query),
        passed(request.headers),
        request.body,
        streamed=streamed,
        input_estimate=size.tokens,
        max_input=size.most,
        max_output=most if generates else 0,
        answers=check_answers(answers),
        sticky=cache is not None,
        places=_places(members, named),
    )


def _query(query: str) -> str:
    """Return the query to send: the format of the answer. A key in it is removed."""
    found = dict(parse_qsl(query, keep_blank_values=True))
    found.pop("key", None)
    form = found.pop("alt", found.pop("$alt", ""))
    if found or form not in ("", "sse", "json"):
        # `fields` could exclude the usage from the answer.
        raise RejectedBody("its query has other parameters than alt=sse or alt=json")
    return "alt=sse" if form == "sse" else ""


def _places(members: Members, named: str) -> tuple[Place, ...]:
    """Return the position of the model in a body; it must match the path."""
    requests = members.find("requests")
    inner = members.either("generateContentRequest", "generate_content_request")
    holders = [members, *(each.members() for each in (requests.items() if requests else ()))]
    holders += [] if inner is None else [inner.members()]
    return tuple(place for holder in holders if (place := place_of(holder, named, prefix="models/")) is not None)


class GeminiMeter:
    """See `usage.Meter`."""

    def __init__(self, *, keeps: bool = False) -> None:
        self.ended = self.failed = False
        self.text_bytes = 0
        self._usage = Usage()
        self._keeps = keeps

    def read(self, document: Document) -> None:
        """Read a chunk, or a complete answer."""
        self._usage.update(document.get("usageMetadata"))
        self.failed = self.failed or document.has("error")
        blocked = document.get("promptFeedback")
        self.ended = self.ended or (isinstance(blocked, dict) and bool(blocked.get("blockReason")))
        for candidate in objects(document.get("candidates")):
            self.ended = self.ended or bool(candidate.get("finishReason"))
            content = candidate.get("content")
            for part in objects(content.get("parts") if isinstance(content, dict) else None):
                self.text_bytes += _part_bytes(part)

    def read_other(self, read_other: bytes) -> None:
        """Do nothing: this API has no such words."""

    def tokens(self) -> Tokens | None:
        """Prompts include cached tokens, candidates exclude thoughts. Results of provider tools are input, too."""
        usage = self._usage
        total = usage.count("totalTokenCount")
        if self._keeps:
            return Tokens(input=total, cache_written=total) if total else None
        prompt = usage.count("promptTokenCount")
        if not prompt:
            return None
        read = prompt + usage.count("toolUsePromptTokenCount")
        thinking = usage.count("thoughtsTokenCount")
        made = usage.count("candidatesTokenCount") + thinking
        # For some models thoughts are only in the total.
        output = max(made, total - read)
        return Tokens(
            read, output, min(usage.count("cachedContentTokenCount"), read), thinking=thinking + output - made
        )


def _part_bytes(part: dict[str, Any]) -> int:
    text, call = part.get("text"), part.get("functionCall")
    size = text_bytes(text)
    size += len(document(call)) if isinstance(call, dict) else 0
    return size + (_IMAGE_TEXT_BYTES if "inlineData" in part else 0)
