"""A queue's limit holds while operators die, sleep and meet: counted in PostgreSQL at every claim, and in the pods."""

import asyncio
import contextlib
import os
import signal
import urllib.request

import psycopg
import pytest
import pytest_asyncio

from agentjobs.contract import LABEL_JOB, TerminationMessage, Verdict, start_of
from agentjobs.dev.up import up
from devcluster.client import PODS, Resource
from devcluster.node import Instant

from .conftest import restarting_operators

QUEUES = Resource("agentjobs.dev", "v1alpha1", "agentqueues", "AgentQueue")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("slots"),
    pytest.mark.alone("operators of a cluster of others are not broken for a test"),
]
LEASE = {"AGENTJOBS_LEASE_DURATION": "4s", "AGENTJOBS_LEASE_DEADLINE": "3s", "AGENTJOBS_LEASE_RETRY": "500ms"}
# Within the transaction of a claim: what others hold cannot change meanwhile, but for slots that are freed.
COUNTING = """
CREATE TABLE IF NOT EXISTS public.most (queue text PRIMARY KEY, n bigint NOT NULL);
CREATE OR REPLACE FUNCTION public.count_slots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.most SELECT queue, count(*) FROM agentjobs.slots GROUP BY queue
    ON CONFLICT (queue) DO UPDATE SET n = greatest(most.n, excluded.n);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER count_slots AFTER INSERT OR UPDATE ON agentjobs.slots
    FOR EACH STATEMENT EXECUTE FUNCTION public.count_slots();
"""


def a_while(pod):
    """Every third job's first start fails; all others succeed. Each takes a third of a second."""
    meta = pod["metadata"]
    job = meta["labels"][LABEL_JOB]
    start, uid = start_of(meta["name"], job), meta["ownerReferences"][0]["uid"]
    failing = start == 1 and int(job.rpartition("-")[2]) % 3 == 0
    verdict, reason = (Verdict.RETRY, "ToolError") if failing else (Verdict.SUCCEED, "")
    return Instant(TerminationMessage(verdict, reason, "", start, uid).dump(), 70 if failing else 0, 0.3)


class Crowd:
    """Jobs of one queue, and how many of them ever ran at the same time."""

    def __init__(self, system, job_of, queue):
        self.system = system
        self.queue = queue
        self._job_of = job_of
        self.most_pods = 0

    async def allow(self, most):
        spec = {"concurrency": {"max": most}}
        body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": self.queue}}
        await self.system.client.create(QUEUES, self.system.namespace, body | {"spec": spec})

    async def change(self, most):
        """Change the limit; return when the operator knows it."""
        spec = {"spec": {"concurrency": {"max": most}}}
        changed = await self.system.client.patch(QUEUES, self.system.namespace, self.queue, spec)
        generation = changed["metadata"]["generation"]
        await self.system.until(
            self.queue, lambda status: status.get("observedGeneration") == generation, status_of=self.system.queue
        )

    async def apply(self, count):
        agent = {"model": "gemini-x", "inline": {"instruction": "x"}}
        self.names = [f"{self.queue}-{number}" for number in range(count)]
        for name in self.names:
            retry = {"backoff": {"initial": "1s"}}
            await self.system.apply(*self._job_of(name, None, agent=agent, queue=self.queue, retry=retry))

    async def finished(self):
        watching = asyncio.create_task(self._watch())
        try:
            found = [await self.system.finished(name) for name in self.names]
        finally:
            watching.cancel()
        return {status["phase"] for status in found}

    async def _watch(self):
        while True:
            with contextlib.suppress(Exception):  # the next look may have it
                pods, _ = await self.system.client.list(PODS, self.system.namespace, label_selector=LABEL_JOB)
                mine = [pod for pod in pods if pod["metadata"]["labels"][LABEL_JOB] in self.names]
                living = sum((pod.get("status") or {}).get("phase") in (None, "Pending", "Running") for pod in mine)
                self.most_pods = max(self.most_pods, living)
            await asyncio.sleep(0.03)

    def most_slots(self, *, afresh=False):
        """The most slots that were held at a claim, of those that were counted since it was asked afresh."""
        with psycopg.connect(self.system.cluster.dsn) as connection:
            found = connection.execute("SELECT n FROM public.most WHERE queue = %s", [self.queue]).fetchone()
            if afresh:
                connection.execute("DELETE FROM public.most WHERE queue = %s", [self.queue])
        return found[0] if found else 0

    async def held(self):
        """How many slots are held, once the writer has written all ends."""
        for _ in range(100):
            with psycopg.connect(self.system.cluster.dsn) as connection:
                question = "SELECT count(*) FROM agentjobs.slots WHERE queue = %s"
                (count,) = connection.execute(question, [self.queue]).fetchone()
            if not count:
                break
            await asyncio.sleep(0.1)
        return count


def count_slots(cluster):
    with psycopg.connect(cluster.dsn) as connection:
        connection.execute(COUNTING)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(backend, forks, tmp_path_factory, systems):
    """A cluster with a leader and a standby, whose claims are counted."""
    folder = tmp_path_factory.mktemp("cluster")
    async with up(folder, apiserver=backend, operators=2, settings=LEASE, instant=a_while, forks=forks) as cluster:
        count_slots(cluster)
        async with restarting_operators(cluster):
            yield systems(cluster)


@pytest.fixture
def crowd(pair, job_of, request):
    return Crowd(pair, job_of, request.node.name.removeprefix("test_")[:40].replace("_", "-").strip("-"))


async def leader(system):
    """The operator that leads."""
    for _ in range(400):
        for name, part in system.cluster.parts.items():
            if name.startswith("operator") and await asyncio.to_thread(_leads, part):
                return part
        await asyncio.sleep(0.05)
    raise AssertionError("nobody leads")


def _leads(part):
    try:
        url = f"http://{part.env['AGENTJOBS_PROBE_ADDRESS']}/metrics"
        with urllib.request.urlopen(url, timeout=1) as answer:
            return b"\nagentjobs_leader 1.0" in answer.read()
    except OSError:
        return False


async def test_two_simultaneous_operators_share_a_limit(backend, forks, tmp_path, systems, job_of):
    settings = {"AGENTJOBS_LEADER_ELECT": "false", "AGENTJOBS_QUEUES": '{"agents": 3}'}
    async with up(tmp_path, apiserver=backend, operators=2, settings=settings, instant=a_while, forks=forks) as cluster:
        count_slots(cluster)
        crowd = Crowd(systems(cluster), job_of, "agents")
        await crowd.apply(60)
        phases = await crowd.finished()
        told = crowd.most_slots(), crowd.most_pods, await crowd.held()

    assert (phases, told) == ({"Succeeded"}, (3, 3, 0))


async def test_killing_leaders_does_not_exceed_a_limit(pair, crowd):
    await crowd.allow(3)
    await crowd.apply(30)
    ended = asyncio.create_task(crowd.finished())
    for _ in range(3):
        part = await leader(pair)
        await asyncio.sleep(0.7)
        await part.end(signal.SIGKILL)
        part.start()

    assert await ended == {"Succeeded"}
    assert (crowd.most_slots(), crowd.most_pods <= 3, await crowd.held()) == (3, True, 0)


async def test_a_paused_leader_that_resumes_next_to_a_new_one_does_not_exceed_a_limit(pair, crowd):
    await crowd.allow(3)
    await crowd.apply(40)
    ended = asyncio.create_task(crowd.finished())
    part = await leader(pair)
    await asyncio.sleep(0.5)
    part.send(signal.SIGSTOP)
    await asyncio.sleep(5.5)
    part.send(signal.SIGCONT)
    await asyncio.sleep(1.5)
    await part.end(signal.SIGKILL)  # it has ended itself, and may run again
    part.start()

    assert await ended == {"Succeeded"}
    assert (crowd.most_slots(), crowd.most_pods <= 3, await crowd.held()) == (3, True, 0)


async def test_slots_are_freed_when_postgres_is_available_again(pair, crowd):
    await crowd.allow(2)
    await crowd.apply(8)
    ended = asyncio.create_task(crowd.finished())
    await asyncio.sleep(1)
    os.kill(pair.cluster.postgres.pid, signal.SIGKILL)
    await pair.cluster.postgres.wait()
    await asyncio.sleep(1.5)
    await pair.cluster.restart_postgres()

    assert await ended == {"Succeeded"}
    assert (crowd.most_slots(), crowd.most_pods <= 2, await crowd.held()) == (2, True, 0)


async def test_limits_can_change_while_jobs_run(pair, crowd):
    await crowd.allow(4)
    await crowd.apply(40)
    ended = asyncio.create_task(crowd.finished())
    await pair.until("slots", lambda most: most == 4, status_of=lambda _: asyncio.sleep(0, crowd.most_slots()))
    await crowd.change(1)
    await asyncio.sleep(1)  # until the starts that were being claimed are claimed
    before = crowd.most_slots(afresh=True)
    await pair.until("slots", bool, status_of=lambda _: asyncio.sleep(0, crowd.most_slots()))
    await asyncio.sleep(1.5)
    lowered = crowd.most_slots(afresh=True)
    await crowd.change(6)

    assert await ended == {"Succeeded"}
    assert (before, lowered, crowd.most_slots(), await crowd.held()) == (4, 1, 6, 0)
