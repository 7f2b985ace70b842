"""What history tells users of model calls and their costs, as the gateway answers and clients read."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded


class UsageBy(StrEnum):
    """What a report of usage is divided by."""

    NAMESPACE = "namespace"
    QUEUE = "queue"
    PARTITION = "partition"
    """`spec.partitionKey` of the job, empty for none."""
    USER = "user"
    """`spec.session.userId` of the job."""
    PROVIDER = "provider"
    MODEL = "model"
    """The model that was asked, whatever the job called it."""
    DAY = "day"
    """In UTC."""


class ModelUsage(Recorded):
    """What model calls used. Calls that a provider refused do not count; those whose answer was cut do."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """The part of the input that came from a provider's cache."""
    cache_written_tokens: int
    """The part of the input that was written to a provider's cache."""
    thinking_tokens: int
    """The part of the output that was thinking."""
    cost_usd: Dollars = Field(alias="costUSD")


class UsageLine(ModelUsage):
    """One line of a report."""

    by: dict[UsageBy, str]


class UsageReport(Recorded):
    """What the model calls of some days used, the costliest first; by days in their order."""

    first: date
    last: date
    """Both days are part of it."""
    items: list[UsageLine]
    more: bool
    """Whether there are lines that were left out; `total` has them all."""
    total: ModelUsage


class JobModelUsage(ModelUsage):
    """What the calls of one job used of one model."""

    provider: str
    """Empty for calls that never reached one."""
    model: str
    failed: int
    """Calls that the provider refused, or that could not reach it."""
    under_way: int
    """Calls that have not ended; nothing of them is counted yet."""
    estimated: int
    """Calls whose usage is an estimate, because the provider told none."""
