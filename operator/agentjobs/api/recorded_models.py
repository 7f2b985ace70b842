"""An installation's models as the gateway returns them: providers, prices, remaining limits, running calls."""

from datetime import date, datetime

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded
from agentjobs.api.recorded_usage import JobModelUsage


class LimitLeft(Recorded):
    """One limit of a key for a group of models."""

    bucket: str
    """Its name: provider, key, group of models, and what it limits."""
    counts: str
    """What it limits: `requests`, `tokens`, `inputTokens`, `outputTokens` or `concurrentCalls`."""
    most: int
    """The limit."""
    window: float
    """Its period in seconds: 60 or 86,400; 0 for concurrent calls."""
    left: int
    """What remains of it now."""


class ClosedKey(Recorded):
    """A key that no call uses for a while, because its provider refused it."""

    model: str
    """The model for which it was refused; empty for all models."""
    reason: str
    """Why it was refused."""
    until: datetime
    """When it may be used again."""


class ModelKey(Recorded):
    """A key of a provider. Its value is never shown."""

    name: str
    """`<provider>/<key>`."""
    limits: list[LimitLeft]
    """Its limits."""
    closed: list[ClosedKey] = Field(default_factory=list)
    """The models for which it cannot be used now."""


class ModelProvider(Recorded):
    """A provider of models."""

    name: str
    """Its name in the models file."""
    kind: str
    """The API that it speaks."""
    base_url: str
    """The URL of its API."""
    models: list[str]
    """Patterns of the names of its models."""
    keys: list[ModelKey]
    """The keys that the namespace may use."""


class Rates(Recorded):
    """Prices in US dollars for a million tokens."""

    input: Dollars
    """The price of input."""
    output: Dollars
    """The price of output."""
    cached_input: Dollars
    """The price of input that comes from the provider's cache."""
    cache_writes: Dollars
    """The price of input that is written to the provider's cache."""
    thinking: Dollars
    """The price of output that is thinking."""


class PriceTier(Rates):
    """Prices of calls with a large input."""

    above: int
    """The number of input tokens above which these prices apply."""


class ModelPrice(Rates):
    """The price of one or more models."""

    models: list[str]
    """Patterns of model names; the most specific pattern applies."""
    tiers: list[PriceTier] = Field(default_factory=list)
    """Prices of calls with a larger input."""
    until: date | None = None
    """The last day on which the price applies; null for no end."""


class ModelFallback(Recorded):
    """The models that answer instead of another one."""

    model: str
    """The model that they replace."""
    to: list[str]
    """Its fallbacks, in the order in which they are tried."""
    after: str
    """How long a call waits for the model before a fallback is used, such as `30s`."""


class ExhaustedModel(Recorded):
    """A model that cannot be called now. Jobs that need it are not started."""

    model: str
    reason: str
    """Why it cannot be called."""
    until: datetime
    """When it can be called again, as far as is known."""


class CallsUnderWay(Recorded):
    """Calls of one job to one model that have not finished."""

    namespace: str
    job: str
    """The name of the job."""
    model: str
    calls: int
    """The number of calls."""
    since: datetime
    """When the oldest call began."""


class ModelProxy(Recorded):
    """A model proxy that was seen in the last 45 seconds."""

    id: str
    """Its identifier, new for each process."""
    since: datetime
    """When it was first seen."""
    seen: datetime
    """When it was last seen."""


class ModelsOverview(Recorded):
    """An installation's models: those of a namespace, or all for an administrator; empty without a model proxy."""

    providers: list[ModelProvider] = Field(default_factory=list)
    """The providers, in the order of the models file."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """The models that aliases stand for."""
    fallbacks: list[ModelFallback] = Field(default_factory=list)
    """The fallbacks of models."""
    allowed_models: list[str] | None = None
    """Patterns of the models that the namespace may call; null for all models."""
    prices: list[ModelPrice] = Field(default_factory=list)
    """The prices of models."""
    prices_of: date | None = None
    """The day on which the built-in prices were checked."""
    exhausted: list[ExhaustedModel] = Field(default_factory=list)
    """The models that cannot be called now."""
    under_way: list[CallsUnderWay] = Field(default_factory=list)
    """Calls that have not finished."""
    proxies: list[ModelProxy] = Field(default_factory=list)
    """The model proxies that run."""


class JobModels(Recorded):
    """What the model calls of a job used, by provider and model, the most expensive first."""

    items: list[JobModelUsage]
