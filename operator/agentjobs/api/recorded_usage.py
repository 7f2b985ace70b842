"""What history tells users of model calls and their costs, as the gateway answers and clients read."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

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


class RecordedCall(Recorded):
    """One model call through the proxy. `ended`, `status` and `outcome` are null while it is under way."""

    id: UUID
    start: int
    attempt: int
    step: str
    """Key of the step it belongs to, empty for a call of the user's own code."""
    asked: str
    """The model that the job asked for."""
    model: str
    """The model that was asked."""
    provider: str
    key: str
    """The name of the provider's key."""
    began: datetime
    ended: datetime | None
    status: int | None
    """The provider's HTTP status, 0 for none."""
    outcome: str | None
    """`Answered`, `Cut`, `Failed` or `Lost`."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_written_tokens: int
    thinking_tokens: int
    cost_usd: Dollars = Field(alias="costUSD")
    """What it cost; 0 while it is under way."""
    reserved_usd: Dollars = Field(alias="reservedUSD")
    """What it might have cost at most."""
    estimated: bool
    """Whether its usage is an estimate."""
    has_content: bool
    """Whether request and answer are recorded."""


class RecordedCalls(Recorded):
    """A page of model calls in the order in which they began; `cursor` is null on the last one."""

    items: list[RecordedCall]
    cursor: str | None
