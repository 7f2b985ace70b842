"""One job, from its object, from history, or from both. Pure.

The object has the current state; history has the past, and remains when the object is gone. Used by the page of a job
and by `agentjobs show`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentjobs.api.conditions import Condition, ConditionType, find_condition, primary_condition
from agentjobs.api.explain import Explanation, Order, Situation, explain
from agentjobs.api.job.status import AgentJobStatus
from agentjobs.api.job.team import as_object
from agentjobs.api.recorded import JobHistory, RecordedStart, RecordedStep, StepSpan
from agentjobs.api.recorded_overview import ClusterObject
from agentjobs.durations import parse_time

# Texts from other programs can have any length.
_MAX_PHASE: Final = 32
_MAX_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Known:
    """A job from its object, from history, or from both."""

    key: str
    """The name or uid that was requested."""
    namespace: str
    history: JobHistory | None
    from_cluster: ClusterObject | None
    no_history: str = ""
    """Why history could not be read, if so."""
    no_object: str = ""

    @property
    def body(self) -> Mapping[str, Any]:
        """The object, empty if it is gone."""
        return self.from_cluster.object if self.from_cluster is not None else {}

    @property
    def spec(self) -> Mapping[str, Any]:
        """The object's spec, as it was written."""
        return as_object(self.body.get("spec"))

    @property
    def status(self) -> AgentJobStatus:
        """The object's status; empty if it is gone."""
        return AgentJobStatus.parse(self.body.get("status"))

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self._metadata.get("name") or (self.history.job.name if self.history else self.key))

    @property
    def uid(self) -> str:
        """The job's uid."""
        return str(self._metadata.get("uid") or (self.history.job.uid if self.history else ""))

    @property
    def starts(self) -> Sequence[RecordedStart]:
        """Its starts, by number."""
        return self.history.starts if self.history else ()

    @property
    def phase(self) -> str:
        """Its phase; empty until the operator has processed the object."""
        if self.from_cluster is not None:
            # The raw value, because a newer operator may have phases that this version does not have.
            return str(as_object(self.body.get("status")).get("phase") or "Pending")[:_MAX_PHASE]
        return self.history.job.phase if self.history else ""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its object; if that is gone, those at acceptance."""
        labels = as_object(self._metadata.get("labels"))
        return {str(key): str(value) for key, value in labels.items()} or (
            self.history.job.labels if self.history else {}
        )

    @property
    def _metadata(self) -> Mapping[str, Any]:
        return as_object(self.body.get("metadata"))

    @property
    def created(self) -> datetime | None:
        """When it was created."""
        if self.history is not None:
            return self.history.job.created
        try:
            return parse_time(self._metadata.get("creationTimestamp"))
        except ValueError:
            return None


def explained(
    known: Known, steps: Sequence[StepSpan | RecordedStep], now: datetime, *, others: int | None = None
) -> Explanation:
    """Return what happened to a job, in a sentence, and the possible actions.

    Args:
        steps: its recorded steps, oldest first.
        others: how many other jobs wait in its queue, if known.
    """
    status, job_history = known.status, known.history
    newest = known.starts[-1] if known.starts else None
    primary = primary_condition(status.conditions)
    pod = find_condition(status.conditions, ConditionType.POD_STARTED)
    open_ = next(
        (step for step in reversed(steps) if step.ended is None and newest and step.start == newest.start), None
    )
    job = job_history.job if job_history else None
    begun = newest.started if newest else None
    situation = Situation(
        phase=known.phase,
        reason=_reason(known, primary),
        pod_reason=pod.reason if pod is not None and pod.status == "False" else "",
        attempts=status.attempts or (job.attempts if job else 0),
        max_attempts=_count(as_object(known.spec.get("retry")).get("maxAttempts")),
        starts=status.starts or (job.starts if job else 0),
        queue=queue_of(known),
        others_waiting=others,
        created=known.created,
        started=begun or status.start_time,
        claimed=newest.claimed if newest else begun,
        finished=status.completion_time or (job.finished if job else None),
        due=status.next_attempt_time,
        last_reason=(newest.reason or "") if newest else "",
        step=steps[-1].n if steps else None,
        doing=f"{open_.kind} {open_.name}"[:_MAX_NAME] if open_ else "",
        outcome=job.outcome[:_MAX_NAME] if job and job.outcome else None,
        equal_job=status.duplicate_of.name if status.duplicate_of else "",
        is_there=known.from_cluster is not None,
        requested=next((order for order in (Order.CANCEL, Order.SUSPEND) if known.spec.get(order.value) is True), None),
    )
    return explain(situation, now)


def message_of(known: Known) -> str:
    """Return the message of the condition that explains its state."""
    primary = primary_condition(known.status.conditions)
    if primary is not None:
        return primary.message
    return known.history.job.message if known.history and known.from_cluster is None else ""


def reason_of(known: Known) -> str:
    """Return the reason of its state."""
    return _reason(known, primary_condition(known.status.conditions))


def queue_of(known: Known) -> str:
    """Return its queue, empty if it has none yet."""
    place = known.status.queue
    name = place.name if place is not None else str(known.spec.get("queue") or "")
    return name or (known.history.job.queue if known.history else "")


def _reason(known: Known, primary: Condition | None) -> str:
    if known.from_cluster is None:
        return known.history.job.reason if known.history else ""
    return primary.reason if primary is not None else known.status.reason or ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
