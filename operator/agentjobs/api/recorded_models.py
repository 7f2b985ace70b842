"""What users are told of an installation's models: who answers them, what they cost, what is left of limits, who calls.

As the gateway answers and clients read; beside `recorded_usage`.
"""

from datetime import date, datetime

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded
from agentjobs.api.recorded_usage import JobModelUsage


class LimitLeft(Recorded):
    """One limit of a key for a group of models."""

    bucket: str
    """Its name: provider and key, group, what it limits."""
    counts: str
    """`requests`, `tokens`, `inputTokens`, `outputTokens` or `concurrentCalls`."""
    most: int
    window: float
    """Seconds: 60 or 86,400; 0 for calls at once."""
    left: int
    """What a call may still take now."""


class ClosedKey(Recorded):
    """That a provider refused a key, which no call uses for a while."""

    model: str
    """Of which model; empty for all."""
    reason: str
    until: datetime
    """In the past when the next call tries it again."""


class ModelKey(Recorded):
    """A key of a provider, by its name alone."""

    name: str
    """`<provider>/<key>`."""
    limits: list[LimitLeft]
    closed: list[ClosedKey] = Field(default_factory=list)


class ModelProvider(Recorded):
    """Who answers calls of models."""

    name: str
    kind: str
    base_url: str
    models: list[str]
    """Patterns of names."""
    keys: list[ModelKey]
    """Those that the namespace may use."""


class Rates(Recorded):
    """Dollars for a million tokens of each sort."""

    input: Dollars
    output: Dollars
    cached_input: Dollars
    cache_writes: Dollars
    thinking: Dollars


class PriceTier(Rates):
    """Prices of calls whose input is larger than `above` tokens."""

    above: int


class ModelPrice(Rates):
    """What models cost."""

    models: list[str]
    """Patterns of names; of several that match a model, the most exact one holds."""
    tiers: list[PriceTier] = Field(default_factory=list)
    until: date | None = None
    """The last day of the price."""


class ModelFallback(Recorded):
    """Which models answer in place of one."""

    model: str
    to: list[str]
    after: str
    """How long calls wait before, as `30s`."""


class ExhaustedModel(Recorded):
    """A model that no call can be made of now; jobs that need it are not started."""

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
    """When the oldest of them began."""


class LivingProxy(Recorded):
    """A model proxy that was seen in the last 45 seconds."""

    id: str
    since: datetime
    """When it began to be seen without a gap."""
    seen: datetime


class ModelsOverview(Recorded):
    """An installation's models, as a namespace or, without one, an administrator sees them; empty without a proxy."""

    providers: list[ModelProvider] = Field(default_factory=list)
    aliases: dict[str, str] = Field(default_factory=dict)
    fallbacks: list[ModelFallback] = Field(default_factory=list)
    allowed_models: list[str] | None = None
    """Patterns of the models that the namespace may ask; null for all."""
    prices: list[ModelPrice] = Field(default_factory=list)
    prices_of: date | None = None
    """The day the prices that ship were checked."""
    exhausted: list[ExhaustedModel] = Field(default_factory=list)
    under_way: list[CallsUnderWay] = Field(default_factory=list)
    proxies: list[LivingProxy] = Field(default_factory=list)


class JobModels(Recorded):
    """What the calls of a job used, by provider and model, the costliest first."""

    items: list[JobModelUsage]
