"""Follow-ups: how long after a job's end its follow-up's pod is there, next to a job's own way to its pod; writes.

Both moments are those of the watch that everybody uses: the parent shows Succeeded, and the child's pod is added. Pods
end immediately, so that only what the operator does is measured.
"""

import asyncio
import contextlib
import gc
import statistics
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench import quiet
from tests.bench.figures import Figure
from tests.bench.load import OURS, Spent, agent_job, succeed, watching

from agentjobs.core.job.follow_ups import child_name
from agentjobs.dev.up import DevCluster, up
from devcluster.client import Object, Resource

AGENTTEMPLATES = Resource("agentjobs.dev", "v1alpha1", "agenttemplates", "AgentTemplate")
AIM_MS = 50.0
PARENTS = 60
EVERY = 0.2


def template() -> Object:
    """What follows, about as large as real ones."""
    work = agent_job("next")["spec"]
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentTemplate",
        "metadata": {"name": "next"},
        "spec": work,
    }


def parent(name: str) -> Object:
    """A job with one follow-up."""
    job = agent_job(name)
    after = {"name": "next", "templateRef": {"name": "next"}, "input": {"message": "Go on after $(parent.name)."}}
    job["spec"]["followUps"] = [after]
    return job


@contextlib.asynccontextmanager
async def _cluster() -> AsyncIterator[DevCluster]:
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with up(Path(folder), instant=succeed) as running:
            yield running


async def _once() -> tuple[float, float, float, float]:
    """Milliseconds from a parent's end to its child's pod, from a job's POST to its pod, writes of both sorts."""
    async with _cluster() as cluster:
        client = cluster.client
        await client.create(AGENTTEMPLATES, "default", template())
        async with watching(client, OURS) as seen:
            before = Spent.by_operator(cluster)
            uids = {}
            for number in range(PARENTS):
                made = await client.create(OURS.resource, "default", parent(f"parent-{number}"))
                uids[made["metadata"]["name"]] = made["metadata"]["uid"]
                await asyncio.sleep(EVERY)
            await seen.until(seen.done, 2 * PARENTS)
            followed = Spent.by_operator(cluster)
            late = [seen.pod[child_name(name, uid, "next")] - seen.done[name] for name, uid in uids.items()]
        async with watching(client, OURS) as seen:
            loop = asyncio.get_running_loop()
            for number in range(PARENTS):
                await client.create(OURS.resource, "default", agent_job(f"plain-{number}"))
                seen.created[f"plain-{number}"] = loop.time()
                await asyncio.sleep(EVERY)
            await seen.until(seen.done, PARENTS)
            plain = Spent.by_operator(cluster)
            own = [seen.pod[name] - at for name, at in seen.created.items()]
    writes = (followed.writes - before.writes) / PARENTS
    alone = (plain.writes - followed.writes) / PARENTS
    return 1000 * statistics.median(late), 1000 * statistics.median(own), writes, alone


def measure(runs: int) -> list[Figure]:
    """Take the figures of follow-ups."""
    found = []
    for _ in range(runs):
        with quiet.run():
            found.append(asyncio.run(_once()))
    late, own, writes, alone = (tuple(column) for column in zip(*found, strict=True))
    name = f"a parent's end to its follow-up's pod, p50 of {PARENTS}, embedded"
    return [
        Figure(name, "ms", late, AIM_MS, peer=own, peer_name="a job's POST to its pod"),
        Figure("API writes of a job and its follow-up", "", writes, peer=alone, peer_name="a job without"),
    ]
