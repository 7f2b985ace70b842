"""Model calls and their costs for users, as the gateway returns them and clients read them."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded


class UsageBy(StrEnum):
    """How a report of usage is grouped."""

    NAMESPACE = "namespace"
    QUEUE = "queue"
    PARTITION = "partition"
    """`spec.partitionKey` of the job, if any."""
    USER = "user"
    """`spec.session.userId` of the job."""
    PROVIDER = "provider"
    MODEL = "model"
    """The model that was called, by its canonical name."""
    DAY = "day"
    """In UTC."""


class ModelUsage(Recorded):
    """Usage of model calls. Calls that a provider refused do not count; those with a cut answer do."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """The part of the input that was read from a provider's cache."""
    cache_written_tokens: int
    """The part of the input that was written to a provider's cache."""
    thinking_tokens: int
    """The part of the output that was thinking."""
    cost_usd: Dollars = Field(alias="costUSD")


class UsageLine(ModelUsage):
    """One line of a report."""

    by: dict[UsageBy, str]


class UsageReport(Recorded):
    """Usage of model calls over some days, most expensive first; grouped by day in chronological order."""

    first: date
    last: date
    """Both days are included."""
    items: list[UsageLine]
    more: bool
    """Whether lines were omitted; `total` includes them."""
    total: ModelUsage


class JobModelUsage(ModelUsage):
    """Usage of one model by the calls of one job."""

    provider: str
    """Empty for calls that reached no provider."""
    model: str
    failed: int
    """Calls that the provider refused, or that did not reach it."""
    under_way: int
    """Calls that have not ended; their usage is not counted yet."""
    estimated: int
    """Calls whose usage is an estimate, because the provider reported none."""


class RecordedCall(Recorded):
    """One model call through the proxy. `ended`, `status` and `outcome` are null until it ends."""

    id: UUID
    start: int
    attempt: int
    step: str
    """Key of its step, empty for a call by the user's own code."""
    asked: str
    """The model that the job requested."""
    model: str
    """The model that was called."""
    provider: str
    key: str
    """The name of the provider's key."""
    began: datetime
    ended: datetime | None
    status: int | None
    """The provider's HTTP status, 0 if none."""
    outcome: str | None
    """`Answered`, `Cut`, `Failed` or `Lost`."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_written_tokens: int
    thinking_tokens: int
    cost_usd: Dollars = Field(alias="costUSD")
    """Its cost; 0 until it ends."""
    reserved_usd: Dollars = Field(alias="reservedUSD")
    """Its maximum cost, as reserved."""
    estimated: bool
    """Whether its usage is an estimate."""
    has_content: bool
    """Whether request and answer are recorded."""


class RecordedCalls(Recorded):
    """A page of model calls in the order in which they began; `cursor` is null on the last page."""

    items: list[RecordedCall]
    cursor: str | None
