"""The values that the proxy and the providers' APIs exchange: what is asked, what is refused, what was used."""

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
    """What is asked for."""

    GENERATE = "generate"
    COUNT = "count"
    """How many tokens a request has: costs nothing, but counts as a request where requests are limited."""
    EMBED = "embed"
    KEEP = "keep"
    """To keep content with the provider (a cache), which costs its tokens."""
    FORGET = "forget"
    """To delete what was kept. It names no model: `Asked.model` is empty."""
    HELLO = "hello"
    """Whether anybody is there. The proxy answers itself, with 200 and no body; nothing is sent."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came from a pod's client."""

    method: str
    path: str
    """As it was sent, not decoded, without the query."""
    query: str
    """As it was sent, without the question mark."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where an asked model's name stands in a body: the bytes `begin` to `end` are a JSON string."""

    begin: int
    end: int
    prefix: str = ""
    """Belongs to the string but not to the name, as `models/`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is understood, and may be sent to a provider of its kind."""

    kind: Kind
    """The kind of the providers that have these requests: clients of one kind ask no other."""
    operation: Operation
    named: str
    """The model as the request names it: an alias of the installation, or the provider's own name."""
    model: str
    """The model as in `agent.model`. Of an alias, `named` says more."""
    method: str
    path: str
    """Below the provider's base URL; with `{model}` for the model's name, and on Vertex AI with `{project}` and
    `{location}`: see `target`."""
    query: str
    headers: Mapping[str, str]
    """Those of the client that go to the provider, with lower-case names; no key is among them."""
    body: bytes
    streamed: bool = False
    """Whether the client asked for an answer in pieces."""
    input_estimate: int = 0
    """Tokens of the prompt; rather too many than too few."""
    input_most: int = 0
    """Tokens of the prompt at most, where that is more than the estimate."""
    max_output: int | None = None
    """Tokens of one answer at most; None where the request does not say, so that the model's own limit holds."""
    answers: int = 1
    """How many answers to the one prompt are asked for; each may have `max_output`."""
    tells_usage: bool = True
    """Whether the answer will say what it used, as far as the request decides that."""
    sticky: bool = False
    """Whether it names, or leaves, something that the provider keeps under the key: other keys do not find it."""
    places: tuple[Place, ...] = ()
    """In `body`, in order."""

    @property
    def free(self) -> bool:
        """Whether it costs nothing, whatever it answers."""
        return self.operation in (Operation.COUNT, Operation.FORGET, Operation.HELLO)

    def target(self, *, project: str = "", location: str = "") -> str:
        """Return path and query below the provider's base URL, with a slash before them."""
        model = self.named
        if self.kind is Kind.VERTEX_AI:
            publisher, _, name = model.rpartition("/")
            model = f"publishers/{publisher or 'google'}/models/{name}"
        # Not by format(): the rest of the path is a stranger's.
        path = self.path.replace("{project}", quote(project, safe="")).replace("{location}", quote(location, safe=""))
        return path.replace("{model}", quote(model, safe="/:@+")) + (f"?{self.query}" if self.query else "")

    def with_model(self, model: str) -> "Asked":
        """Return the same request to another model, named as in `agent.model`; every other byte of it is as it was.

        Raises:
            ValueError: the name is no model's of this API.
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
    """Return what an API itself calls a model as `agent.model` has it.

    On Vertex AI, `named` begins with the publisher where that is not Google: `anthropic/claude-…` is canonical, and
    anything else may be an alias.
    """
    if kind is Kind.VERTEX_AI and "/" in named:
        return named
    return names.canonical(SERVES[kind][0], named)


def own_name(kind: Kind, model: str) -> str:
    """Return what an API calls a model that is named as in `agent.model`; see `canonical_name`.

    Raises:
        ValueError: models of that name are asked by another API, or it is no name.
    """
    api = names.api_of(names.check(model))
    if api not in SERVES[kind]:
        raise ValueError(f"{model!r} is not a model of the API {kind.value}")
    named = names.plain(model)
    return f"anthropic/{named}" if kind is Kind.VERTEX_AI and api is names.Api.ANTHROPIC else named


def _in_body(kind: Kind, named: str) -> str:
    return named.rpartition("/")[2] if kind is Kind.VERTEX_AI else named


class UsageReader(Protocol):
    """Watches an answer pass by, and tells what it used. It holds a bounded part of it.

    It is asked when the answer has ended, or was cut; what is fed to it later need not count.
    """

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer's body, cut anywhere. Never raises."""
        ...

    def tokens(self) -> Tokens | None:
        """Return what the provider told so far; None when it told nothing, or nothing that can be believed."""
        ...

    @property
    def output_seen(self) -> int:
        """Tokens of what came, estimated by its bytes: what an answer that was cut cost at least."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the answer ended as its API ends one. An error within a stream is no such end. Of an answer that is
        too large to look at, its frame has to say it: this is true."""
        ...

    @property
    def between(self) -> bool:
        """Whether an event of ours may follow what came so far. After half an event it would only complete nonsense,
        which clients take for a fault of theirs; a connection that ends is clear to all of them."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the proxy does not ask the provider, or asks no more."""

    status: int
    error_class: ErrorClass
    message: str
    """A sentence with the cure, without secrets."""
    retry_after: float | None = None
    """Seconds until it may be tried again; None where that helps nothing."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, besides its content type. Clients that would try again are told not to."""
        if self.retry_after is None:
            return {"x-should-retry": "false"}
        return {"retry-after": str(max(1, math.ceil(self.retry_after)))}


class Api(Protocol):
    """What there is to know of one API. Pure."""

    @property
    def kind(self) -> Kind:
        """Which one it is."""
        ...

    @property
    def tells_delays(self) -> bool:
        """Whether a provider's long delay is told in the code of a refusal: a client of it shows no headers."""
        ...

    def read(self, request: Request) -> Asked | Refusal:
        """Understand a request whose path is below the API's own, as `apis.find` tells it. Never raises."""
        ...

    def usage_reader(self, asked: Asked) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        ...

    def refusal_body(self, refusal: Refusal) -> bytes:
        """Return a refusal as the JSON that the provider would answer an error with."""
        ...

    def refusal_event(self, refusal: Refusal) -> bytes:
        """Return a refusal as the event that ends a stream whose headers are sent."""
        ...
