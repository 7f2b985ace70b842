"""The possible ways to make a call: providers and keys, in the order of attempts, and its maximum cost.

Pure. `models.config` has the installation's rules; here they become requests.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from agentjobs.contract import ErrorClass
from agentjobs.models.budget import NOTHING, Limits
from agentjobs.models.config import Key, ModelRefusal, Models, Provider, Route
from agentjobs.models.names import Api, Kind
from agentjobs.models.prices import Price
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import CallRefusal, Operation, ParsedRequest

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
        """Return a call's cost in dollars; nothing without a known price."""
        return NOTHING if self.price is None else self.price.cost(tokens)

    def request(self, parsed: ParsedRequest, key: str) -> tuple[str, dict[str, str], bytes]:
        """Return URL, headers and body of the request.

        Args:
            key: its value; empty if none is needed.
        """
        sent = parsed.with_model(self.model) if parsed.model else parsed
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
    """Equivalent ways to call one model."""

    model: str
    ways: tuple[Way, ...]
    aliases: tuple[str, ...] = ()
    """Other names of the model in this installation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a call is made."""

    requested: str
    """The model in the request: an alias of the installation, or a model as in `agent.model`."""
    stages: tuple[Stage, ...]
    """The requested model, then its fallbacks."""
    after: timedelta
    """How long a stage may keep a call waiting, except the last one."""
    tokens_in: int
    """Tokens of the prompt, by a high estimate."""
    max_tokens_in: int
    """Maximum tokens of the prompt, or the estimate if it was measurable. A budget reserves these."""
    tokens_out: int
    """Maximum tokens of the answer."""

    @property
    def max_cost(self) -> Decimal:
        """Return the maximum cost in dollars, over all ways."""
        prices = [way.price for stage in self.stages for way in stage.ways if way.price is not None]
        return max((price.most(self.max_tokens_in, self.tokens_out) for price in prices), default=NOTHING)


def plan(models: Models, parsed: ParsedRequest, *, namespace: str, limits: Limits, on: date) -> Plan | CallRefusal:
    """Return how to answer a request of a namespace, under a job's budget.

    Args:
        on: the day, for prices.
    """
    if parsed.operation is Operation.FORGET:
        return _forgetting(models, parsed, namespace)
    api = _APIS.get(parsed.kind)  # none for Vertex AI, which serves models of two APIs
    route = models.resolve(parsed.named if api else parsed.model, namespace, api=api, on=on)
    if isinstance(route, ModelRefusal):
        return CallRefusal(_STATUS.get(route.error, 400), route.error, route.message)
    priced = limits.cost is not None and not parsed.free
    if priced and route.price is None:
        message = (
            f"The price of model {route.model} is unknown, and the job has a cost limit; add the price to "
            f"{models.source} (prices)."
        )
        return CallRefusal(400, ErrorClass.UNKNOWN_MODEL_PRICE, message)
    if not parsed.reports_usage and (limits.cost is not None or limits.tokens is not None):
        message = (
            "The job has a limit on cost or tokens, and a stream of this API only reports its usage on request; "
            'set stream_options to {"include_usage": true}.'
        )
        return CallRefusal(400, ErrorClass.MODEL_BAD_REQUEST, message)
    fallbacks = [] if parsed.sticky else [other for other in route.fallbacks if other.price is not None or not priced]
    stages = [_stage(each, parsed, models) for each in (route, *fallbacks)]
    if not stages[0].ways:
        message = (
            f"Model {route.model} has no provider of kind {parsed.kind.value}, whose API was called; add "
            f"one to {models.source}."
        )
        return CallRefusal(403, ErrorClass.MODEL_AUTH, message)
    return Plan(
        route.requested if route.requested in models.aliases else route.model,
        tuple(stage for stage in stages if stage.ways),
        route.fallback_after,
        parsed.input_estimate,
        max(parsed.input_estimate, parsed.max_input),
        _output(parsed, route),
    )


def _forgetting(models: Models, parsed: ParsedRequest, namespace: str) -> Plan | CallRefusal:
    """Return which key deletes an object stored at a provider: the one that `_stage` uses for storing."""
    ways = [
        Way("", candidate.provider, key, None)
        for candidate in models.serving(parsed.kind, namespace)
        for key in candidate.keys
    ]
    if not ways:
        message = f"Namespace {namespace} has no key of a provider of kind {parsed.kind.value}."
        return CallRefusal(403, ErrorClass.MODEL_AUTH, message)
    return Plan("", (Stage("", (ways[0],)),), timedelta(0), 0, 0, 0)


def _stage(route: Route, parsed: ParsedRequest, models: Models) -> Stage:
    ways = [
        Way(route.model, candidate.provider, key, route.price)
        for candidate in route.candidates
        if candidate.provider.kind is parsed.kind
        for key in candidate.keys
    ]
    # Stored objects belong to a key, and other keys cannot find them. So the first key stores all of them.
    return Stage(route.model, tuple(ways[:1] if parsed.sticky else ways), models.aliases_of(route.model))


def _output(parsed: ParsedRequest, route: Route) -> int:
    if parsed.operation is not Operation.GENERATE:
        return 0
    # At most the model's own maximum: a reservation blocks limits that other calls wait for.
    most = max(route.max_output, *(other.max_output for other in route.fallbacks), 0)
    return min(most, most if parsed.max_output is None else parsed.max_output) * parsed.answers
