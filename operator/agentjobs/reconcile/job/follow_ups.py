"""The reads and writes that create the jobs of follow-ups; `core.job.following` explains their order."""

from collections.abc import Mapping
from typing import Any, Final

from agentjobs.contract import ANNOTATION_PARENT_UID
from agentjobs.core.job.actions import MakeFollowUp
from agentjobs.core.job.observation import Job, ParentRecord, Tried
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.reconcile.children import Children, Pass
from agentjobs.reconcile.job.facts import Facts
from agentjobs.reconcile.setup import Setup

_NO_RECORD: Final = ParentRecord(None, None, {})


class FollowUps:
    """Creates follow-up jobs."""

    def __init__(self, setup: Setup) -> None:
        self._state = setup.state
        self._children = Children(
            setup,
            parent=AGENTJOBS,
            child=AGENTJOBS,
            kind="job",
            controller=lambda job: job.parent_uid,
            parent_of=_parent_of,
        )

    async def make(self, job: Job, action: MakeFollowUp, facts: Facts) -> None:
        """Create the missing jobs of a follow-up, one after the other; the result is in `facts`.

        Raises:
            AgentJobsError: from the API server; the next try finds the created jobs.
        """
        known, current = (facts.record or _NO_RECORD).children, Pass()
        made, refusal, last = 0, None, ""
        for body in action.jobs:
            name = str(body["metadata"]["name"])
            if not self._exists(job, name, known):
                await self._children.create(job, dict(body), current)
            if (refused := current.refusals.get(name)) is None:
                made, last = made + 1, name
            elif refusal is None or refusal.final:
                refusal = refused
        facts.tried[action.name] = Tried(made, last, refusal)

    def _exists(self, job: Job, name: str, known: Mapping[str, str]) -> bool:
        """Whether a job is known to exist or to have existed, without a request."""
        child = self._state.jobs.get((job.namespace, name))
        is_there = child is not None and child.parent_uid == job.uid
        return is_there or name in known or self._children.was_deleted(job, name)


def _parent_of(child: Mapping[str, Any]) -> str | None:
    return (child["metadata"].get("annotations") or {}).get(ANNOTATION_PARENT_UID)
