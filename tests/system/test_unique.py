"""Unique jobs and jobs that wait for others, through the whole system."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from agentjobs.contract import TerminationMessage, Verdict, start_of
from agentjobs.dev.up import up
from devcluster.client import PODS, Resource
from devcluster.node import Instant

EXAMPLES = Path(__file__).parents[2] / "examples" / "unique"
JOBS = 500
AT_ONCE = 100  # an API server answers 429 to more
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")


def succeeds(pod):
    """The pod's container ends immediately, with the runner's word."""
    meta = pod["metadata"]
    start = start_of(meta["name"], meta["labels"]["agentjobs.dev/job"])
    word = TerminationMessage(Verdict.SUCCEED, "", "", start, meta["ownerReferences"][0]["uid"])
    return Instant(message=word.dump(), exit_code=0)


@pytest.mark.xdist_group("two-operators")
async def test_five_hundred_simultaneous_equal_jobs_make_one_run_with_two_operators(
    backend, forks, tmp_path, systems, job_of
):
    settings = {"AGENTJOBS_LEADER_ELECT": "false"}
    async with up(
        tmp_path, apiserver=backend, operators=2, settings=settings, instant=succeeds, forks=forks
    ) as cluster:
        system = systems(cluster)
        agent = {"model": "gemini-x", "inline": {"instruction": "x"}}
        bodies = [job_of(f"equal-{n}", None, agent=agent, unique={"states": "All"})[0] for n in range(JOBS)]
        for first in range(0, JOBS, AT_ONCE):
            await asyncio.gather(*map(system.apply, bodies[first : first + AT_ONCE]))
        statuses = [await system.finished(f"equal-{n}", 120) for n in range(JOBS)]
        pods, _ = await cluster.client.list(PODS, system.namespace, label_selector="agentjobs.dev/job")

    ran = [n for n, status in enumerate(statuses) if status["phase"] == "Succeeded"]
    assert len(ran) == len(pods) == 1
    assert Counter(status["phase"] for status in statuses) == {"Succeeded": 1, "Skipped": JOBS - 1}
    named = {status["duplicateOf"]["name"] for status in statuses if status["phase"] == "Skipped"}
    assert named == {f"equal-{ran[0]}"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.xdist_group("shared-cluster")
async def test_one_of_equal_jobs_runs_and_the_last_of_a_burst(module_system):
    for name in ("equal-jobs", "debounced-burst"):
        await module_system.apply_file(EXAMPLES / f"{name}.yaml")
    equal = [await module_system.finished(f"review-{n}") for n in "abc"]
    burst = [await module_system.finished(f"reindex-{n}") for n in range(1, 6)]
    told = await module_system.history("reindex-1")

    assert Counter(status["phase"] for status in equal) == {"Succeeded": 1, "Skipped": 2}
    assert [(status["phase"], status["reason"]) for status in burst[:4]] == [("Cancelled", "Replaced")] * 4
    assert burst[4]["phase"] == "Succeeded"
    assert told["job"]["phase"] == "Cancelled"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.xdist_group("shared-cluster")
async def test_a_job_waits_for_others_and_gets_their_answers(module_system, job_of):
    answer = {"starts": [[{"delay": "1s", "text": '{"title": "$(job.name) {x}"}'}]]}
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    after = {"jobs": ["plan"], "selector": {"set": "parts"}}
    told = {"message": "$(after.plan.title), $(after.results)"}
    join = job_of("join", {"starts": [[{"text": "Done."}]]}, after=after, input=told)
    await module_system.apply(*join)
    waits = await module_system.until("join", lambda status: status.get("reason") == "WaitingForJobs")
    plan = job_of("plan", answer, output={"schema": schema})
    plan[-1]["metadata"]["labels"] = {"set": "parts"}
    await module_system.apply(*plan)
    ended = await module_system.finished("join")
    assert (waits["phase"], ended["phase"]) == ("Pending", "Succeeded"), await module_system.status("plan")
    spec = await module_system.history("join/spec")
    result = '{"job":"plan","phase":"Succeeded","outcome":null,"result":{"title":"$(job.name) {x}"}}'
    assert spec["spec"]["input"]["message"] == f"$(job.name) {{x}}, [{result}]"


@pytest.mark.xdist_group("two-operators")
async def test_a_job_deleted_while_no_operator_ran_does_not_prevent_an_equal_job(
    backend, forks, tmp_path, systems, job_of
):
    agent = {"model": "gemini-x", "inline": {"instruction": "x"}}
    waits = {"agent": agent, "startAfter": "1h", "unique": {"key": "index", "states": "Incomplete"}}
    async with up(tmp_path, apiserver=backend, settings={"AGENTJOBS_LEADER_ELECT": "false"}, forks=forks) as cluster:
        system = systems(cluster)
        await system.apply(*job_of("old", None, **waits))
        await system.phase("old", "Scheduled")
        await system.crash("operator")
        await system.delete(AGENTJOBS, "old")
        await system.apply(*job_of("new", None, **waits))
        system.start("operator")
        told = await system.until("new", lambda status: status.get("phase") in ("Scheduled", "Skipped"))

    assert told["phase"] == "Scheduled"
