"""AgentQueue.spec: limits of the jobs of one queue of one namespace. Every field may change at any time."""

from typing import Annotated, Final, Literal

from pydantic import Field

from agentjobs.api.changes import ALWAYS
from agentjobs.api.fields import DNS_LABEL, DOLLARS, MODEL_NAME, Duration
from agentjobs.api.model import Integer, Model

MAX_QUEUE_NAME: Final = 63
"""Queue names become label values."""
MAX_SLOTS: Final = 100000
MAX_ZONE: Final = 64
DEFAULT_CONCURRENCY: Final = 10
COMMON: Final = ("agents", "scheduled")
"""The queues that every installation has unless they were removed from its settings."""

StopPolicy = Literal["None", "Hold", "HoldAndDrain"]


class Concurrency(Model):
    """How many jobs may hold a slot at the same time."""

    max: Integer | None = Field(
        default=None,
        ge=0,
        le=MAX_SLOTS,
        description="Slots of the queue. Default: the installation's for a queue of this name, else 10.",
    )
    per_partition: Integer | None = Field(
        default=None,
        ge=1,
        le=100000,
        description="Slots of each `partitionKey`; jobs without a key count as one partition. Default: no limit.",
    )


class RateLimit(Model):
    """How many starts are allowed in any period of a given length."""

    starts: Integer = Field(ge=1, le=1000000, description="Starts of pods, including retries.")
    period: Duration = Field(description="Length of the period; at least 1s, at most 1d.")
    scope: Literal["Queue", "Partition"] = Field(
        default="Queue", description="Whether it applies to the queue or to each `partitionKey`. Default: Queue."
    )


class ModelLimit(Model):
    """Limits of model calls by all jobs of the queue, in addition to those of the provider's key."""

    models: tuple[Annotated[str, Field(min_length=1, max_length=253, pattern=MODEL_NAME)], ...] = Field(
        min_length=1, max_length=16, description="Names of models as in `agent.model`; `*` matches any text."
    )
    requests_per_minute: Integer | None = Field(default=None, ge=1, le=2147483647, description="Calls in a minute.")
    tokens_per_minute: Integer | None = Field(
        default=None, ge=1, le=2147483647, description="Tokens sent and received in a minute."
    )
    max_concurrent_calls: Integer | None = Field(default=None, ge=1, le=100000, description="Calls at the same time.")


class QueueBudget(Model):
    """What the jobs of the queue may spend in a calendar period."""

    name: str = Field(min_length=1, max_length=63, pattern=DNS_LABEL, description="Name of the budget.")
    period: Literal["Daily", "Weekly", "Monthly"] = Field(
        description="Length of the period, which begins at midnight: each day, on Monday, on the first of the month."
    )
    time_zone: str = Field(
        default="UTC", min_length=1, max_length=MAX_ZONE, description="IANA time zone. Default: UTC."
    )
    scope: Literal["Queue", "Partition"] = Field(
        default="Queue", description="Whether it applies to the queue or to each `partitionKey`. Default: Queue."
    )
    max_cost_usd: str | None = Field(
        default=None,
        alias="maxCostUSD",
        max_length=32,
        pattern=DOLLARS,
        description="Cost of model calls in US dollars.",
    )
    max_tokens: Integer | None = Field(
        default=None, ge=1, le=9007199254740991, description="Tokens sent to models and received from them."
    )
    on_exceeded: Literal["Hold", "Fail"] = Field(
        default="Hold",
        description="What happens to jobs that would start when the budget is used up: Hold makes them wait for the "
        "next period or a raised limit, Fail ends them with BudgetExceeded. Default: Hold.",
    )
    action: Literal["LetFinish", "Suspend"] = Field(
        default="LetFinish",
        description="What happens to running jobs then: LetFinish lets them continue, Suspend stops them after their "
        "current step until there is budget again. Default: LetFinish.",
    )


class Backlog(Model):
    """How many jobs may wait."""

    max: Integer = Field(ge=1, le=2147483647, description="Jobs that wait for a slot.")
    on_full: Literal["Wait", "Reject"] = Field(
        default="Wait",
        description="What happens to further jobs: Wait makes them wait too, and sets the queue's condition Limited; "
        "Reject ends them with QueueFull. Default: Wait.",
    )


class DefaultTimeouts(Model):
    """Defaults of `timeouts`."""

    queue: Duration | None = Field(default=None, description="Maximum wait for a slot.")


class QueueDefaults(Model):
    """Defaults of the queue's jobs, for fields that neither the job nor its template sets."""

    timeouts: DefaultTimeouts = Field(default_factory=DefaultTimeouts, description="Defaults of `timeouts`.")
    priority: Integer | None = Field(default=None, ge=0, le=9, description="Default of `priority`.")


class Kueue(Model):
    """Lets Kueue decide when the pods of the queue are scheduled, in addition to the limits here."""

    local_queue: str = Field(
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
        description="Kueue's LocalQueue; the pods get its name as a label.",
    )


class AgentQueueSpec(Model):
    """Limits of the jobs of this namespace that name the queue in `spec.queue`."""

    concurrency: Annotated[Concurrency, ALWAYS] = Field(
        default_factory=Concurrency, description="How many jobs may hold a slot at the same time."
    )
    strategy: Annotated[Literal["Priority", "Fair"], ALWAYS] = Field(
        default="Fair",
        description="Which of the jobs of equal priority starts first: Fair, one of the partition that holds the "
        "fewest slots; Priority, the oldest. Default: Fair.",
    )
    priority_aging: Annotated[Duration | None, ALWAYS] = Field(
        default=None, description="A job gains one level of priority each time it has waited this long. Default: none."
    )
    rate_limit: Annotated[RateLimit | None, ALWAYS] = Field(default=None, description="Maximum starts in a period.")
    model_limits: Annotated[tuple[ModelLimit, ...], ALWAYS] = Field(
        default=(),
        max_length=16,
        description="Limits of model calls by all jobs of the queue. Every entry that matches the model applies.",
    )
    budgets: Annotated[tuple[QueueBudget, ...], ALWAYS] = Field(
        default=(),
        max_length=8,
        description="What the jobs of the queue may spend in a period.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    stop_policy: Annotated[StopPolicy, ALWAYS] = Field(
        default="None",
        description="Hold starts no jobs; HoldAndDrain also suspends running ones, after their current step. Default: "
        "None.",
    )
    backlog: Annotated[Backlog | None, ALWAYS] = Field(default=None, description="How many jobs may wait.")
    defaults: Annotated[QueueDefaults, ALWAYS] = Field(
        default_factory=QueueDefaults, description="Defaults of jobs, applied when a job is accepted."
    )
    kueue: Annotated[Kueue | None, ALWAYS] = Field(default=None, description="Submits the queue's pods to Kueue.")
