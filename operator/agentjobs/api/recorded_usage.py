"""Model calls and their costs as the gateway returns them from history."""

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
    """`spec.partitionKey` of the job; empty for none."""
    USER = "user"
    """`spec.session.userId` of the job."""
    PROVIDER = "provider"
    MODEL = "model"
    """The model that was called, by its canonical name."""
    DAY = "day"
    """In UTC."""


class ModelUsage(Recorded):
    """What model calls used. Calls that a provider refused are not counted; calls with an incomplete response are."""

    calls: int
    """The number of calls."""
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
    """What the line is about, by the divisions of the report."""


class UsageReport(Recorded):
    """What the model calls of some days used, the most expensive first; a report by day is in the order of days."""

    first: date
    """The first day."""
    last: date
    """The last day, which is part of the report."""
    items: list[UsageLine]
    """The lines of the report."""
    more: bool
    """Whether lines were left out; `total` includes them."""
    total: ModelUsage
    """The sum of all lines."""


class JobModelUsage(ModelUsage):
    """What the calls of one job to one model used."""

    provider: str
    """The provider; empty for calls that reached none."""
    model: str
    failed: int
    """The number of calls that the provider refused, or that could not reach it."""
    under_way: int
    """The number of calls that have not finished; their usage is not included."""
    estimated: int
    """The number of calls whose usage is an estimate, because the provider did not report it."""


class RecordedCall(Recorded):
    """One model call through the proxy."""

    id: UUID
    """The identifier of the call."""
    start: int
    """The start of the job that made it."""
    attempt: int
    """The attempt of that start."""
    step: str
    """The key of its step; empty for a call that the user's own code made."""
    requested: str
    """The model that the job requested."""
    model: str
    """The model that was called."""
    provider: str
    """The provider that was called."""
    key: str
    """The name of the provider's key."""
    began: datetime
    ended: datetime | None
    """When it ended; null while it is in progress."""
    status: int | None
    """The provider's HTTP status, 0 for no response; null while it is in progress."""
    outcome: str | None
    """`Answered`, `Cut`, `Failed` or `Lost`; null while it is in progress."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """The part of the input that came from the provider's cache."""
    cache_written_tokens: int
    """The part of the input that was written to the provider's cache."""
    thinking_tokens: int
    """The part of the output that was thinking."""
    cost_usd: Dollars = Field(alias="costUSD")
    """Its cost; 0 while it is in progress."""
    reserved_usd: Dollars = Field(alias="reservedUSD")
    """The cost that was reserved for it: its highest possible cost."""
    estimated: bool
    """Whether its usage is an estimate."""
    has_content: bool
    """Whether its request and response are recorded."""


class RecordedCalls(Recorded):
    """A page of model calls in the order in which they began."""

    items: list[RecordedCall]
    cursor: str | None
