"""Cancelling many jobs or running them again: the plan for each, and the result. Pure."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agentjobs.api.conditions import DELETED, OVER
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.job_filter import PHASES, JobFilter, JobOrder
from agentjobs.api.recorded import RecordedJob

MAX_JOBS: Final = 200
"""Jobs of one form."""
ACTIONS: Final = {"cancel": "Cancel", "rerun": "Run again"}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A job in a form."""

    namespace: str
    name: str
    uid: str

    @property
    def token(self) -> str:
        """Its value in the form. No part can contain a slash."""
        return f"{self.namespace}/{self.name}/{self.uid}"


@dataclass(frozen=True, slots=True)
class Item:
    """The plan for one job."""

    target: Target
    phase: str
    why_not: str
    """Why the job is not changed; empty where it is."""


@dataclass(frozen=True, slots=True)
class Done:
    """The result for one job."""

    target: Target
    is_done: bool
    made: str
    """The new job, empty for none."""
    message: str


def targets(values: Iterable[str]) -> tuple[Target, ...]:
    """Return the jobs of a form, each once; invalid values are left out."""
    found = (tuple(value.split("/")) for value in values)
    return tuple(
        dict.fromkeys(Target(*parts) for parts in found if len(parts) == 3 and all(map(_NAME.fullmatch, parts)))
    )


def target_of(job: RecordedJob) -> Target:
    """Return a job as a form has it."""
    return Target(job.namespace, job.name, job.uid)


def changeable(action: str, chosen: JobFilter) -> JobFilter | None:
    """Return the filter without the phases in which the action changes no job; None where no phase is left.

    Not in the order of costs: those of running jobs grow between pages, which would skip some.
    """
    phases = tuple(
        phase
        for phase in PHASES
        if (phase in OVER) == (action == "rerun") and (not chosen.phase or phase in chosen.phase)
    )
    order = JobOrder.NEWEST if chosen.order is JobOrder.COST else chosen.order
    return replace(chosen, phase=phases, order=order) if phases else None


def plan(action: str, requested: Sequence[Target], known: Iterable[RecordedJob]) -> tuple[Item, ...]:
    """Return the plan for each job, in their order."""
    by_uid = {(job.namespace, job.uid): job for job in known}
    return tuple(_item(action, target, by_uid.get((target.namespace, target.uid))) for target in requested)


def _item(action: str, target: Target, job: RecordedJob | None) -> Item:
    if job is None:
        return Item(target, "", "not found, or you may not read it")
    return Item(target, job.phase, _why_not(action, job))


def _why_not(action: str, job: RecordedJob) -> str:
    if action == "rerun":
        return "" if job.phase in OVER else "it has not ended"
    if job.phase in OVER - {DELETED}:
        return "it has ended already"
    return "its object was deleted" if job.phase == DELETED or job.deleted else ""


def is_token(text: str) -> bool:
    """Whether a text is a token of a form."""
    return bool(_TOKEN.fullmatch(text))


def name_again(target: Target, token: str) -> str:
    """Return the name of the job that runs the work of another again.

    It is derived from the form's token, so that a form that is sent twice creates one job.
    """
    made = hashlib.sha256(f"{token}/{target.namespace}/{target.uid}".encode()).hexdigest()[:8]
    return f"{target.name[: MAX_JOB_NAME - 9].rstrip('-.')}-{made}"


def lookups(targets: Sequence[Target], most: int) -> tuple[tuple[Target, ...], ...]:
    """Divide jobs into groups of at most `most`."""
    return tuple(tuple(targets[begin : begin + most]) for begin in range(0, len(targets), most))
