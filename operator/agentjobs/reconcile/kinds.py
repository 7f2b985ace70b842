"""The kinds that the operator watches, one row each. To add a kind, add its row to `KINDS`.

Derived from the rows: the caches, lists and watches, the keys that a change wakes, the reconcilers, the check that a
kind is served, the labels of metrics, and the operator's RBAC rules.
"""

from collections.abc import Iterator
from typing import Any, Final

from agentjobs.api.conditions import Phase
from agentjobs.contract import LABEL_JOB, LABEL_RELEASED
from agentjobs.core.job.ended import EndedJob, KnownJob, ended_job
from agentjobs.core.job.observation import Job, parse_job
from agentjobs.core.pods.pod import Pod, parse_pod
from agentjobs.core.queues.model import Queue, parse_queue
from agentjobs.core.schedule.model import Schedule, parse_schedule
from agentjobs.core.template.model import AgentTemplate, parse_template
from agentjobs.engine.kinds import Informers, Key, Kind
from agentjobs.kube.resources import AGENTJOBS, AGENTQUEUES, AGENTSCHEDULES, AGENTTEMPLATES, PODS
from agentjobs.reconcile.job.reconciler import Jobs
from agentjobs.reconcile.queues.reconciler import QueueStatuses
from agentjobs.reconcile.schedule.reconciler import Schedules
from agentjobs.reconcile.setup import Setup
from agentjobs.reconcile.template.reconciler import Templates


def _job_of_pod(before: Pod | None, after: Pod | None) -> Iterator[Key]:
    if before == after:
        return  # a network plug-in's annotation, an address: half of a pod's changes on some clusters
    for pod in (before, after):
        # Pods that have ended and are released need no further work.
        if pod is not None and (pod.has_finalizer or not pod.ended):
            yield AGENTJOBS.key((pod.namespace, pod.job))


def _schedule_of_job(before: KnownJob | None, after: KnownJob | None) -> Iterator[Key]:
    if isinstance(before, Job) and isinstance(after, Job) and before.status == after.status:
        return
    for job in (before, after):
        if job is not None and job.made_by:
            yield AGENTSCHEDULES.key((job.namespace, job.made_by))


def _is_idle_job(job: KnownJob, informers: Informers) -> bool:
    return (isinstance(job, EndedJob) or job.is_idle) and not any(
        pod.has_finalizer for pod in informers.cache(PODS).by("job", job.key)
    )


def _template_of_job(job: KnownJob) -> Iterator[tuple[str, str]]:
    if isinstance(job, Job) and not job.accepted and not job.finished and job.template is not None:
        yield job.namespace, job.template


def _queues_of_job(job: KnownJob) -> Iterator[tuple[str, str]]:
    if isinstance(job, Job) and not job.finished:
        for queue in sorted(job.queues):
            yield job.namespace, queue


_QUEUES: Final[Kind[Queue, Setup]] = Kind(
    resource=AGENTQUEUES,
    parse=parse_queue,
    reconciler=lambda setup: QueueStatuses(setup).reconcile,
    access={"": ("get", "list", "watch"), "status": ("patch",)},
)
_TEMPLATES: Final[Kind[AgentTemplate, Setup]] = Kind(
    resource=AGENTTEMPLATES,
    parse=parse_template,
    is_idle=lambda template, informers: template.status.observed_generation == template.generation,
    reconciler=lambda setup: Templates(setup).reconcile,
    access={"": ("get", "list", "watch"), "status": ("patch",)},
)
_SCHEDULES: Final[Kind[Schedule, Setup]] = Kind(
    resource=AGENTSCHEDULES,
    parse=parse_schedule,
    is_idle=lambda schedule, informers: schedule.is_idle(informers.now()),
    reconciler=lambda setup: Schedules(setup).reconcile,
    # The owner references of its jobs block its deletion: clusters with OwnerReferencesPermissionEnforcement
    # (OpenShift) require permission to update its finalizers.
    access={"": ("get", "list", "watch"), "status": ("patch",), "finalizers": ("update",)},
)
_PODS: Final[Kind[Pod, Setup]] = Kind(
    resource=PODS,
    parse=parse_pod,
    # Most pods of a cluster belong to finished jobs: those are released and need no further work.
    selector=f"{LABEL_JOB},!{LABEL_RELEASED}",
    indexes={"job": lambda pod: [(pod.namespace, pod.job)]},
    wakes=_job_of_pod,
    # patch removes our finalizer from a pod whose end is recorded, and restores a label that another client removed.
    access={"": ("get", "list", "watch", "create", "patch", "delete")},
)


def _reduced(job: KnownJob) -> KnownJob:
    return ended_job(job) if isinstance(job, Job) else job


_JOBS: Final[Kind[KnownJob, Setup]] = Kind(
    resource=AGENTJOBS,
    parse=parse_job,
    first=",".join(f"status.phase!={phase.value}" for phase in Phase if phase.is_terminal),
    indexes={
        "schedule": lambda job: [job.made_by_uid] if job.made_by_uid else [],
        "queue": _queues_of_job,
        "template": _template_of_job,
    },
    wakes=_schedule_of_job,
    is_idle=_is_idle_job,
    reduce=_reduced,
    reconciler=lambda setup: Jobs(setup).reconcile,
    # Creates the jobs of schedules and of follow-ups, and cancels those that a later one of a schedule replaces: the
    # only field of a job's spec that it patches. Deletes jobs beyond their schedule's history limits, and those whose
    # TTL has expired. Pods have their job as blocking owner, as jobs have their schedule.
    access={
        "": ("get", "list", "watch", "create", "patch", "delete"),
        "status": ("patch",),
        "finalizers": ("update",),
    },
)

KINDS: Final[tuple[Kind[Any, Setup], ...]] = (_QUEUES, _TEMPLATES, _SCHEDULES, _PODS, _JOBS)
"""In the order in which they are listed. Queues and templates before jobs, which need them. Pods before jobs: a claim
without its pod would look like a pod to be created. Schedules before jobs: a job that a schedule's status names and
that is not in the later list of jobs is gone."""
