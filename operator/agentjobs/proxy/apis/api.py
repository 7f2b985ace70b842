"""The values exchanged between the proxy and the providers' APIs: request, rejection, usage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol
from urllib.parse import quote

import msgspec

from agentjobs.contract import ErrorClass
from agentjobs.models import names
from agentjobs.models.names import SERVES, Kind
from agentjobs.models.tokens import Tokens


class Operation(StrEnum):
    """The purpose of a request."""

    GENERATE = "generate"
    COUNT = "count"
    """Counts tokens: free, but counts as a request for request limits."""
    EMBED = "embed"
    KEEP = "keep"
    """Stores content at the provider (a cache), which costs its tokens."""
    FORGET = "forget"
    """Deletes stored content. It has no model: `ParsedRequest.model` is empty."""
    HELLO = "hello"
    """A ping. The proxy answers with 200 and no body; nothing is sent."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a pod's client."""

    method: str
    path: str
    """As sent, not decoded, without the query."""
    query: str
    """As sent, without the question mark."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a model's name in a body: the bytes `begin` to `end` are a JSON string."""

    begin: int
    end: int
    prefix: str = ""
    """A prefix in the string that is not part of the name, such as `models/`."""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A parsed request that may be sent to a provider of its kind."""

    kind: Kind
    """The kind of providers with this API."""
    operation: Operation
    named: str
    """The model in the request: an alias of the installation, or the provider's own name."""
    model: str
    """The model as in `agent.model`. For an alias, see `named`."""
    method: str
    path: str
    """Relative to the provider's base URL; with `{model}` for the model's name, and on Vertex AI with `{project}` and
    `{location}`: see `target`."""
    query: str
    headers: Mapping[str, str]
    """The client's headers that go to the provider, with lower-case names; without keys."""
    body: bytes
    streamed: bool = False
    """Whether the client requested a stream."""
    input_estimate: int = 0
    """Estimated tokens of the prompt, rounded up where in doubt."""
    max_input: int = 0
    """Maximum tokens of the prompt, if higher than the estimate."""
    max_output: int | None = None
    """Maximum tokens of one answer; None if not set, so that the model's own limit applies."""
    answers: int = 1
    """The number of answers to the prompt; each may have `max_output`."""
    reports_usage: bool = True
    """Whether the answer will contain its usage, as far as the request decides that."""
    sticky: bool = False
    """Whether it uses or creates an object stored under the key: other keys cannot find it."""
    places: tuple[Place, ...] = ()
    """In `body`, in order."""

    @property
    def free(self) -> bool:
        """Whether it is free, whatever the answer."""
        return self.operation in (Operation.COUNT, Operation.FORGET, Operation.HELLO)

    def target(self, *, project: str = "", location: str = "") -> str:
        """Return path and query relative to the provider's base URL, with a leading slash."""
        model = self.named
        if self.kind is Kind.VERTEX_AI:
            publisher, _, name = model.rpartition("/")
            model = f"publishers/{publisher or 'google'}/models/{name}"
        # Not with format(): the rest of the path comes from the client.
        path = self.path.replace("{project}", quote(project, safe="")).replace("{location}", quote(location, safe=""))
        return path.replace("{model}", quote(model, safe="/:@+")) + (f"?{self.query}" if self.query else "")

    def with_model(self, model: str) -> "ParsedRequest":
        """Return the same request for another model, named as in `agent.model`; all other bytes are unchanged.

        Raises:
            ValueError: the name is not a model of this API.
        """
        named = own_name(self.kind, model)
        if named == self.named:
            return replace(self, model=model)
        pieces: list[bytes] = []
        places: list[Place] = []
        at = size = 0
        for place in self.places:
            text = msgspec.json.encode(place.prefix + _in_body(self.kind, named))
            size += place.begin - at
            places.append(Place(size, size + len(text), place.prefix))
            size += len(text)
            pieces += [self.body[at : place.begin], text]
            at = place.end
        body = b"".join([*pieces, self.body[at:]]) if places else self.body
        return replace(self, named=named, model=model, body=body, places=tuple(places))


def canonical_name(kind: Kind, named: str) -> str:
    """Return an API's name of a model as in `agent.model`.

    On Vertex AI, `named` begins with the publisher unless it is Google: `anthropic/claude-…` is canonical; other
    publishers may be part of an alias.
    """
    if kind is Kind.VERTEX_AI and "/" in named:
        return named
    return names.canonical(SERVES[kind][0], named)


def own_name(kind: Kind, model: str) -> str:
    """Return an API's name of a model given as in `agent.model`; see `canonical_name`.

    Raises:
        ValueError: the model belongs to another API, or the name is invalid.
    """
    api = names.api_of(names.check(model))
    if api not in SERVES[kind]:
        raise ValueError(f"{model!r} is not a model of the API {kind.value}")
    named = names.plain(model)
    return f"anthropic/{named}" if kind is Kind.VERTEX_AI and api is names.Api.ANTHROPIC else named


def _in_body(kind: Kind, named: str) -> str:
    return named.rpartition("/")[2] if kind is Kind.VERTEX_AI else named


class UsageReader(Protocol):
    """Reads the usage from a passing answer. Its buffer is bounded.

    It is queried after the answer has ended or was cut; later input may be ignored.
    """

    def feed(self, chunk: bytes) -> None:
        """Process the next bytes of the body, in arbitrary pieces. Never raises."""
        ...

    def tokens(self) -> Tokens | None:
        """Return the provider's usage; None if it is missing or implausible."""
        ...

    @property
    def received_output(self) -> int:
        """Tokens of the received part, estimated by its size: the minimum usage of an answer that was cut."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the answer ended as its API requires. An error within a stream is not such an end. True for an answer
        that is too large to read, whose HTTP framing must show it."""
        ...

    @property
    def between(self) -> bool:
        """Whether our own event may follow. After an incomplete event, clients would fail to parse it; a closed
        connection is clear to all of them."""
        ...


@dataclass(frozen=True, slots=True)
class CallRefusal:
    """Why the proxy does not call the provider."""

    status: int
    error_class: ErrorClass
    message: str
    """A sentence that names the cure. It contains no secrets."""
    retry_after: float | None = None
    """Seconds until a retry; None if a retry does not help."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response besides its content type. Clients that would retry get a header against it."""
        if self.retry_after is None:
            return {"x-should-retry": "false"}
        return {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class Api(Protocol):
    """One API. Pure."""

    @property
    def kind(self) -> Kind:
        """The kind of providers with this API."""
        ...

    @property
    def delay_in_code(self) -> bool:
        """Whether a long delay is part of the error code: one client of this API does not expose headers."""
        ...

    def read(self, request: Request) -> ParsedRequest | CallRefusal:
        """Parse a request with a path relative to the API's, from `apis.find`. Never raises."""
        ...

    def usage_reader(self, request: ParsedRequest) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        ...

    def refusal_body(self, refusal: CallRefusal) -> bytes:
        """Return an error response as the provider's JSON."""
        ...

    def refusal_event(self, refusal: CallRefusal) -> bytes:
        """Return an error as the event that ends a stream after its headers."""
        ...
