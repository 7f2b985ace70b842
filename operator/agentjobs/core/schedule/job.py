"""The job of one occurrence of a schedule: its name and its body, as a plain dict."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.schedule.spec import DEFAULT_QUEUE
from agentjobs.api.schedule.status import ActiveJob
from agentjobs.contract import (
    ANNOTATION_PREVIOUS_TIME,
    ANNOTATION_SCHEDULE_GENERATION,
    ANNOTATION_SCHEDULED_TIME,
    GROUP,
    LABEL_SCHEDULE,
    LABEL_TEMPLATE,
    MANAGED_BY,
    VERSION,
    owner_reference,
)
from agentjobs.core.schedule.model import Schedule
from agentjobs.durations import format_time

_HASH_CHARS: Final = 8


def scheduled_name(schedule: str, time: datetime) -> str:
    """Return the name of the job for `time`: `<schedule>-<minutes since 1970>`."""
    return f"{schedule}-{int(time.astimezone(UTC).timestamp()) // 60}"


def triggered_name(schedule: str, value: str) -> str:
    """Return the name of the job for a value of the annotation `agentjobs.dev/trigger`.

    `<schedule>-t<8 hexadecimal digits>`; the schedule's name is cut to fit, and also hashed into the digits. Trailing
    dots and dashes of the cut name are removed, because they would be invalid.
    """
    digits = hashlib.sha256(f"{schedule}\n{value}".encode("utf-8", "replace")).hexdigest()[:_HASH_CHARS]
    return f"{schedule[: MAX_JOB_NAME - _HASH_CHARS - 2].rstrip('.-')}-t{digits}"


def scheduled_job(schedule: Schedule, occurrence: ActiveJob) -> dict[str, Any]:
    """Return the AgentJob of an occurrence, owned by the schedule and annotated with its time and the one before."""
    template = _object(_object(schedule.spec).get("jobTemplate"))
    metadata = _object(template.get("metadata"))
    previous = {} if occurrence.previous is None else {ANNOTATION_PREVIOUS_TIME: format_time(occurrence.previous)}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "AgentJob",
        "metadata": {
            "namespace": schedule.namespace,
            "name": occurrence.name,
            "labels": {
                **_object(metadata.get("labels")),
                LABEL_SCHEDULE: schedule.name,
                **_label_of(_object(template.get("spec"))),
                "app.kubernetes.io/managed-by": MANAGED_BY,
            },
            "annotations": {
                **_object(metadata.get("annotations")),
                ANNOTATION_SCHEDULED_TIME: format_time(occurrence.time),
                ANNOTATION_SCHEDULE_GENERATION: str(schedule.generation),
                **previous,
            },
            "ownerReferences": [owner_reference("AgentSchedule", schedule.name, schedule.uid)],
        },
        "spec": _spec(_object(template.get("spec"))),
    }


def _spec(work: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job's spec. With a template, the queue is the template's, or else set at acceptance."""
    return dict(work) if work.get("templateRef") is not None else {"queue": DEFAULT_QUEUE, **work}


def _label_of(work: Mapping[str, Any]) -> dict[str, str]:
    name = _object(work.get("templateRef")).get("name")
    return {LABEL_TEMPLATE: name} if isinstance(name, str) else {}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
