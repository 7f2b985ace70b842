"""Verdicts that depend on steps, with a real operator, gateway and runner: starts with progress use up no attempt."""

import psycopg
import pytest

from devcluster.client import PODS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

FIRST = {"agent": "one", "text": "1"}
# Never told in a test: the start that hears it is stopped before.
ENDLESS = {"agent": "two", "text": "2", "delay": "10m"}
SECOND = {"agent": "two", "text": "2"}
# A start that asked the model of `one` again would be told nothing, and fail.
GOES_ON = {"starts": [[FIRST, ENDLESS], [SECOND]]}
ONCE = {"maxAttempts": 1, "maxInfraRestarts": 0}
# A step in progress may continue until five seconds before the end of it.
BRIEF = {"terminationGracePeriodSeconds": 6}


@pytest.fixture
def halves(job_of):
    """A job of two agents, one after the other."""

    def build(name, script=GOES_ON, **spec):
        config_map, job = job_of(name, script, **spec)
        members = [{"name": member, "instruction": "Help."} for member in ("one", "two")]
        job["spec"]["agent"]["inline"] = {
            "agentClass": "SequentialAgent",
            "subAgents": ["one", "two"],
            "agents": members,
        }
        return config_map, job

    return build


async def recorded(system, name, steps=1):
    """Until so many steps of the job are recorded."""
    uid = (await system.job(name))["metadata"]["uid"]

    async def count(_):
        async with await psycopg.AsyncConnection.connect(system.cluster.dsn) as connection:
            asked = "SELECT count(*) FROM agentjobs.steps WHERE uid = %s AND ended IS NOT NULL"
            return (await (await connection.execute(asked, [uid])).fetchone())[0]

    await system.until("steps", lambda found: found >= steps, status_of=count)


def steps_of(status):
    return [(one["fromStep"], one["toStep"]) for one in status["attemptHistory"]]


async def test_a_timeout_after_a_new_step_is_not_charged_and_the_job_continues(system, halves):
    await system.apply(*halves("slow", retry=ONCE, timeouts={"attempt": "15s"}, runtime=BRIEF))
    waiting = await system.phase("slow", "Retrying")
    status = await system.finished("slow")

    (first,) = waiting["attemptHistory"]
    assert (first["verdict"], first["reason"], first["charged"]) == ("Snooze", "AttemptTimeout", False)
    assert waiting["checkpoint"]["step"] == 1
    assert (status["phase"], status["attempts"], status["starts"]) == ("Succeeded", 1, 2)
    assert (steps_of(status), status["snoozes"]) == ([(0, 1), (1, 2)], 1)


async def test_a_timeout_without_a_new_step_is_charged(system, halves):
    script = {"starts": [[{**ENDLESS, "agent": "one"}]]}
    await system.apply(*halves("still", script, retry=ONCE, timeouts={"attempt": "5s"}, runtime=BRIEF))
    status = await system.finished("still")

    assert (status["phase"], status["reason"]) == ("Failed", "AttemptTimeout")
    assert (status["attemptHistory"][0]["charged"], steps_of(status)) == (True, [(0, 0)])
    assert "checkpoint" not in status


async def test_a_pod_lost_after_a_new_step_counts_against_no_limit(system, halves):
    await system.apply(*halves("lost", retry=ONCE, runtime=BRIEF))
    await recorded(system, "lost")
    await system.client.delete(PODS, system.namespace, "lost-1")
    status = await system.finished("lost")

    assert (status["phase"], status["infraRestarts"], steps_of(status)) == ("Succeeded", 0, [(0, 1), (1, 2)])
    assert status["attemptHistory"][0]["reason"] == "RunnerLost"


async def test_a_suspended_job_continues_after_its_last_step(system, halves):
    await system.apply(*halves("held", retry=ONCE, runtime=BRIEF))
    await recorded(system, "held")
    await system.edit("held", suspend=True)
    held = await system.phase("held", "Suspended")
    await system.edit("held", suspend=False)
    status = await system.finished("held")

    assert held["checkpoint"]["step"] == 1
    assert (status["phase"], steps_of(status), status["checkpoint"]["step"]) == ("Succeeded", [(0, 1), (1, 2)], 2)


async def test_an_attempt_from_the_beginning_does_not_use_earlier_steps(system, halves):
    fails = {"agent": "two", "error": {"status": 500, "message": "The model is broken."}}
    script = {"starts": [[FIRST, fails, fails], [FIRST, SECOND]]}
    retry = {"resume": "FromStart", "backoff": {"initial": "1s"}}
    await system.apply(*halves("afresh", script, retry=retry, steps={"llm": {"maxAttempts": 1}}))
    status = await system.finished("afresh")

    assert (status["phase"], status["attempts"], status["usage"]["llmCalls"]) == ("Succeeded", 2, 3)
    assert status["attemptHistory"][1]["fromStep"] == 0
