"""The columns of `kubectl get`."""

from agentjobs.api.generate.structural import Schema


def _column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path, "priority": int(wide)}


def job_columns() -> list[Schema]:
    """Return the columns of AgentJobs."""
    return [
        _column("Phase", ".status.phase"),
        _column("Outcome", ".status.result.outcome"),
        _column("Queue", ".status.queue.name"),
        _column("Attempts", ".status.attempts", kind="integer"),
        _column("Steps", ".status.checkpoint.step", kind="integer", wide=True),
        _column("Priority", ".spec.priority", kind="integer", wide=True),
        # A string, because kubectl prints a future date as <invalid>.
        _column("Next", ".status.nextAttemptTime", wide=True),
        _column("Cost", ".status.usage.costUSD", wide=True),
        _column("Model", ".spec.agent.model", wide=True),
        _column("Template", ".spec.templateRef.name", wide=True),
        _column("Reason", ".status.reason"),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


def queue_columns() -> list[Schema]:
    """Return the columns of AgentQueues."""
    return [
        _column("Running", ".status.running", kind="integer"),
        _column("Max", ".status.max", kind="integer"),
        _column("Waiting", ".status.waiting", kind="integer"),
        _column("Oldest", ".status.oldestWaitingTime", kind="date"),
        _column("Stop", ".spec.stopPolicy"),
        _column("Scheduled", ".status.scheduled", kind="integer", wide=True),
        _column("Rate", ".spec.rateLimit.starts", kind="integer", wide=True),
        _column("Spend", ".status.spend[0].costUSD", wide=True),
        _column("Open", '.status.conditions[?(@.type=="Open")].reason', wide=True),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


def template_columns() -> list[Schema]:
    """Return the columns of AgentTemplates."""
    return [
        _column("Model", ".spec.agent.model"),
        _column("Description", ".spec.description"),
        _column("Valid", '.status.conditions[?(@.type=="Valid")].status'),
        _column("Queue", ".spec.queue", wide=True),
        _column("Locked", ".spec.locked", wide=True),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]


def schedule_columns() -> list[Schema]:
    """Return the columns of AgentSchedules."""
    return [
        _column("Schedule", ".spec.schedule"),
        _column("Timezone", ".spec.timeZone"),
        _column("Suspend", ".spec.suspend", kind="boolean"),
        _column("Active", ".status.running", kind="integer"),
        _column("Last", ".status.lastScheduleTime", kind="date"),
        # A string, because kubectl prints a future date as <invalid>.
        _column("Next", ".status.nextScheduleTime"),
        _column("Policy", ".spec.concurrencyPolicy", wide=True),
        _column("Missed", ".status.missed", kind="integer", wide=True),
        _column("Runs", ".status.runs", kind="integer", wide=True),
        _column("Failures", ".status.consecutiveFailures", kind="integer", wide=True),
        _column("Reason", '.status.conditions[?(@.type=="Active")].reason'),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]
