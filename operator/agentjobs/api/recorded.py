"""History for users: jobs, their starts, phases, events and results, as the gateway returns them.

Created from rows by history, read by `agentjobs.client`. Unknown fields of a newer gateway are ignored.
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
"""US dollars, as text, because JSON numbers are read as inexact floats."""


class Recorded(BaseModel):
    """Base class with names in camelCase: `cutFrom`, not `cut_from`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class RecordedWorkspace(Recorded):
    """What was published of a job's workspace; `branch` is empty if nothing had changed."""

    branch: str
    commit: str
    pull_request: str | None = None
    """Its address, for people."""


class RecordedJob(Recorded):
    """A job. `phase` is `Deleted` if its object was deleted before it ended."""

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
    """Name of the AgentSchedule that created it, if any."""
    template: str = ""
    """Name of the AgentTemplate that it was accepted with, if any."""
    partition_key: str = ""
    """`spec.partitionKey` as accepted, if any."""
    queue: str = ""
    """Its current or last queue, empty if it has none yet."""
    model: str = ""
    """`spec.agent.model` as accepted, if any."""
    outcome: str | None = None
    """The outcome of its final answer."""
    labels: dict[str, str] = {}
    """Labels of its object at acceptance."""
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """Cost of its model calls until now; null until one through the proxy has ended."""
    workspace: RecordedWorkspace | None = None
    """Null if nothing was published."""


class RecordedJobs(Recorded):
    """A page of jobs in the requested order; `cursor` is null on the last page."""

    items: list[RecordedJob]
    cursor: str | None


class RelatedJob(RecordedJob):
    """A job of a chain of follow-ups."""

    parent_uid: str = ""
    """Name of the job that it follows, if any."""


class RecordedTree(Recorded):
    """A job's whole tree of follow-ups: its ancestors and all jobs that follow them, parents before children."""

    items: list[RelatedJob]
    truncated: bool = False
    """Whether there are more jobs."""


class RecordedStart(Recorded):
    """One start: verdict and reason are the operator's, `reported` is the runner's own report."""

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
    """Cost of its model calls; null until one through the proxy has ended."""


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
    """A page of events, ordered by start and number; `cursor` is null on the last page."""

    items: list[Event]
    cursor: str | None


class RecordedStep(Recorded):
    """One step of a job, without its value. `kind` is `model`, `tool`, `node` or `value`.

    `start` is the start that ran it, or last began it; `ended` is null for a call that did not end. `replayed` is true
    if a later start of its run took it from the journal. A `void` step counts, but no later start uses it.
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
    """Cost of its model calls, including all tries; null until one through the proxy has ended."""
    served: str | None = None
    """The model that answered, if it differs from the requested one: for an alias or a fallback."""
    tries: int = 0
    """How many model calls were made for it through the proxy."""


class RecordedSteps(Recorded):
    """A page of steps in the order of recording; `cursor` is null on the last page."""

    items: list[RecordedStep]
    cursor: str | None


class StepSpan(Recorded):
    """When a step ran; `ended` is null for a call that did not end."""

    n: int
    start: int
    kind: str
    name: str
    began: datetime
    ended: datetime | None


class StepSpans(Recorded):
    """When each step of a job ran, in the order of recording."""

    items: list[StepSpan]


class StepContent(Recorded):
    """A step with its value."""

    step: RecordedStep
    request: dict[str, Any]
    """Fingerprint of its request, to detect differences: digests and numbers, no texts."""
    body: Any
    """Its value, with secrets redacted; null for a call that did not end, and if `unreadable`."""
    unreadable: bool = False
    """Whether the stored value is not valid JSON."""


class Result(Recorded):
    """The answer of a job: its text, also as an object if it is a JSON object, and its usage.

    `outcome` is the structured answer's value at `output.outcomeKey`, or null. `cut_from` is the answer's size in
    bytes if it was too large to store and `text` is only its beginning.
    """

    text: str
    structured: Any
    usage: dict[str, int]
    outcome: str | None = None
    cut_from: int | None = None


class RecordedSpec(Recorded):
    """A job's spec as accepted: merged with template and defaults, with texts instead of references to ConfigMaps."""

    uid: str
    name: str
    spec: dict[str, Any]
    parameters: dict[str, str] = {}
    """The values of its template's parameters, for texts of its follow-ups."""


class RecordedResult(Recorded):
    """A job's final result."""

    uid: str
    name: str
    phase: str
    result: Result
    workspace: RecordedWorkspace | None = None
    """Null if nothing was published."""
