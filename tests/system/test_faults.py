"""Things die; jobs still end, once."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from devcluster.client import PODS, Resource

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("faults")]

SLOW = {"starts": [[{"delay": "3s", "text": "Done at last."}]]}
QUICK = {"starts": [[{"text": "Done."}]]}
# The first start never ends by itself, however late a busy machine ends it.
ENDLESS = {"starts": [[{"delay": "10m", "text": "Too late."}], [{"text": "Done."}]]}


@pytest.fixture
def system(broken_system):
    return broken_system


def runner_pid(pod_name):
    """Process of the runner whose environment names this pod's start."""
    job, _, start = pod_name.rpartition("-")
    wanted = {f"AGENTJOBS_JOB={job}".encode(), f"AGENTJOBS_START={start}".encode()}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted <= set((process / "environ").read_bytes().split(b"\0")):
                return int(process.name)
    raise AssertionError(f"no process of {pod_name}")


async def test_a_killed_runner_is_charged_and_retried(system, job_of):
    await system.apply(*job_of("killed", ENDLESS, retry={"backoff": {"initial": "1s"}}))
    await system.running("killed")
    os.kill(runner_pid("killed-1"), signal.SIGKILL)
    status = await system.finished("killed")

    assert [(one["reason"], one["charged"]) for one in status["attemptHistory"]] == [
        ("RunnerCrashed", True),
        ("", False),
    ]


async def test_the_usage_of_a_killed_runner_is_counted(system, job_of):
    answers = [
        {"agent": "one", "text": "1", "usage": {"inputTokens": 100, "outputTokens": 10}},
        {"agent": "two", "text": "2", "delay": "10m"},
    ]
    after = [{"text": "3", "usage": {"inputTokens": 7, "outputTokens": 1}}]
    config_map, job = job_of("metered", {"starts": [answers, after]}, retry={"backoff": {"initial": "1s"}})
    members = [{"name": name, "instruction": "Help."} for name in ("one", "two")]
    job["spec"]["agent"]["inline"] = {"agentClass": "SequentialAgent", "subAgents": ["one", "two"], "agents": members}
    await system.apply(config_map, job)
    await system.running("metered")

    async def told(_):
        return [one["kind"] for one in (await system.history("metered/events"))["items"]]

    await system.until("metered", lambda kinds: "model" in kinds, status_of=told)
    os.kill(runner_pid("metered-1"), signal.SIGKILL)
    status = await system.finished("metered")

    # The recorded answer of "one" is not asked for again; the call that was killed is not known.
    assert status["usage"] == {"llmCalls": 2, "toolCalls": 0, "inputTokens": 107, "outputTokens": 11}
    starts = (await system.job_history("metered"))["starts"]
    assert [start["usage"] for start in starts] == [
        {"llmCalls": 1, "inputTokens": 100, "outputTokens": 10},
        {"llmCalls": 1, "inputTokens": 7, "outputTokens": 1},
    ]


async def test_a_manually_deleted_pod_uses_up_no_attempt(system, job_of):
    await system.apply(*job_of("deleted", ENDLESS, runtime={"terminationGracePeriodSeconds": 6}))
    await system.running("deleted")
    await system.client.delete(PODS, system.namespace, "deleted-1")
    status = await system.finished("deleted")

    assert (status["phase"], status["attempts"], status["starts"]) == ("Succeeded", 1, 2)
    assert status["attemptHistory"][0]["reason"] == "RunnerLost"


async def test_an_operator_continues_where_a_killed_one_stopped(system, job_of):
    await system.apply(*job_of("orphaned", SLOW))
    await system.running("orphaned")
    await system.crash("operator")
    await asyncio.sleep(4)
    system.start("operator")
    status = await system.finished("orphaned")

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


async def test_a_job_deleted_while_no_operator_ran_is_closed_in_history(system, job_of):
    await system.apply(*job_of("forgotten", SLOW))
    await system.running("forgotten")
    await system.crash("operator")
    await system.delete(AGENTJOBS, "forgotten")
    system.start("operator")

    await system.until("forgotten", lambda told: "Deleted" in str(told), status_of=system.history)


async def test_a_job_waits_for_a_killed_gateway(system, job_of):
    await system.apply(*job_of("unheard", {"starts": [[{"delay": "1s", "text": "Done."}]]}))
    await system.running("unheard")
    await system.crash("gateway")
    await asyncio.sleep(2)
    system.start("gateway")
    status = await system.finished("unheard")

    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


async def test_a_crash_of_postgres_loses_and_repeats_nothing(system, job_of, said):
    await system.apply(*job_of("before", SLOW))
    await system.running("before")
    os.kill(system.cluster.postgres.pid, signal.SIGKILL)
    await system.apply(*job_of("during", QUICK))
    waiting = await system.until("during", lambda status: said(status, "Accepted", "reason") == "HistoryUnavailable")
    await system.cluster.restart_postgres()
    first, second = await system.finished("before"), await system.finished("during")
    told = [row["name"] for row in (await system.history())["items"]]

    assert waiting["phase"] == "Pending"
    assert [status["phase"] for status in (first, second)] == ["Succeeded", "Succeeded"]
    assert (told.count("before"), told.count("during")) == (1, 1)


async def test_a_job_deleted_and_immediately_applied_again_is_a_new_job(system, job_of):
    script, body = job_of("again", SLOW)
    await system.apply(script, body)
    await system.running("again")
    old = (await system.job("again"))["metadata"]["uid"]
    await system.delete(AGENTJOBS, "again")
    await system.apply(body)
    status = await system.finished("again")

    assert (await system.job("again"))["metadata"]["uid"] != old
    assert (status["phase"], status["starts"]) == ("Succeeded", 1)


async def test_a_foreign_pod_with_the_name_of_a_start_is_not_touched_and_reported(system, job_of, said):
    foreign = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "taken-1"},
        "spec": system.cluster.place.placement
        | {"containers": [{"name": "c", "image": "any", "command": ["sleep", "300"]}]},
    }
    await system.client.create(PODS, system.namespace, foreign)
    await system.apply(*job_of("taken", QUICK))
    said_so = await system.until("taken", lambda status: said(status, "PodStarted", "reason") == "PodNameTaken")
    await system.client.delete(PODS, system.namespace, "taken-1")
    status = await system.finished("taken")

    assert said_so["phase"] == "Running"
    assert (status["phase"], status["starts"]) == ("Succeeded", 1)
