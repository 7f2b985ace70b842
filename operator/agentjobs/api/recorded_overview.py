"""Numbers of many jobs, objects, actions and the installation as the gateway returns them."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from agentjobs.api.recorded import Dollars, Recorded

LOG_TRUNCATED: Final = "Agentjobs-Log-Truncated"
"""The header of a log: `true` if it has earlier lines than those returned, else `false`."""


class Me(Recorded):
    """The caller, as the API server knows them."""

    name: str
    """The user name."""
    groups: list[str]
    """The groups of the user."""
    impersonated_by: str | None = None
    """The user who impersonates this one; null without impersonation."""


class Namespaces(Recorded):
    """The namespaces with jobs, present or past, that the caller may read, ordered by name."""

    items: list[str]
    everywhere: bool
    """Whether the caller may read all namespaces."""


class OpenJobs(Recorded):
    """The number of unfinished jobs in one queue and phase with the same reason."""

    namespace: str
    queue: str
    phase: str
    reason: str
    jobs: int
    """The number of jobs."""
    since: datetime
    """When the first of them entered this phase."""


class OpenCounts(Recorded):
    """The numbers of unfinished jobs by queue, phase and reason, the largest first."""

    items: list[OpenJobs]
    more: bool = False
    """Whether there are more than the 2,000 that are returned."""


class ActivitySlice(Recorded):
    """What happened in one slice of time."""

    begin: datetime
    """When the slice begins."""
    created: int = 0
    """The number of jobs created."""
    started: int = 0
    """The number of starts; a job may have several."""
    succeeded: int = 0
    """The number of jobs that succeeded."""
    failed: int = 0
    """The number of jobs that failed."""
    cancelled: int = 0
    """The number of jobs that were cancelled."""
    skipped: int = 0
    """The number of jobs that were skipped."""


class FailureReason(Recorded):
    """The number of jobs that failed for one reason."""

    reason: str
    jobs: int
    """The number of jobs."""
    latest: datetime
    """When the last of them failed."""


class Activity(Recorded):
    """Jobs over time, in slices of equal length without gaps."""

    since: datetime
    """When the first slice begins: at or before the requested time."""
    until: datetime
    """When the last slice ends: at or after the requested time."""
    seconds: int
    """The length of a slice."""
    slices: list[ActivitySlice]
    """The slices, oldest first."""
    failures: list[FailureReason]
    """The 20 most frequent reasons of failures, the most frequent first."""


class UsagePoint(Recorded):
    """What model calls used in one slice of time, by one queue, model or partition."""

    begin: datetime
    """When the slice begins."""
    key: str
    """The queue, model or partition; empty for none."""
    calls: int
    """The number of model calls."""
    input_tokens: int
    output_tokens: int
    cost_usd: Dollars = Field(alias="costUSD")


class UsageSeries(Recorded):
    """What model calls used over time. Slices without usage are left out."""

    since: datetime
    """When the first slice begins: at or before the requested time."""
    until: datetime
    """When the last slice ends: at or after the requested time."""
    seconds: int
    """The length of a slice."""
    by: Literal["queue", "model", "partition"]
    """What `key` of the items is."""
    items: list[UsagePoint]
    """The usage of the keys in `keys`."""
    keys: list[str]
    """The 8 keys with the highest costs, the highest first."""
    others: list[UsagePoint] = Field(default_factory=list)
    """The usage of all other keys together, with an empty key."""


class Process(Recorded):
    """An operator, gateway, dashboard or model proxy that was seen in the last minute."""

    kind: Literal["operator", "gateway", "dashboard", "proxy"]
    """What it is."""
    id: str
    """Its identifier."""
    version: str
    """Its version of AgentJobs."""
    leads: bool = False
    """Whether it is the operator that leads; false for other processes."""
    since: datetime
    """When it was first seen."""
    seen: datetime
    """When it was last seen."""


class Installation(Recorded):
    """An installation; for users who may read all namespaces."""

    version: str
    """The version of the process that responds."""
    cluster: str
    """The uid of the namespace kube-system."""
    processes: list[Process]
    """The processes that run."""
    database_version: str
    """The version of PostgreSQL."""
    schema_version: str
    """The last migration of the database."""
    database_bytes: int
    """The size of the database."""
    jobs: int
    """The approximate number of jobs in history."""
    clock_skew_seconds: float
    """The database's clock minus the clock of the process that responds."""


class RecordedAction(Recorded):
    """An action of a user through REST or the dashboard. Actions of kubectl are in the API server's audit log."""

    time: datetime
    user: str
    """The user name."""
    impersonated_by: str | None = None
    """The user who impersonated this one; null without impersonation."""
    namespace: str
    kind: Literal["AgentJob", "AgentQueue", "AgentSchedule", "AgentTemplate", "Session", "User"]
    """The kind of the object; `Session` if a session was deleted, `User` if all data of a user was."""
    name: str
    """The name of the object; of a session its app, user and id."""
    uid: str = ""
    """The uid of the job; empty for other kinds."""
    action: str
    """`cancel`, `rerun`, `pause` and so on: the last part of the route."""
    status: int
    """The HTTP status of the response: 200 for success."""
    message: str = ""
    """Why it failed, or what it created: the name of the new job."""


class RecordedActions(Recorded):
    """A page of actions, newest first."""

    items: list[RecordedAction]
    cursor: str | None


class ActionDone(Recorded):
    """The result of an action."""

    namespace: str
    kind: str
    """The kind of the object."""
    name: str
    """The name of the object."""
    action: str
    """The action, the last part of the route."""
    made: str | None = None
    """The name of the job that it created; null for none."""
    message: str = ""
    """What the user should know about the result; usually empty."""


class QueueItem(Recorded):
    """A queue. A queue of the installation that was never changed has no object."""

    namespace: str
    name: str
    object: dict[str, Any] | None
    """The AgentQueue; null if the queue has no object."""
    phases: dict[str, int]
    """The numbers of its unfinished jobs by phase."""
    counted: bool = True
    """Whether `phases` has the numbers: an operator has reported them, or they were counted in history."""


class QueueList(Recorded):
    """The queues of a namespace, ordered by name: those with an object, and those with jobs. Or those of all namespaces
    with an object, ordered by namespace and name."""

    items: list[QueueItem]
    truncated: bool = False
    """Whether there are more objects than are returned, at most 1000."""
    counted: bool = True
    """Whether jobs were counted. While history is unavailable, and for users who may not list AgentJobs, only the
    installation's queues are shown without an object."""


class ScheduleItem(Recorded):
    """An AgentSchedule with its next times."""

    namespace: str
    name: str
    object: dict[str, Any]
    """The AgentSchedule."""
    next: list[datetime]
    """Its next 10 times; empty while it is suspended or invalid."""


class ScheduleList(Recorded):
    """The schedules of a namespace or of all, ordered by namespace and name."""

    items: list[ScheduleItem]
    truncated: bool = False
    """Whether there are more than are returned, at most 1000."""


class TemplateItem(Recorded):
    """An AgentTemplate."""

    namespace: str
    name: str
    object: dict[str, Any]
    """The AgentTemplate."""


class TemplateList(Recorded):
    """The templates of a namespace or of all, ordered by namespace and name."""

    items: list[TemplateItem]
    truncated: bool = False
    """Whether there are more than are returned, at most 1000."""


class ClusterObject(Recorded):
    """An object of the API server as the caller may read it."""

    object: dict[str, Any]
    """The object without `managedFields`."""


class Change(Recorded):
    """One or more changes of jobs, in an event of a stream."""

    namespace: str
    name: str
    """The name of the job that changed last."""
    uid: str
    """The uid of the job that changed last."""
    what: str
    """`job`, or `steps` for a stream of one job; `all` if any job may have changed: names are empty then."""
    changes: int
    """The number of changes that this event reports; 0 if it is unknown."""


class KubernetesEvent(Recorded):
    """A Kubernetes Event of a job or one of its pods."""

    time: datetime | None
    """When it happened last."""
    type: str
    """`Normal` or `Warning`."""
    reason: str
    message: str
    count: int
    """How many times it happened."""
    about: str
    """`AgentJob/name` or `Pod/name`."""
    source: str
    """The component that reported it."""


class KubernetesEvents(Recorded):
    """Events of a job and of the pods of its last starts, oldest first. Kubernetes keeps Events for an hour."""

    items: list[KubernetesEvent]
    readable: bool = True
    """Whether the caller may list Events in the namespace; if not, no Events are shown."""
    truncated: bool = False
    """Whether there are more than are returned, at most 500 per object."""
