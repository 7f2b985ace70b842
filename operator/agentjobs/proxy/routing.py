"""Which ways there are to make a call: providers and keys, in the order in which they are tried, and what it may cost.

Pure. `models.config` says what the installation allows; here that becomes requests.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from agentjobs.contract import ErrorClass
from agentjobs.models.budget import NOTHING, Limits
from agentjobs.models.config import Key, Models, Provider, Route
from agentjobs.models.config import Refusal as Unrouted
from agentjobs.models.names import Api, Kind
from agentjobs.models.prices import Price
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import Asked, Operation, Refusal

_APIS: Final = {Kind.GEMINI: Api.GEMINI, Kind.OPENAI: Api.OPENAI, Kind.ANTHROPIC: Api.ANTHROPIC}
_STATUS: Final = {ErrorClass.MODEL_BAD_REQUEST: 400, ErrorClass.MODEL_NOT_ALLOWED: 403, ErrorClass.MODEL_AUTH: 403}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make a call: a model at a provider, with a key."""

    model: str
    provider: Provider
    key: Key
    price: Price | None

    def cost(self, tokens: Tokens) -> Decimal:
        """Return what a call cost, in dollars; nothing where no price is known."""
        return NOTHING if self.price is None else self.price.cost(tokens)

    def request(self, asked: Asked, key: str) -> tuple[str, dict[str, str], bytes]:
        """Return URL, headers and body of the request.

        Args:
            key: what the key's place holds; empty where none is needed.
        """
        sent = asked.with_model(self.model) if asked.model else asked
        target = sent.target(project=self.provider.project, location=self.provider.location)
        if self.provider.api_version:
            target += f"{'&' if '?' in target else '?'}api-version={self.provider.api_version}"
        headers = {**sent.headers, **{name.lower(): value for name, value in self.provider.headers.items()}}
        if key:
            name = self.provider.key_header.lower()
            headers[name] = f"Bearer {key}" if name == "authorization" else key
        return f"{self.provider.base_url}{target}", headers, sent.body


@dataclass(frozen=True, slots=True)
class Stage:
    """Ways of one model, any of which will do."""

    model: str
    ways: tuple[Way, ...]
    aliases: tuple[str, ...] = ()
    """Other names of the model at this installation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a call is made."""

    asked: str
    """What the pod asked for: an alias of the installation, or a model as in `agent.model`."""
    stages: tuple[Stage, ...]
    """The model that was asked for, then those that answer in its place."""
    after: timedelta
    """How long a stage that is not the last may keep a call waiting."""
    tokens_in: int
    """Tokens of the prompt, by an estimate that is rather too high."""
    tokens_in_most: int
    """Tokens of the prompt at most; the estimate, where it could be measured. A budget reserves these."""
    tokens_out: int
    """Tokens of the answer at most."""

    @property
    def most(self) -> Decimal:
        """Return what it may cost at most, whichever way it goes, in dollars."""
        prices = [way.price for stage in self.stages for way in stage.ways if way.price is not None]
        return max((price.most(self.tokens_in_most, self.tokens_out) for price in prices), default=NOTHING)


def plan(models: Models, asked: Asked, *, namespace: str, limits: Limits, on: date) -> Plan | Refusal:
    """Say how a request of a namespace is answered, under a job's budget.

    Args:
        on: the day, by which prices hold.
    """
    if asked.operation is Operation.FORGET:
        return _forgetting(models, asked, namespace)
    api = _APIS.get(asked.kind)  # none for Vertex AI, which has models of two
    route = models.resolve(asked.named if api else asked.model, namespace, api=api, on=on)
    if isinstance(route, Unrouted):
        return Refusal(_STATUS.get(route.error, 400), route.error, route.message)
    priced = limits.cost is not None and not asked.free
    if priced and route.price is None:
        said = (
            f"The price of model {route.model} is not known, and the job has a limit of cost; add the price to "
            f"{models.source} (prices)."
        )
        return Refusal(400, ErrorClass.UNKNOWN_MODEL_PRICE, said)
    if not asked.tells_usage and (limits.cost is not None or limits.tokens is not None):
        said = (
            "The job has a limit of cost or tokens, and a stream of this API tells what it used only where it is asked "
            'to; set stream_options to {"include_usage": true}.'
        )
        return Refusal(400, ErrorClass.MODEL_BAD_REQUEST, said)
    fallbacks = [] if asked.sticky else [other for other in route.fallbacks if other.price is not None or not priced]
    stages = [_stage(one, asked, models) for one in (route, *fallbacks)]
    if not stages[0].ways:
        said = (
            f"Model {route.model} has no provider of the kind {asked.kind.value}, whose API was asked; add "
            f"one to {models.source}."
        )
        return Refusal(403, ErrorClass.MODEL_AUTH, said)
    return Plan(
        route.asked if route.asked in models.aliases else route.model,
        tuple(stage for stage in stages if stage.ways),
        route.fallback_after,
        asked.input_estimate,
        max(asked.input_estimate, asked.input_most),
        _output(asked, route),
    )


def _forgetting(models: Models, asked: Asked, namespace: str) -> Plan | Refusal:
    """Say who deletes what a provider keeps: the one that `_stage` takes for what is kept."""
    ways = [
        Way("", candidate.provider, key, None)
        for candidate in models.serving(asked.kind, namespace)
        for key in candidate.keys
    ]
    if not ways:
        said = f"Namespace {namespace} has no key of a provider of the kind {asked.kind.value}."
        return Refusal(403, ErrorClass.MODEL_AUTH, said)
    return Plan("", (Stage("", (ways[0],)),), timedelta(0), 0, 0, 0)


def _stage(route: Route, asked: Asked, models: Models) -> Stage:
    ways = [
        Way(route.model, candidate.provider, key, route.price)
        for candidate in route.candidates
        if candidate.provider.kind is asked.kind
        for key in candidate.keys
    ]
    # What a provider keeps belongs to a key, and other keys do not find it. So all that is kept belongs to the first.
    return Stage(route.model, tuple(ways[:1] if asked.sticky else ways), models.aliases_of(route.model))


def _output(asked: Asked, route: Route) -> int:
    if asked.operation is not Operation.GENERATE:
        return 0
    # No more than any of the models gives: what is reserved is taken from limits that others wait for.
    most = max(route.max_output, *(other.max_output for other in route.fallbacks), 0)
    return min(most, most if asked.max_output is None else asked.max_output) * asked.answers
