"""Parents and follow-ups of a job, as indented lines. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from agentjobs.api.recorded import RecordedTree, RelatedJob


@dataclass(frozen=True, slots=True)
class Relative:
    """A job of the tree, and its depth."""

    job: RelatedJob
    depth: int
    is_this: bool


def relatives(tree: RecordedTree, uid: str) -> list[Relative]:
    """Return the jobs of a tree, each before those that follow it; `uid` is the job of the page."""
    known = {job.uid for job in tree.items}
    below: dict[str, list[RelatedJob]] = {}
    for job in tree.items:
        below.setdefault(job.parent_uid if job.parent_uid in known else "", []).append(job)
    return list(_branch(below, uid))


def _branch(below: dict[str, list[RelatedJob]], uid: str) -> Iterator[Relative]:
    """Yield depth first, each job once, so that wrong parents cannot cause an endless loop."""
    waiting = [(job, 0) for job in reversed(below.pop("", []))]
    while waiting:
        job, depth = waiting.pop()
        yield Relative(job, depth, job.uid == uid)
        waiting += [(child, depth + 1) for child in reversed(below.pop(job.uid, []))]
