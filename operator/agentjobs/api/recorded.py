"""What history tells users: jobs, their starts, phases, events and results, as the gateway answers and clients read.

Made from rows by history, read by `agentjobs.client`. A newer gateway may say more: what is unknown is left out.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from agentjobs.models.budget import plain

Dollars = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?$"}),
]
"""US dollars, as text: a number of JSON is read as one that is not exact."""


class Recorded(BaseModel):
    """Spelt as JSON is: `cutFrom`, not `cut_from`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class RecordedWorkspace(Recorded):
    """What was published of a job's workspace; `branch` is empty where nothing had changed."""

    branch: str
    commit: str
    pull_request: str | None = None
    """Its address, for people."""


class RecordedJob(Recorded):
    """A job. `phase` is `Deleted` when its object went before it ended."""

    uid: str
    namespace: str
    name: str
    phase: str
    reason: str
    message: str
    created: datetime
    changed: datetime | None
    finished: datetime | None
    deleted: datetime | None
    attempts: int
    starts: int
    schedule: str = ""
    """Name of the AgentSchedule that made it, empty for none."""
    template: str = ""
    """Name of the AgentTemplate that it was accepted with, empty for none."""
    partition_key: str = ""
    """`spec.partitionKey` as accepted, empty for none."""
    queue: str = ""
    """The queue that it is in or was, empty while it has none."""
    model: str = ""
    """`spec.agent.model` as accepted, empty for none."""
    outcome: str | None = None
    """What its final answer decided."""
    labels: dict[str, str] = {}
    """Of its object, as accepted."""
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """What its model calls cost so far; null where none through the proxy has ended."""
    workspace: RecordedWorkspace | None = None
    """Null for a job that published nothing, or has none."""


class RecordedJobs(Recorded):
    """A page of jobs in the order that was asked for; `cursor` is null on the last one."""

    items: list[RecordedJob]
    cursor: str | None


class RelatedJob(RecordedJob):
    """A job of a chain of follow-ups."""

    parent_uid: str = ""
    """Of the job that it follows, empty for none."""


class RecordedTree(Recorded):
    """A job, those before it, and all that follow them; the first comes first, parents before what follows them."""

    items: list[RelatedJob]
    truncated: bool = False
    """Whether there are more than these."""


class RecordedStart(Recorded):
    """One start: verdict and reason are the operator's, `reported` is what the runner said of itself."""

    start: int
    attempt: int
    pod: str
    started: datetime | None
    claimed: datetime | None
    heartbeat: datetime | None
    ended: datetime | None
    verdict: str | None
    reason: str | None
    charged: bool | None
    message: str | None
    reported: dict[str, Any] | None
    usage: dict[str, int] | None
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """What its model calls cost; null where none through the proxy has ended."""


class Transition(Recorded):
    """One change of a job's phase."""

    transition: int
    time: datetime
    phase: str
    reason: str
    message: str


class Story(Recorded):
    """A job with its starts and transitions, oldest first; the newest 500 of each."""

    job: RecordedJob
    spec_hash: str | None
    starts: list[RecordedStart]
    transitions: list[Transition]


class Event(Recorded):
    """One entry of a start's timeline. `kind` is `started`, `model`, `tool`, `text`, `error` or `ended`."""

    start: int
    seq: int
    time: datetime
    kind: str
    author: str
    data: dict[str, Any]


class Events(Recorded):
    """A page of events in the order of starts and numbers; `cursor` is null on the last one."""

    items: list[Event]
    cursor: str | None


class RecordedStep(Recorded):
    """One step of a job, without what it gave. `kind` is `model`, `tool`, `node` or `value`.

    `start` is the one that ran it, or began it last; `ended` is null for a call that did not end. `replayed` says that
    a later start of its run took it from the journal. A `void` step counts, but no later start uses it.
    """

    n: int
    run: int
    start: int
    key: str
    kind: str
    agent: str
    name: str
    began: datetime
    ended: datetime | None
    bytes: int
    usage: dict[str, int]
    void: bool
    replayed: bool
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """What its model calls cost, those of all tries; null where none through the proxy has ended."""
    served: str | None = None
    """The model that answered, where it is not the one that was asked for: of an alias, or a fallback."""
    tries: int = 0
    """How many calls of a model were made for it through the proxy."""


class RecordedSteps(Recorded):
    """A page of steps in the order of recording; `cursor` is null on the last one."""

    items: list[RecordedStep]
    cursor: str | None


class StepSpan(Recorded):
    """When a step was under way; `ended` is null for a call that did not end."""

    n: int
    start: int
    kind: str
    name: str
    began: datetime
    ended: datetime | None


class StepSpans(Recorded):
    """When all steps of a job were under way, in the order of recording."""

    items: list[StepSpan]


class StepContent(Recorded):
    """A step with what it gave."""

    step: RecordedStep
    request: dict[str, Any]
    """What tells whether it was asked the same before: digests and numbers, no texts."""
    body: Any
    """What it gave, secrets sealed; null for a call that did not end, and where `unreadable`."""
    unreadable: bool = False
    """Whether what is stored is not JSON any more."""


class Result(Recorded):
    """The answer of a job: its text, the same as JSON when it is a JSON object, and what it used.

    `outcome` is what a structured answer decided, by the job's `output.outcomeKey`; null where there is none.
    `cut_from` is how many bytes the answer had, where it was too large to keep and `text` is only its beginning.
    """

    text: str
    structured: Any
    usage: dict[str, int]
    outcome: str | None = None
    cut_from: int | None = None


class RecordedSpec(Recorded):
    """A job's spec as it was accepted: with its template and defaults, and with texts in place of ConfigMaps' names."""

    uid: str
    name: str
    spec: dict[str, Any]
    parameters: dict[str, str] = {}
    """The values of its template's parameters, which texts of its follow-ups name."""


class RecordedResult(Recorded):
    """A job's final result."""

    uid: str
    name: str
    phase: str
    result: Result
    workspace: RecordedWorkspace | None = None
    """Null for a job that published nothing, or has none."""
