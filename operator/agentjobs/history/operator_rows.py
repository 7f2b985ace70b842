"""Rows for the statements of `operator_writes`: a dict for each row. Without I/O."""

from typing import Any

from msgspec import Raw

from agentjobs.contract import Published
from agentjobs.history.labels import label_words
from agentjobs.history.outbox_rows import event_of
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartEnd, StartRecord, Steering, TransitionRecord
from agentjobs.history.sanitize import clean_text, dump_json

Row = dict[str, Any]


def key_row(key: JobKey, *, cluster: str) -> Row:
    """Return a job's identity."""
    return {
        "uid": key.uid,
        "cluster": cluster,
        "namespace": key.namespace,
        "name": key.name,
        "created_at": key.created,
        "schedule": key.schedule,
        "parent_uid": key.parent_uid,
        "labels": label_words(key.labels),
    }


def acceptance_row(acceptance: Acceptance, *, cluster: str) -> Row:
    """Return the job of an acceptance. A starting job is in the queue of its slot, to which it may have been moved."""
    row = accept_row(acceptance.job, cluster=cluster)
    return row if acceptance.slot is None else {**row, "queue": clean_text(acceptance.slot.queue)}


def accept_row(record: JobRecord, *, cluster: str) -> Row:
    """Return a job with its work."""
    resolved, spec = dump_json(record.resolved), record.resolved["spec"]
    return {
        **key_row(record.job, cluster=cluster),
        "resolved": Raw(resolved),
        "spec_hash": record.spec_hash,
        "partition_key": clean_text(spec.get("partitionKey") or ""),
        "queue": clean_text(spec.get("queue") or ""),
        "template": clean_text(record.template),
        "priority": spec.get("priority"),
        "notify": spec.get("notifications") or None,
        # The stored value may differ from the given one.
        "cleaned": "\ufffd" in str(resolved),
    }


def start_row(record: StartRecord) -> Row:
    """Return a start as it begins."""
    return {
        "uid": record.job.uid,
        "start": record.start,
        "attempt": record.attempt,
        "pod": record.pod,
        "started_at": record.time,
        "run": record.run,
    }


def end_row(record: StartEnd) -> Row:
    """Return the end of a start."""
    return {
        "uid": record.job.uid,
        "start": record.start,
        "attempt": record.attempt,
        "pod": record.pod,
        "started_at": record.started,
        "ended_at": record.ended,
        "verdict": record.verdict,
        "reason": clean_text(record.reason),
        "charged": record.charged,
        "message": clean_text(record.message),
    }


def transition_row(record: TransitionRecord) -> Row:
    """Return a transition, with its notifications."""
    return {
        "uid": record.job.uid,
        "transition": record.transition,
        "time": record.time,
        "phase": record.phase,
        "reason": clean_text(record.reason),
        "message": clean_text(record.message),
        "finished": record.finished,
        "workspace": _cleaned(record.workspace),
        **event_of(record),
    }


def steering_row(record: Steering) -> Row:
    """Return what an edit changed of a waiting job."""
    return {
        "uid": record.job.uid,
        "generation": record.generation,
        "priority": record.priority,
        "queue": clean_text(record.queue),
        "time": record.time,
    }


def _cleaned(published: Published | None) -> Row | None:
    return None if published is None else {name: clean_text(str(value)) for name, value in published.items()}
