"""Reports the operator's actions on jobs: a log line for each, and Events and traces for some.

`grep NAME` over the log shows what happened to a job, in order.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from agentjobs.api.conditions import (
    AcceptedReason,
    AdmittedReason,
    FollowUpReason,
    Phase,
    PodStartedReason,
    SuspendedReason,
)
from agentjobs.api.events import EventReason
from agentjobs.api.job.status import AttemptRecord
from agentjobs.contract import Verdict, cut
from agentjobs.core.job.actions import (
    Again,
    Claim,
    EndStart,
    Finish,
    MakePod,
    RecordFollowUps,
    ReportPod,
    StopPod,
    Suspend,
    Wait,
)
from agentjobs.core.job.observation import Job, Observation, Obstacle
from agentjobs.core.pods.pod import Pod
from agentjobs.core.queues.admission import Granted
from agentjobs.durations import format_time
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.ports import Ports
from agentjobs.reconcile.reporting import MAX_WORDS, log_action, record_event
from agentjobs.tracing import named

# Reasons whose messages are ours or the cluster's. Other messages quote the spec or its texts.
_OURS: Final = frozenset(
    {*AdmittedReason, *PodStartedReason, AcceptedReason.QUEUE_NOT_FOUND, AcceptedReason.WAITING_FOR_JOBS}
)


class JobReporter:
    """Reports actions on jobs."""

    def __init__(self, ports: Ports) -> None:
        self._recorder = ports.recorder
        self._spans = ports.spans
        self._now = ports.now

    def accepted(self, job: Job, spec_hash: str | None) -> None:
        """The job's work was accepted; reported once, and only with a hash."""
        if spec_hash is not None and not job.accepted:
            _line("job.accepted", job, spec_hash=spec_hash)

    def waits(self, seen: Observation, action: Wait) -> None:
        """The wait was written to the status."""
        self._event(seen.job, action.reason, action.message)
        detail = _ours(action.reason, action.message)
        if action.reason == AcceptedReason.REFERENCE_NOT_FOUND:
            detail = "names ConfigMaps: " + ", ".join(f"{name}/{key}" for name, key in sorted(seen.references))
        _decided("job.waiting", seen, action, reason=action.reason, detail=detail)

    def claimed(self, seen: Observation, claim: Claim, pod: str) -> None:
        """A start is claimed."""
        self._event(seen.job, EventReason.STARTED, f"attempt {claim.attempt}, pod {pod}")
        _decided("job.claimed", seen, claim, start=claim.start, attempt=claim.attempt, pod=pod)

    def pod_created(self, seen: Observation, action: MakePod, pod: str) -> None:
        """The pod of a start exists."""
        _decided("job.pod_created", seen, action, start=action.start, attempt=action.attempt, pod=pod)

    def pod_refused(self, seen: Observation, action: MakePod, pod: str, obstacle: Obstacle) -> None:
        """The pod of a start cannot be created; call once for each obstacle."""
        place: dict[str, Any] = {"start": action.start, "attempt": action.attempt, "pod": pod}
        why = {"reason": obstacle.reason, "detail": cut(obstacle.message, MAX_WORDS), "final": obstacle.final}
        _decided("job.pod_refused", seen, action, logging.WARNING, **{**place, **why})

    def pod_reported(self, seen: Observation, action: ReportPod) -> None:
        """It was written to the status that a pod does not start, or has started."""
        self._event(seen.job, action.reason, action.message)
        active = seen.job.active
        place: dict[str, Any] = {"start": active.start, "attempt": active.attempt, "pod": active.pod} if active else {}
        detail = _ours(action.reason, action.message)
        _decided("job.pod_reported", seen, action, **{**place, "reason": action.reason, "detail": detail})

    def pod_stopped(self, seen: Observation, action: StopPod) -> None:
        """A pod was deleted, running or ended."""
        pod = action.pod
        _decided("job.pod_stopped", seen, action, start=pod.start, pod=pod.name, reason=action.why)

    def start_ended(self, seen: Observation, end: EndStart) -> None:
        """A start's end was recorded, with what follows."""
        job, record, next_step = seen.job, end.record, end.next_step
        self._trace(job, record)
        _decided(
            "job.start_ended",
            seen,
            end,
            start=record.start,
            attempt=record.attempt,
            pod=record.pod,
            verdict=record.verdict,
            reason=record.reason,
            charged=record.charged,
            rule=end.rule,
            ran_seconds=round(end.ran.total_seconds(), 1),
            from_step=record.from_step,
            to_step=record.to_step,
            next=type(next_step).__name__,
            at=None if isinstance(next_step, Finish) else _stamp(next_step.at),
        )
        match next_step:
            case Finish():
                self.finished(seen, next_step)
            case Suspend():
                self._event(job, _of_suspension(next_step), next_step.message)
            case Again():
                self._event(job, record.reason or record.verdict, f"{record.pod}: {record.message}")

    def finished(self, seen: Observation, end: Finish) -> None:
        """The job has ended."""
        job, now = seen.job, self._now()
        attributes = named(namespace=job.namespace, job=job.name, phase=end.phase.value, reason=str(end.reason))
        failed = end.phase is Phase.FAILED
        self._spans.job(job.uid, begin=job.created, end=now, failed=failed, attributes=attributes)
        self._event(job, end.phase, f"{end.reason}: {end.message}" if end.message else end.reason)
        _decided("job.finished", seen, end, phase=end.phase.value, reason=str(end.reason), outcome=end.outcome)

    def completed(self, seen: Observation) -> None:
        """Usage and answer were added to the status after the job's end."""
        _line("job.completed", seen.job, decision="BackfillResult")

    def followed(self, seen: Observation, action: RecordFollowUps) -> None:
        """The state of the follow-ups was recorded."""
        made = {follow_up.name: follow_up.jobs for follow_up in action.follow_ups if follow_up.jobs}
        level = logging.INFO if action.reason == FollowUpReason.CREATED else logging.WARNING
        if made:
            names = ", ".join(f"{name} ({jobs})" if jobs > 1 else name for name, jobs in made.items())
            self._event(seen.job, EventReason.FOLLOW_UPS_CREATED, f"created the jobs of: {names}")
        if level == logging.WARNING:
            self._event(seen.job, action.reason, action.message)
        _decided("job.followed", seen, action, level, reason=action.reason, made=made)

    def observed(self, job: Job) -> None:
        """An edit was observed, without further consequences."""
        _line("job.observed", job, decision="Observe", generation=job.generation)

    def suspended(self, seen: Observation, action: Suspend) -> None:
        """The job was suspended."""
        self._event(seen.job, _of_suspension(action), action.message)
        _decided("job.suspended", seen, action, reason=str(action.reason))

    def edited(self, job: Job, fields: Iterable[str]) -> None:
        """Accepted work was edited, without effect."""
        names = ", ".join(fields)
        message = (
            f"the job runs as accepted, so an edit of these fields has no effect: {names}; create a new job instead"
        )
        self._event(job, EventReason.SPEC_CHANGED, message)
        _line("job.edited", job, logging.WARNING, reason=str(EventReason.SPEC_CHANGED))

    def released(self, pod: Pod, why: str) -> None:
        """Our finalizer was removed from a pod."""
        about = {"namespace": pod.namespace, "job": pod.job, "uid": pod.owner_uid}
        log_action("job.pod_released", logging.INFO, about, {"start": pod.start, "pod": pod.name, "reason": why})

    def deleted(self, job: Job) -> None:
        """The job's object was deleted, because its TTL expired."""
        _line("job.deleted", job, decision="DeleteJob", reason="ttlSecondsAfterFinished")

    def gone(self, name: tuple[str, str], uid: str) -> None:
        """The job's object is gone."""
        log_action("job.removed", logging.INFO, {"namespace": name[0], "job": name[1], "uid": uid}, {})

    def _event(self, job: Job, reason: str, message: str) -> None:
        record_event(self._recorder, AGENTJOBS, job, reason, message)

    def _trace(self, job: Job, record: AttemptRecord) -> None:
        if record.started is None or record.ended is None:
            return
        self._spans.start(
            job.uid,
            record.start,
            begin=record.started,
            end=record.ended,
            failed=record.verdict in (Verdict.RETRY, Verdict.FAIL),
            attributes=named(
                namespace=job.namespace,
                job=job.name,
                attempt=record.attempt,
                pod=record.pod,
                verdict=record.verdict,
                reason=record.reason,
                charged=record.charged,
            ),
        )


def _of_suspension(action: Suspend) -> str:
    """Return the reason of a suspension's Event: a used up budget needs a person, so it has its own reason."""
    is_budget = action.reason == SuspendedReason.BUDGET_EXCEEDED
    return SuspendedReason.BUDGET_EXCEEDED if is_budget else EventReason.SUSPENDED


def _decided(event: str, seen: Observation, action: object, level: int = logging.INFO, /, **fields: Any) -> None:
    fields = {"decision": type(action).__name__, **fields, "observed": "; ".join(_observed(seen))}
    _line(event, seen.job, level, **fields)


def _line(event: str, job: Job, level: int = logging.INFO, /, **fields: Any) -> None:
    log_action(event, level, {"namespace": job.namespace, "job": job.name, "uid": job.uid}, fields)


def _observed(seen: Observation) -> Iterator[str]:
    """Return what the decision is based on, in a few words."""
    job = seen.job
    yield f"phase {(job.status.phase or Phase.PENDING).value}"
    yield from (f"pod {pod.name} {_state(pod)}" for pod in seen.pods)
    if isinstance(seen.slot, Granted):
        yield "slot granted"
    for word, holds in (("cancel", job.cancel), ("suspend", job.suspend), ("deletion", job.deleting)):
        if holds:
            yield f"{word} requested"
    if seen.heartbeat is not None and seen.heartbeat.silence is not None:
        yield f"runner silent for {seen.heartbeat.silence.total_seconds():.0f} s"
    if not seen.history_available:
        yield "PostgreSQL unavailable"


def _state(pod: Pod) -> str:
    """Return a pod's state, similar to `kubectl get pods`."""
    if pod.terminated is not None:
        return f"ended with exit code {pod.terminated.exit_code}{f' ({pod.reason})' if pod.reason else ''}"
    state = pod.reason or (pod.waiting.reason if pod.waiting else pod.phase)
    return f"{state}, being deleted" if pod.deletion else state


def _ours(reason: str, message: str) -> str:
    return cut(message, MAX_WORDS) if reason in _OURS else ""


def _stamp(moment: datetime | None) -> str | None:
    """Return a time to wait for, rounded up as in the status."""
    return None if moment is None else format_time(moment + timedelta(microseconds=999_999))
