"""Overviews for users: many jobs, queues, schedules, the installation, and the caller, as the gateway returns them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded


class Me(Recorded):
    """The caller, as the API server identifies them."""

    name: str
    groups: list[str]
    impersonated_by: str | None = None
    """The user who impersonates them, or null."""


class Namespaces(Recorded):
    """The namespaces with jobs, now or in history, that the caller may read, sorted by name."""

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
    """Since when the longest-waiting job is in this phase."""


class OpenCounts(Recorded):
    """Counts of running and waiting jobs, largest first."""

    items: list[OpenJobs]
    more: bool = False
    """Whether there are more than the 2,000 listed."""


class ActivitySlice(Recorded):
    """Activity in one slice of time."""

    begin: datetime
    created: int = 0
    started: int = 0
    """Starts of pods, including retries."""
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
    """Activity over time, including empty slices."""

    since: datetime
    """Where the first slice begins: at or before the requested time."""
    until: datetime
    """Where the last slice ends: at or after the requested time, in the future if it is not over."""
    seconds: int
    """Length of a slice."""
    slices: list[ActivitySlice]
    failures: list[FailureReason]
    """At most 20, the most frequent first."""


class UsagePoint(Recorded):
    """Usage of model calls in one slice of time, of one queue, model or partition."""

    begin: datetime
    key: str
    """The queue, model or partition, if any."""
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Dollars = Field(alias="costUSD")


class UsageSeries(Recorded):
    """Usage of model calls over time, without empty slices."""

    since: datetime
    """Where the first slice begins: at or before the requested time."""
    until: datetime
    """Where the last slice ends: at or after the requested time, in the future if it is not over."""
    seconds: int
    by: Literal["queue", "model", "partition"]
    items: list[UsagePoint]
    keys: list[str]
    """At most 8, the most expensive first."""
    others: list[UsagePoint] = Field(default_factory=list)
    """All other keys together, with an empty key."""


class Process(Recorded):
    """An operator, gateway, dashboard or model proxy that was alive in the last minute."""

    kind: Literal["operator", "gateway", "dashboard", "proxy"]
    id: str
    version: str
    leads: bool = False
    """For operators: whether it is the leader."""
    since: datetime
    seen: datetime


class Installation(Recorded):
    """The processes of this installation, for users who may read all namespaces."""

    version: str
    """Version of the answering process."""
    cluster: str
    """Uid of the namespace kube-system."""
    processes: list[Process]
    database_version: str
    schema_version: str
    database_bytes: int
    jobs: int
    """Approximate number of jobs in history."""
    clock_skew_seconds: float
    """The database's clock minus that of the answering process."""


class RecordedAction(Recorded):
    """An action by REST or dashboard. Actions by kubectl are in the API server's audit log."""

    time: datetime
    user: str
    impersonated_by: str | None = None
    namespace: str
    kind: Literal["AgentJob", "AgentQueue", "AgentSchedule", "AgentTemplate", "Session", "User"]
    """`Session` is a deleted session, named by app, user and id; `User` is a user whose data was deleted."""
    name: str
    uid: str = ""
    """Uid of the job, empty for other kinds."""
    action: str
    """`cancel`, `rerun`, `pause` …: the last part of its route."""
    status: int
    """HTTP status of the response; 200 on success."""
    message: str = ""
    """The error, or the result such as the name of a new job."""


class RecordedActions(Recorded):
    """A page of actions, newest first; `cursor` is null on the last page."""

    items: list[RecordedAction]
    cursor: str | None


class ActionDone(Recorded):
    """The result of an action."""

    namespace: str
    kind: str
    name: str
    """Name of the object."""
    action: str
    made: str | None = None
    """Name of the created job."""
    message: str = ""


class QueueSeen(Recorded):
    """A queue. An unmodified queue of the installation has no object."""

    namespace: str
    name: str
    object: dict[str, Any] | None
    phases: dict[str, int]
    """Number of unfinished jobs by phase; from its status, else counted in history."""


class QueuesSeen(Recorded):
    """The queues of a namespace that have an object or jobs, sorted by name."""

    items: list[QueueSeen]
    truncated: bool = False
    """Whether there are more objects than the 1000 shown."""
    counted: bool = True
    """Whether jobs could be counted. If history is unavailable or the caller may not list AgentJobs, queues without
    an object are omitted, except the installation's."""


class ScheduleSeen(Recorded):
    """An AgentSchedule with its next times."""

    namespace: str
    name: str
    object: dict[str, Any]
    next: list[datetime]
    """The next times of its cron expression, at most 10; empty while it is suspended or invalid."""


class SchedulesSeen(Recorded):
    """The schedules of a namespace, sorted by name."""

    items: list[ScheduleSeen]
    truncated: bool = False
    """Whether there are more than the 1000 shown."""


class TemplateSeen(Recorded):
    """An AgentTemplate."""

    namespace: str
    name: str
    object: dict[str, Any]


class TemplatesSeen(Recorded):
    """The templates of a namespace, sorted by name."""

    items: list[TemplateSeen]
    truncated: bool = False
    """Whether there are more than the 1000 shown."""


class ObjectSeen(Recorded):
    """An object of the API server as the caller may read it, without managedFields."""

    object: dict[str, Any]


class Change(Recorded):
    """A notice that jobs changed: the last of them, and the number of changes."""

    namespace: str
    name: str
    uid: str
    what: str
    """`job`, or `steps` of a watched job; `all`, without a name, if any job may have changed."""
    changes: int
    """0 if unknown."""


class KubernetesEvent(Recorded):
    """A Kubernetes Event of a job, or of one of its pods."""

    time: datetime | None
    type: str
    reason: str
    message: str
    count: int
    about: str
    """`AgentJob/name` or `Pod/name`."""
    source: str


class KubernetesEvents(Recorded):
    """Events of a job and of the pods of its last starts, oldest first; the API server keeps them for about an hour."""

    items: list[KubernetesEvent]
    readable: bool = True
    """Whether the caller may list Events in the namespace; if not, none are shown."""
    truncated: bool = False
    """Whether there are more than the 500 shown of each object."""
