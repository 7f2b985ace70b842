"""What users are told of many jobs at once, of the installation, and of themselves, as the gateway answers it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded


class Me(Recorded):
    """Who asks, as the API server knows them."""

    name: str
    groups: list[str]
    impersonated_by: str | None = None
    """Who acts in their place; null for themselves."""


class Namespaces(Recorded):
    """The namespaces with jobs, now or in history, that the caller may read, in the order of their names."""

    items: list[str]
    everywhere: bool
    """Whether they may read all namespaces."""


class OpenJobs(Recorded):
    """How many jobs have not ended, in one queue and phase, for one reason."""

    namespace: str
    queue: str
    phase: str
    reason: str
    jobs: int
    since: datetime
    """Since when the one that waits longest is in this phase."""


class OpenCounts(Recorded):
    """What runs and what waits for what: the most first."""

    items: list[OpenJobs]
    more: bool = False
    """Whether there are others: at most 2,000 are told."""


class ActivitySlice(Recorded):
    """What happened in one slice of time."""

    begin: datetime
    created: int = 0
    started: int = 0
    """Starts of pods, also of jobs that were tried before."""
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0


class FailureReason(Recorded):
    """How many jobs failed for one reason."""

    reason: str
    jobs: int
    latest: datetime


class Activity(Recorded):
    """Jobs over time. Each slice of the time asked for is there, also those in which nothing happened."""

    since: datetime
    """Where the first slice begins: at or before what was asked for."""
    until: datetime
    """Where the last one ends: at or after it, and in the future where the last one goes on."""
    seconds: int
    """Of one slice."""
    slices: list[ActivitySlice]
    failures: list[FailureReason]
    """The most frequent first, at most 20."""


class UsagePoint(Recorded):
    """What model calls used in one slice of time, by one queue, model or partition."""

    begin: datetime
    key: str
    """The queue, model or partition; empty for none."""
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Dollars = Field(alias="costUSD")


class UsageSeries(Recorded):
    """What model calls used over time. Slices in which nothing was used are left out."""

    since: datetime
    """Where the first slice begins: at or before what was asked for."""
    until: datetime
    """Where the last one ends: at or after it, and in the future where the last one goes on."""
    seconds: int
    by: Literal["queue", "model", "partition"]
    items: list[UsagePoint]
    keys: list[str]
    """The costliest first, at most 8."""
    others: list[UsagePoint] = Field(default_factory=list)
    """All further keys together, with an empty key."""


class Process(Recorded):
    """An operator, gateway, dashboard or model proxy that was seen in the last minute."""

    kind: Literal["operator", "gateway", "dashboard", "proxy"]
    id: str
    version: str
    leads: bool = False
    """Of operators: whether it is the one that acts."""
    since: datetime
    seen: datetime


class Installation(Recorded):
    """What runs this installation, for those who may read all namespaces."""

    version: str
    """Of the process that answers."""
    cluster: str
    """Uid of the namespace kube-system."""
    processes: list[Process]
    database_version: str
    schema_version: str
    database_bytes: int
    jobs: int
    """In history, about."""
    clock_skew_seconds: float
    """The database's clock minus that of the process that answers."""


class RecordedAction(Recorded):
    """Something that a person did by REST or dashboard. What kubectl does is in the API server's audit log."""

    time: datetime
    user: str
    impersonated_by: str | None = None
    namespace: str
    kind: Literal["AgentJob", "AgentQueue", "AgentSchedule", "AgentTemplate", "Session", "User"]
    """`Session` is one that was deleted, named by app, user and id; `User` one of whom everything was."""
    name: str
    uid: str = ""
    """Of the job that was acted on, empty for other kinds."""
    action: str
    """`cancel`, `rerun`, `pause` …: the last part of its route."""
    status: int
    """HTTP status of the answer: 200 where it was done."""
    message: str = ""
    """Why not, or what came of it: the name of a new job."""


class RecordedActions(Recorded):
    """A page of actions, newest first; `cursor` is null on the last one."""

    items: list[RecordedAction]
    cursor: str | None


class ActionDone(Recorded):
    """What an action did."""

    namespace: str
    kind: str
    name: str
    """Of the object that was acted on."""
    action: str
    made: str | None = None
    """Name of the job that came of it."""
    message: str = ""


class QueueSeen(Recorded):
    """A queue. One of the installation that nobody has changed has no object."""

    namespace: str
    name: str
    object: dict[str, Any] | None
    phases: dict[str, int]
    """How many jobs of it are in which phase, without those that ended; from its status, else counted in history."""


class QueuesSeen(Recorded):
    """The queues of a namespace, in the order of their names: those with an object, and those that jobs are in."""

    items: list[QueueSeen]
    truncated: bool = False
    """Whether there are more objects than are shown, at most 1000."""
    counted: bool = True
    """Whether jobs could be counted. While history is away, and for whom may not list AgentJobs, queues without an
    object are left out, but for the common ones."""


class ScheduleSeen(Recorded):
    """An AgentSchedule with the times that come."""

    namespace: str
    name: str
    object: dict[str, Any]
    next: list[datetime]
    """The next times by its cron expression, at most 10; empty while it is suspended or illegal."""


class SchedulesSeen(Recorded):
    """The schedules of a namespace, in the order of their names."""

    items: list[ScheduleSeen]
    truncated: bool = False
    """Whether there are more than are shown, at most 1000."""


class TemplateSeen(Recorded):
    """An AgentTemplate."""

    namespace: str
    name: str
    object: dict[str, Any]


class TemplatesSeen(Recorded):
    """The templates of a namespace, in the order of their names."""

    items: list[TemplateSeen]
    truncated: bool = False
    """Whether there are more than are shown, at most 1000."""


class ObjectSeen(Recorded):
    """An object of the API server as the caller reads it, without what only field managers read."""

    object: dict[str, Any]


class Change(Recorded):
    """That jobs have changed: the last of them, and how many changes it stands for."""

    namespace: str
    name: str
    uid: str
    what: str
    """`job`, of one that is watched also `steps`; `all` where anything may have changed, and then nothing is named."""
    changes: int
    """0 where nobody counted."""


class KubernetesEvent(Recorded):
    """A Kubernetes Event of a job, or of a pod of it."""

    time: datetime | None
    type: str
    reason: str
    message: str
    count: int
    about: str
    """`AgentJob/name` or `Pod/name`."""
    source: str


class KubernetesEvents(Recorded):
    """Events of a job's object and of the pods of its last starts, oldest first; they are gone after an hour or so."""

    items: list[KubernetesEvent]
    readable: bool = True
    """Whether the caller may list Events in the namespace; who may not is shown none."""
    truncated: bool = False
    """Whether there are more than are shown, at most 500 of each object."""
