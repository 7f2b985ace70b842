"""Jobs, starts, phases, events and results as the gateway returns them from history.

History makes these models from its rows, and `agentjobs.client` reads them. Fields that a newer gateway adds are
ignored. The docstrings below fields are their descriptions in the OpenAPI document.
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
"""US dollars as text, because most JSON parsers read numbers as inexact floats."""


class Recorded(BaseModel):
    """A model whose JSON names are in camelCase: `cutFrom`, not `cut_from`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class RecordedWorkspace(Recorded):
    """What was published from a job's workspace."""

    branch: str
    """The branch that was pushed; empty if nothing had changed."""
    commit: str
    """The commit at the head of the branch."""
    pull_request: str | None = None
    """The URL of the pull request; null if none was opened."""


class RecordedJob(Recorded):
    """A job."""

    uid: str
    """The uid of its object."""
    namespace: str
    name: str
    phase: str
    """Its phase; `Deleted` if its object was deleted before the job ended."""
    reason: str
    """The reason of its last transition."""
    message: str
    """The message of its last transition."""
    created: datetime
    """When its object was created."""
    changed: datetime | None
    """When its phase changed last, or, while it waits for a slot, when it was moved to its queue."""
    finished: datetime | None
    """When it ended; null until then."""
    deleted: datetime | None
    """When its object was deleted; null while the object exists."""
    attempts: int
    """The number of attempts made."""
    starts: int
    """The number of starts made; an attempt may take several."""
    schedule: str = ""
    """The AgentSchedule that created it; empty for none."""
    template: str = ""
    """The AgentTemplate that it was accepted with; empty for none."""
    partition_key: str = ""
    """`spec.partitionKey` as accepted; empty for none."""
    queue: str = ""
    """Its queue; empty before it has one."""
    priority: int | None = None
    """`spec.priority`: 0 is first, 9 is last. Null before the job is accepted and after its end."""
    model: str = ""
    """`spec.agent.model` as accepted; empty for none."""
    outcome: str | None = None
    """The outcome of its final answer; null without one."""
    labels: dict[str, str] = {}
    """The labels of its object, as accepted."""
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """The cost of its finished model calls; null before the first call through the proxy has finished."""
    workspace: RecordedWorkspace | None = None
    """What it published; null for a job that published nothing or has no workspace."""


class RecordedJobs(Recorded):
    """A page of jobs in the requested order."""

    items: list[RecordedJob]
    cursor: str | None


class RelatedJob(RecordedJob):
    """A job of a chain of follow-ups."""

    parent_uid: str = ""
    """The uid of the job that it follows; empty for the first job."""


class RecordedTree(Recorded):
    """All jobs of a chain of follow-ups: every job comes after its parent."""

    items: list[RelatedJob]
    truncated: bool = False
    """Whether the chain has more jobs than the response."""


class RecordedStart(Recorded):
    """One start of a job."""

    start: int
    """The number of the start, from 1."""
    attempt: int
    """The number of its attempt, from 1."""
    pod: str
    """The name of its pod."""
    started: datetime | None
    """When the operator began it."""
    claimed: datetime | None
    """When the runner sent its first request; null before that."""
    heartbeat: datetime | None
    """When the runner reported last."""
    ended: datetime | None
    """When it ended; null while it runs."""
    verdict: str | None
    """The operator's verdict; null while it runs."""
    reason: str | None
    """Why it ended; null while it runs."""
    charged: bool | None
    """Whether it used up its attempt; null while it runs."""
    message: str | None
    """The reason in a sentence; null while it runs."""
    reported: dict[str, Any] | None
    """What the runner reported about its own end; null if it did not."""
    usage: dict[str, int] | None
    """What it used, such as `llmCalls` and `inputTokens`; null while that is unknown."""
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """The cost of its finished model calls; null before the first call through the proxy has finished."""


class Transition(Recorded):
    """One change of a job's phase."""

    transition: int
    """The number of the transition in its job."""
    time: datetime
    phase: str
    """The phase after it."""
    reason: str
    message: str


class JobHistory(Recorded):
    """A job with its newest 500 starts and transitions, oldest first."""

    job: RecordedJob
    spec_hash: str | None
    """The hash of the accepted spec; null before it is accepted."""
    starts: list[RecordedStart]
    """Its starts, oldest first."""
    transitions: list[Transition]
    """Its changes of phase, oldest first."""


class RecordedEntry(Recorded):
    """One entry of a start's timeline."""

    start: int
    """The number of the start."""
    seq: int
    """The number of the entry in its start."""
    time: datetime
    kind: str
    """`started`, `resumed`, `model`, `tool`, `text`, `error`, `warning`, `repair` or `ended`."""
    author: str
    """The agent, or another part of the runner, that it comes from."""
    data: dict[str, Any]
    """What happened; the keys depend on `kind`."""


class RecordedEntries(Recorded):
    """A page of entries, in the order of starts and their numbers."""

    items: list[RecordedEntry]
    cursor: str | None


class RecordedStep(Recorded):
    """One step of a job, without its result."""

    n: int
    """The number of the step in its job, in the order of recording."""
    run: int
    """The number of the start with which its run began."""
    start: int
    """The start that ran it; if several tried, the last."""
    key: str
    """Its identity in its run."""
    kind: str
    """`model`, `tool`, `node` or `value`."""
    agent: str
    """The agent that it belongs to."""
    name: str
    """The name of the model, tool, node or value."""
    began: datetime
    ended: datetime | None
    """When it ended; null for a call that has not ended, or was interrupted."""
    bytes: int
    """The size of its result."""
    usage: dict[str, int]
    """What it used, such as `inputTokens`."""
    void: bool
    """Whether later starts must not use it; it still counts."""
    replayed: bool
    """Whether a later start of its run took it from the journal."""
    cost_usd: Dollars | None = Field(default=None, alias="costUSD")
    """The cost of its model calls, all tries included; null before the first call through the proxy has finished."""
    served: str | None = None
    """The model that answered, if an alias or a fallback stood for the requested one; null otherwise."""
    tries: int = 0
    """The number of model calls made for it through the proxy."""


class RecordedSteps(Recorded):
    """A page of steps, in the order of recording."""

    items: list[RecordedStep]
    cursor: str | None


class StepSpan(Recorded):
    """When a step ran."""

    n: int
    """The number of the step in its job."""
    start: int
    """The start that ran it."""
    kind: str
    """`model`, `tool`, `node` or `value`."""
    name: str
    """The name of the model, tool, node or value."""
    began: datetime
    ended: datetime | None
    """When it ended; null for a call that has not ended, or was interrupted."""


class StepSpans(Recorded):
    """When each step of a job ran, in the order of recording."""

    items: list[StepSpan]


class StepContent(Recorded):
    """A step with its result."""

    step: RecordedStep
    request: dict[str, Any]
    """Digests and counts by which a later start recognises the same request; it has no texts."""
    body: Any
    """Its result with secrets redacted; null for a call that has not ended, and if `unreadable`."""
    unreadable: bool = False
    """Whether the stored result is damaged and cannot be shown."""


class Result(Recorded):
    """The answer of a job."""

    text: str
    """The answer as text."""
    structured: Any
    """The answer as an object if it is a JSON object; null otherwise."""
    usage: dict[str, int]
    """What the start used that gave it."""
    outcome: str | None = None
    """The value at the job's `output.outcomeKey` in a structured answer; null without one."""
    cut_from: int | None = None
    """The size of the whole answer in bytes if it was too large to store and `text` is only its beginning."""


class RecordedSpec(Recorded):
    """A job's spec as accepted: merged with its template, with defaults, and with the contents of ConfigMaps."""

    uid: str
    name: str
    spec: dict[str, Any]
    """The accepted spec."""
    parameters: dict[str, str] = {}
    """The values of its template's parameters; its follow-ups use them."""


class RecordedResult(Recorded):
    """A job's final result."""

    uid: str
    name: str
    phase: str
    """The phase it ended in."""
    result: Result
    workspace: RecordedWorkspace | None = None
    """What it published; null for a job that published nothing or has no workspace."""
