"""An installation's models for users: providers, prices, remaining limits, current calls.

As the gateway returns them and clients read them. See also `recorded_usage`.
"""

from datetime import date, datetime

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded
from agentjobs.api.recorded_usage import JobModelUsage


class LimitLeft(Recorded):
    """One limit of a key for a group of models."""

    bucket: str
    """Its name: provider and key, group, unit."""
    counts: str
    """`requests`, `tokens`, `inputTokens`, `outputTokens` or `concurrentCalls`."""
    most: int
    window: float
    """Seconds: 60 or 86,400; 0 for concurrent calls."""
    left: int
    """What remains now."""


class ClosedKey(Recorded):
    """A key that a provider refused, and that no call uses for a while."""

    model: str
    """The model, or empty for all."""
    reason: str
    until: datetime
    """Until when; in the past if the next call will try it again."""


class ModelKey(Recorded):
    """A key of a provider; only its name."""

    name: str
    """`<provider>/<key>`."""
    limits: list[LimitLeft]
    closed: list[ClosedKey] = Field(default_factory=list)


class ModelProvider(Recorded):
    """A provider, which answers model calls."""

    name: str
    kind: str
    base_url: str
    models: list[str]
    """Patterns of names."""
    keys: list[ModelKey]
    """Models that the namespace may use."""


class Rates(Recorded):
    """US dollars per million tokens, for each sort of token."""

    input: Dollars
    output: Dollars
    cached_input: Dollars
    cache_writes: Dollars
    thinking: Dollars


class PriceTier(Rates):
    """Prices of calls whose input is larger than `above` tokens."""

    above: int


class ModelPrice(Rates):
    """The price of models."""

    models: list[str]
    """Patterns of names; the most specific match applies."""
    tiers: list[PriceTier] = Field(default_factory=list)
    until: date | None = None
    """The last day of the price."""


class ModelFallback(Recorded):
    """The fallbacks of a model."""

    model: str
    to: list[str]
    after: str
    """How long calls wait first, e.g. `30s`."""


class ExhaustedModel(Recorded):
    """A model that cannot be called now; jobs that need it do not start."""

    model: str
    reason: str
    until: datetime


class CallsUnderWay(Recorded):
    """Calls of one model by one job that have not ended."""

    namespace: str
    job: str
    model: str
    calls: int
    since: datetime
    """When the oldest call began."""


class LivingProxy(Recorded):
    """A model proxy that was alive in the last 45 seconds."""

    id: str
    since: datetime
    """Since when it has been alive without a gap."""
    seen: datetime


class ModelsOverview(Recorded):
    """An installation's models, for a namespace or, without one, for an administrator; empty without a proxy."""

    providers: list[ModelProvider] = Field(default_factory=list)
    aliases: dict[str, str] = Field(default_factory=dict)
    fallbacks: list[ModelFallback] = Field(default_factory=list)
    allowed_models: list[str] | None = None
    """Patterns of the models that the namespace may use; null for all."""
    prices: list[ModelPrice] = Field(default_factory=list)
    prices_of: date | None = None
    """The day on which the built-in prices were checked."""
    exhausted: list[ExhaustedModel] = Field(default_factory=list)
    under_way: list[CallsUnderWay] = Field(default_factory=list)
    proxies: list[LivingProxy] = Field(default_factory=list)


class JobModels(Recorded):
    """Usage of a job's calls, by provider and model, most expensive first."""

    items: list[JobModelUsage]
