"""Two operators without a Lease, as in a split brain: every write's precondition must hold alone."""

import pytest

from agentjobs.contract import TerminationMessage, Verdict, start_of
from agentjobs.dev.up import up
from devcluster.client import PODS
from devcluster.node import Instant

pytestmark = pytest.mark.xdist_group("two-operators")

JOBS = 60


def verdict_of(pod):
    """Every third job's first start fails; all others succeed."""
    meta = pod["metadata"]
    job = meta["labels"]["agentjobs.dev/job"]
    start, uid = start_of(meta["name"], job), meta["ownerReferences"][0]["uid"]
    failing = start == 1 and int(job.rpartition("-")[2]) % 3 == 0
    word = TerminationMessage(
        Verdict.RETRY if failing else Verdict.SUCCEED, "ToolError" if failing else "", "", start, uid
    )
    return Instant(message=word.dump(), exit_code=70 if failing else 0)


async def test_two_simultaneous_operators_create_each_pod_once(backend, forks, tmp_path, systems, job_of):
    settings = {"AGENTJOBS_LEADER_ELECT": "false", "AGENTJOBS_QUEUES": f'{{"agents": {JOBS}}}'}
    async with up(
        tmp_path, apiserver=backend, operators=2, settings=settings, instant=verdict_of, forks=forks
    ) as cluster:
        system = systems(cluster)
        agent = {"model": "gemini-x", "inline": {"instruction": "x"}}
        for number in range(JOBS):
            (body,) = job_of(f"job-{number}", None, agent=agent, retry={"backoff": {"initial": "1s"}})
            await system.apply(body)
        statuses = [await system.finished(f"job-{number}") for number in range(JOBS)]
        pods = await system.until("pods", released, status_of=pods_of(system))

    starts = [2 if number % 3 == 0 else 1 for number in range(JOBS)]
    assert [status["phase"] for status in statuses] == ["Succeeded"] * JOBS
    assert [status["starts"] for status in statuses] == starts
    assert [status["attempts"] for status in statuses] == starts
    assert len(pods) == sum(starts)


def pods_of(system):
    async def pods(_):
        return (await system.client.list(PODS, system.namespace, label_selector="agentjobs.dev/job"))[0]

    return pods


def released(pods):
    """The operators have written all they have to about pods that ended."""
    return not any(pod["metadata"].get("finalizers") for pod in pods)
