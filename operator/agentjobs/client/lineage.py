"""The tree of a job: the jobs before it and its follow-ups, from the cluster and from history.

History has deleted jobs, the cluster has jobs that are not in history yet. For a job in both, the current state comes
from the object, the cost from history.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from agentjobs import errors
from agentjobs.api.recorded import RelatedJob
from agentjobs.client.effects import Operation
from agentjobs.client.job import Job
from agentjobs.contract import ANNOTATION_PARENT_UID, LABEL_FOLLOW_UP, LABEL_PARENT

if TYPE_CHECKING:
    from agentjobs.client.operations import Operations

# Number of parents in one selector, which is part of a URL.
_PARENTS_PER_REQUEST: Final = 50
MAX_JOBS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeJob:
    """A job of a tree."""

    name: str
    uid: str
    parent_uid: str
    """The parent's name; empty if it has none."""
    follow_up: str
    """The follow-up's name in the parent's spec; empty if unknown."""
    phase: str
    outcome: str | None
    created: datetime
    finished: datetime | None
    cost_usd: Decimal | None
    branch: str
    """What was published of its workspace; empty for nothing."""
    commit: str
    pull_request: str
    is_there: bool
    """Whether its object exists in the cluster."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Jobs that follow one another, parents first."""

    jobs: Sequence[TreeJob]
    truncated: bool = False
    """Whether there are more jobs than these."""
    without_history: str = ""
    """Why history was not available; empty if it was."""

    @property
    def roots(self) -> Sequence[TreeJob]:
        """The first jobs of the chain; more than one if their common ancestor is unknown."""
        known = {job.uid for job in self.jobs}
        return [job for job in self.jobs if job.parent_uid not in known]

    def following(self, job: TreeJob) -> Sequence[TreeJob]:
        """Return the follow-ups of a job, oldest first."""
        return [other for other in self.jobs if other.parent_uid == job.uid and other.uid != job.uid]


def tree_of(do: "Operations", name: str) -> Operation[Tree]:
    """Read the tree of a job, by its name or its uid."""
    found: dict[str, TreeJob] = {}
    truncated, why, absent = False, "", None
    try:
        recorded = yield from do.recorded_tree(name)
        found, truncated = {job.uid: _recorded(job) for job in recorded.items}, recorded.truncated
    except errors.NotFound as error:
        absent = error
    except (errors.Unavailable, errors.Denied, errors.Misconfigured) as error:
        why = str(error)
    try:
        yield from _climb(do, found[name].name if name in found else name, found)
    except errors.NotFound as error:
        absent = absent or error
    if not found:
        raise absent or errors.Unavailable(why)
    more = yield from _descend(do, found)
    return Tree(tuple(_in_order(found)), truncated or more, why)


def _climb(do: "Operations", name: str, found: dict[str, TreeJob]) -> Operation[None]:
    """Add a job and the jobs before it, as far as their objects exist."""
    wanted = ""
    while True:
        job = yield from do.get(name)
        if wanted and job.uid != wanted:
            return  # a new job has the parent's name
        is_known = job.uid in found and found[job.uid].is_there
        _add(job, found)
        parent, wanted = job.labels.get(LABEL_PARENT), job.annotations.get(ANNOTATION_PARENT_UID, "")
        if is_known or not parent or not wanted:
            return
        name = parent


def _descend(do: "Operations", found: dict[str, TreeJob]) -> Operation[bool]:
    """Add follow-ups, level by level. True if there are too many."""
    requested: set[str] = set()
    while names := sorted({job.name for job in found.values()} - requested):
        chosen = names[:_PARENTS_PER_REQUEST]
        requested.update(chosen)
        for job in (yield from do.list(selector=f"{LABEL_PARENT} in ({','.join(chosen)})")):
            if job.annotations.get(ANNOTATION_PARENT_UID) not in found:
                continue
            if len(found) >= MAX_JOBS and job.uid not in found:
                return True
            _add(job, found)
    return False


def _add(job: Job, found: dict[str, TreeJob]) -> None:
    status, before = job.status, found.get(job.uid)
    usage, result = status.usage, status.result
    published = result.workspace if result else None
    node = TreeJob(
        name=job.name,
        uid=job.uid,
        parent_uid=job.annotations.get(ANNOTATION_PARENT_UID, ""),
        follow_up=job.labels.get(LABEL_FOLLOW_UP, ""),
        phase=job.phase.value,
        outcome=result.outcome if result else None,
        created=job.created,
        finished=status.completion_time,
        cost_usd=_dollars(usage.cost_usd if usage else None),
        branch=published.branch if published else "",
        commit=published.commit if published else "",
        pull_request=published.pull_request if published else "",
        is_there=True,
    )
    if before is not None and before.cost_usd is not None:
        node = replace(node, cost_usd=before.cost_usd)
    found[job.uid] = node


def _recorded(job: RelatedJob) -> TreeJob:
    published = job.workspace
    return TreeJob(
        name=job.name,
        uid=job.uid,
        parent_uid=job.parent_uid,
        follow_up="",
        phase=job.phase,
        outcome=job.outcome,
        created=job.created,
        finished=job.finished,
        cost_usd=job.cost_usd,
        branch=published.branch if published else "",
        commit=published.commit if published else "",
        pull_request=(published.pull_request or "") if published else "",
        is_there=False,
    )


def _dollars(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except ArithmeticError:
        return None


def _in_order(found: Mapping[str, TreeJob]) -> Iterator[TreeJob]:
    """Sort parents before their follow-ups, oldest first."""
    left: list[TreeJob] = sorted(found.values(), key=lambda job: (job.created, job.name))
    done: set[str] = set()
    while left:
        ready = [job for job in left if job.parent_uid not in found or job.parent_uid in done]
        ready = ready or left[:1]  # annotations that form a cycle
        yield from ready
        done.update(job.uid for job in ready)
        left = [job for job in left if job.uid not in done]


def document(tree: Tree) -> dict[str, Any]:
    """Return the tree as JSON."""
    return {"items": [_item(job) for job in tree.jobs], "truncated": tree.truncated}


def _item(job: TreeJob) -> dict[str, Any]:
    return {
        "name": job.name,
        "uid": job.uid,
        "parentUid": job.parent_uid,
        "followUp": job.follow_up,
        "phase": job.phase,
        "outcome": job.outcome,
        "created": job.created.isoformat(),
        "finished": job.finished.isoformat() if job.finished else None,
        "costUSD": None if job.cost_usd is None else str(job.cost_usd),
        "branch": job.branch or None,
        "commit": job.commit or None,
        "pullRequest": job.pull_request or None,
        "exists": job.is_there,
    }
