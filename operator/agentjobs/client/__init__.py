"""The Python client: `Client` and `AsyncClient`. They use the API server and the gateway with the user's credentials.

    clients              the two clients, with their methods
    operations           the implementation of the methods, shared by both
    effects              the I/O that an operation requests
    transport            runs operations, blocking or in an event loop
    job                  an AgentJob as a value
    object               common parts of jobs, queues and schedules
    schedule             an AgentSchedule as a value
    schedules            the methods on schedules
    schedule_operations  their implementation
    job_queue            a queue as a value
    queues               the methods on queues
    queue_operations     their implementation
    sessions             the methods on sessions and artifacts
    session_operations   their implementation
    models               the methods on models and usage
    model_operations     their implementation
    notifications        the methods on notifications
    notification_operations  their implementation
    overview             the methods on the installation and on many jobs
    overview_operations  their implementation
    lineage              the jobs before a job, and its follow-ups
    completion           waits for several jobs
    recorded_end         how a job ended whose object is deleted
    logs                 the logs of a job's pods
    job_filters          the filters of `history`
    rerunning            what a job that runs again takes over, and changes to it
    requests             requests with retries, pages
    connection           options, credentials and errors of HTTP
    kubeconfig           finds the cluster and the credentials

Needs only the base dependencies. Names are imported on first use, because the command line, which must start quickly,
uses the lower half of this package.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agentjobs.api.conditions import Condition, Phase
    from agentjobs.api.job.spec import AgentJobSpec
    from agentjobs.api.job.status import AgentJobStatus, AttemptRecord, Usage
    from agentjobs.api.job_filter import JobFilter, JobOrder
    from agentjobs.api.queues.spec import AgentQueueSpec
    from agentjobs.api.queues.status import AgentQueueStatus
    from agentjobs.api.recorded import (
        JobHistory,
        RecordedEntry,
        RecordedJob,
        RecordedStart,
        RecordedStep,
        Result,
        StepContent,
        Transition,
    )
    from agentjobs.api.recorded_models import ModelsOverview
    from agentjobs.api.recorded_notifications import RecordedNotification
    from agentjobs.api.recorded_overview import Activity, Installation, OpenCounts, UsageSeries
    from agentjobs.api.recorded_sessions import (
        Deleted,
        RecordedArtifact,
        RecordedSession,
        RecordedTurn,
        SessionEvent,
        SessionHistory,
    )
    from agentjobs.api.recorded_usage import JobModelUsage, ModelUsage, RecordedCall, UsageBy, UsageLine, UsageReport
    from agentjobs.api.schedule.spec import AgentScheduleSpec
    from agentjobs.api.schedule.status import ActiveJob, AgentScheduleStatus
    from agentjobs.client.clients import AsyncClient, Client
    from agentjobs.client.connection import NoResult
    from agentjobs.client.job import Job
    from agentjobs.client.job_queue import Queue
    from agentjobs.client.lineage import Tree, TreeJob
    from agentjobs.client.schedule import Schedule
    from agentjobs.errors import (
        AgentJobsError,
        AlreadyExists,
        Conflict,
        Denied,
        Invalid,
        Misconfigured,
        NotFound,
        TooManyRequests,
        Unavailable,
    )

__all__ = [
    "ActiveJob",
    "Activity",
    "AgentJobSpec",
    "AgentJobStatus",
    "AgentJobsError",
    "AgentQueueSpec",
    "AgentQueueStatus",
    "AgentScheduleSpec",
    "AgentScheduleStatus",
    "AlreadyExists",
    "AsyncClient",
    "AttemptRecord",
    "Client",
    "Condition",
    "Conflict",
    "Deleted",
    "Denied",
    "Installation",
    "Invalid",
    "Job",
    "JobFilter",
    "JobHistory",
    "JobModelUsage",
    "JobOrder",
    "Misconfigured",
    "ModelUsage",
    "ModelsOverview",
    "NoResult",
    "NotFound",
    "OpenCounts",
    "Phase",
    "Queue",
    "RecordedArtifact",
    "RecordedCall",
    "RecordedEntry",
    "RecordedJob",
    "RecordedNotification",
    "RecordedSession",
    "RecordedStart",
    "RecordedStep",
    "RecordedTurn",
    "Result",
    "Schedule",
    "SessionEvent",
    "SessionHistory",
    "StepContent",
    "TooManyRequests",
    "Transition",
    "Tree",
    "TreeJob",
    "Unavailable",
    "Usage",
    "UsageBy",
    "UsageLine",
    "UsageReport",
    "UsageSeries",
]

_HOMES: Final = {
    "agentjobs.api.job.spec": ("AgentJobSpec",),
    "agentjobs.api.schedule.spec": ("AgentScheduleSpec",),
    "agentjobs.api.conditions": ("Condition", "Phase"),
    "agentjobs.api.job_filter": ("JobFilter", "JobOrder"),
    "agentjobs.api.recorded": (
        "RecordedEntry",
        "RecordedJob",
        "RecordedStart",
        "RecordedStep",
        "Result",
        "StepContent",
        "JobHistory",
        "Transition",
    ),
    "agentjobs.api.recorded_sessions": (
        "Deleted",
        "RecordedArtifact",
        "RecordedSession",
        "RecordedTurn",
        "SessionEvent",
        "SessionHistory",
    ),
    "agentjobs.api.recorded_models": ("ModelsOverview",),
    "agentjobs.api.recorded_overview": ("Activity", "Installation", "OpenCounts", "UsageSeries"),
    "agentjobs.api.recorded_notifications": ("RecordedNotification",),
    "agentjobs.api.recorded_usage": (
        "JobModelUsage",
        "ModelUsage",
        "RecordedCall",
        "UsageBy",
        "UsageLine",
        "UsageReport",
    ),
    "agentjobs.api.schedule.status": ("ActiveJob", "AgentScheduleStatus"),
    "agentjobs.api.job.status": ("AgentJobStatus", "AttemptRecord", "Usage"),
    "agentjobs.client.clients": ("AsyncClient", "Client"),
    "agentjobs.client.connection": ("NoResult",),
    "agentjobs.client.job": ("Job",),
    "agentjobs.client.lineage": ("Tree", "TreeJob"),
    "agentjobs.client.job_queue": ("Queue",),
    "agentjobs.client.schedule": ("Schedule",),
    "agentjobs.api.queues.spec": ("AgentQueueSpec",),
    "agentjobs.api.queues.status": ("AgentQueueStatus",),
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "agentjobs.errors")
    return getattr(importlib.import_module(home), name)
