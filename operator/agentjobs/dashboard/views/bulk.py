"""Cancelling or running again many jobs: what would happen to each, and what came of it. Pure."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agentjobs.api.conditions import DELETED, OVER
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.recorded import RecordedJob

MAX_JOBS: Final = 200
"""That one form acts on."""
ACTIONS: Final = {"cancel": "Cancel", "rerun": "Run again"}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A job that a form names."""

    namespace: str
    name: str
    uid: str

    @property
    def token(self) -> str:
        """As the form has it: none of the parts can hold a slash."""
        return f"{self.namespace}/{self.name}/{self.uid}"


@dataclass(frozen=True, slots=True)
class Item:
    """What would happen to one job."""

    target: Target
    phase: str
    why_not: str
    """Why the job is left alone; empty where the action can be done."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one job."""

    target: Target
    is_done: bool
    made: str
    """The job that runs its work again, empty for none."""
    message: str


def targets(values: Iterable[str]) -> tuple[Target, ...]:
    """Return the jobs that a form names, each once; what cannot be a job is left out."""
    found = (tuple(value.split("/")) for value in values)
    return tuple(
        dict.fromkeys(Target(*parts) for parts in found if len(parts) == 3 and all(map(_NAME.fullmatch, parts)))
    )


def target_of(job: RecordedJob) -> Target:
    """Return a job as a form names it."""
    return Target(job.namespace, job.name, job.uid)


def plan(action: str, asked: Sequence[Target], known: Iterable[RecordedJob]) -> tuple[Item, ...]:
    """Tell what would happen to each job, in the order in which they were asked for."""
    by_uid = {(job.namespace, job.uid): job for job in known}
    return tuple(_item(action, one, by_uid.get((one.namespace, one.uid))) for one in asked)


def _item(action: str, target: Target, job: RecordedJob | None) -> Item:
    if job is None:
        return Item(target, "", "there is no such job any more, or you may not read it")
    return Item(target, job.phase, _why_not(action, job))


def _why_not(action: str, job: RecordedJob) -> str:
    if action == "rerun":
        return "" if job.phase in OVER else "it has not ended"
    if job.phase in OVER - {DELETED}:
        return "it has ended already"
    return "its object was deleted" if job.phase == DELETED or job.deleted else ""


def is_token(text: str) -> bool:
    """Whether a text is what a form of ours has to tell it from other forms."""
    return bool(_TOKEN.fullmatch(text))


def name_again(target: Target, token: str) -> str:
    """Return the name of the job that runs the work of another again.

    It follows from the form's token, so that a form that is sent twice makes one job.
    """
    made = hashlib.sha256(f"{token}/{target.namespace}/{target.uid}".encode()).hexdigest()[:8]
    return f"{target.name[: MAX_JOB_NAME - 9].rstrip('-.')}-{made}"


def lookups(asked: Sequence[Target], most: int) -> tuple[tuple[Target, ...], ...]:
    """Divide jobs into questions of at most so many names."""
    return tuple(tuple(asked[begin : begin + most]) for begin in range(0, len(asked), most))
