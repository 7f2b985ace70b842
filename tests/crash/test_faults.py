"""Faults around a start that records its steps, from a second pod to an unreadable row."""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import make_url
from tests.crash.line import line
from tests.crash.outside import PYTHONPATH, world
from tests.crash.topologies import Topology

from agentjobs import contract
from agentjobs.history import migrate
from devcluster.postgres import EmbeddedPostgres

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELD = Topology("held")
WHOLE = [
    *("model root(Go.)/1", "tool fetch(a)", "model root(Go.)/2", "tool hold(b)"),
    *("model root(Go.)/3", "tool notify(c)", "model root(Go.)/4"),
]


@pytest.fixture
def gate(tmp_path):
    """A file that `hold` waits for."""
    return tmp_path / "gate"


def began(*starts):
    return [line["what"] for start in starts for line in start.lines if line["phase"] == "begin"]


def verdict(start):
    return start.message and (str(start.message.verdict), start.message.reason)


async def test_a_pod_whose_start_has_ended_stops(crash_world, gate):
    job = await crash_world.accept(HELD)
    old = crash_world.launch(job, HOLD=str(gate))
    await old.until("begin tool hold(b)")
    await crash_world.next_start(job)
    new = await crash_world.launch(job).ended()

    gate.touch()
    left = await old.ended()

    assert began(new) == WHOLE[3:]
    assert verdict(new) == ("Succeed", "ResultAccepted")
    assert (old.code, left.message, began(left)) == (contract.EXIT_FENCED, None, WHOLE[:4])


async def test_a_second_pod_of_a_start_does_nothing(crash_world, gate):
    job = await crash_world.accept(HELD)
    first = crash_world.launch(job, HOLD=str(gate))
    await first.until("begin tool hold(b)")

    double = crash_world.launch(job, pod="double")
    nothing = await double.ended()
    gate.touch()
    whole = await first.ended()

    assert (double.code, began(nothing)) == (contract.EXIT_FENCED, [])
    assert (began(whole), verdict(whole)) == (WHOLE, ("Succeed", "ResultAccepted"))


async def test_steps_whose_answers_are_lost_are_stored_once(crash_world):
    async with line(crash_world.url) as carried:
        carried.losing["POST /v1/attempt/steps"] = 3
        job = await crash_world.accept(HELD)

        start = await crash_world.behind(carried.url).start(job)

    steps = crash_world.rows("SELECT key, kind FROM agentjobs.steps WHERE uid = %(uid)s", uid=job.uid)
    assert len(carried.lost) == 3
    assert (began(start), verdict(start)) == (WHOLE, ("Succeed", "ResultAccepted"))
    assert len([step for step in steps if step["kind"] != "value"]) == len(WHOLE)
    assert len(steps) == len({step["key"] for step in steps})


async def test_a_step_waits_for_an_unavailable_gateway(crash_world, gate):
    async with line(crash_world.url) as carried:
        job = await crash_world.accept(HELD)
        running = crash_world.behind(carried.url).launch(job, HOLD=str(gate))
        await running.until("begin tool hold(b)")
        carried.is_down = True
        gate.touch()
        await running.until("end tool hold(b)")
        await asyncio.sleep(1.5)
        acted = running.lines()
        carried.is_down = False
        start = await running.ended()

    assert acted[-1] == "end tool hold(b)"
    assert (began(start), verdict(start)) == (WHOLE, ("Succeed", "ResultAccepted"))


async def test_a_crash_of_postgres_loses_no_step(crash_forks, gate):
    folder = Path(tempfile.mkdtemp(prefix="agentjobs-test-"))
    async with EmbeddedPostgres(folder, user="agentjobs") as server:
        migrate.upgrade(server.dsn)
        async with world(make_url(server.dsn).render_as_string(hide_password=False), crash_forks, gate.parent) as own:
            job = await own.accept(HELD)
            running = own.launch(job, HOLD=str(gate))
            await running.until("begin tool hold(b)")
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            gate.touch()
            await running.until("end tool hold(b)")
            await asyncio.sleep(2)
            acted = running.lines()
            await server.stop()
            await server.start()
            start = await running.ended()

    assert acted[-1] == "end tool hold(b)"
    assert (began(start), verdict(start)) == (WHOLE, ("Succeed", "ResultAccepted"))


async def test_a_start_that_is_stopped_records_its_running_step(crash_world, gate):
    job = await crash_world.accept(HELD)
    running = crash_world.launch(job, HOLD=str(gate))
    await running.until("begin tool hold(b)")
    running.send(signal.SIGTERM)
    await asyncio.sleep(0.2)
    gate.touch()
    first = await running.ended()

    second = await crash_world.start(job)

    assert verdict(first) == ("Snooze", "Interrupted")
    assert began(first, second) == WHOLE
    assert verdict(second) == ("Succeed", "ResultAccepted")


async def test_a_start_killed_during_a_step_repeats_only_that_step(crash_world, gate):
    job = await crash_world.accept(HELD)
    running = crash_world.launch(job, HOLD=str(gate), **{contract.ENV_GRACE_SECONDS: "6"})
    await running.until("begin tool hold(b)")
    running.send(signal.SIGTERM)
    first = await running.ended()

    second = await crash_world.start(job)

    assert verdict(first) == ("Snooze", "Interrupted")
    assert (began(first), began(second)) == (WHOLE[:4], WHOLE[3:])


async def test_an_agent_does_not_act_again_if_parallel_members_end_in_another_order(crash_world, gate):
    job = await crash_world.accept(Topology("order"))
    running = crash_world.launch(job, kill_at=17, HOLD=str(gate))
    await running.until("end model early(Go.)/2")
    gate.touch()
    first = await running.ended()

    second = await crash_world.start(job)

    assert "tool rank(model early(Go.)/2 model late(Go.)/2)" in began(first)
    assert (began(second), verdict(second)) == (["model reader(Go.)/2"], ("Succeed", "ResultAccepted"))


async def test_a_tool_that_must_not_run_twice_is_not_run_again(crash_world, gate):
    once = {"tools": [{"match": ["hold"], "onInterrupted": "Fail"}]}
    job = await crash_world.accept(HELD, steps=once)
    running = crash_world.launch(job, HOLD=str(gate))
    await running.until("begin tool hold(b)")
    running.send(signal.SIGKILL)
    await running.ended()

    second = await crash_world.start(job)

    assert (verdict(second), began(second)) == (("Fail", "ToolInterrupted"), [])
    assert "hold" in second.message.message


# --- what is too large, or cannot be read -----------------------------------------------------------------------------


async def test_a_tool_result_of_nearly_a_megabyte_is_a_step(crash_world):
    job = await crash_world.accept(Topology("large_result"))
    first = await crash_world.start(job, kill_at=9, SIZE=str(contract.MAX_STEP_BYTES - 4096))

    second = await crash_world.start(job)

    assert (began(second), verdict(second)) == (["model root(Go.)/3"], ("Succeed", "ResultAccepted"))
    assert first.message is None


@pytest.mark.parametrize("team", ["large_result", "large_answer"])
async def test_a_step_above_the_size_limit_fails_the_job_and_is_named(crash_world, team):
    job = await crash_world.accept(Topology(team))

    start = await crash_world.start(job, SIZE=str(contract.MAX_STEP_BYTES + 1))

    assert verdict(start) == ("Fail", "StepTooLarge")
    assert {"large_result": "export", "large_answer": "root"}[team] in start.message.message


SPOILED = "UPDATE agentjobs.steps SET body = %(body)s WHERE uid = %(uid)s AND name = 'fetch' RETURNING n"


async def test_an_unreadable_step_is_named_and_a_new_attempt_does_not_need_it(crash_world):
    job = await crash_world.accept(HELD, retry={"maxAttempts": 3, "resume": "FromStart"})
    await crash_world.start(job, kill_at=5)

    for body in ('{"half": ', '"not what a tool gave"', "[]"):
        (row,) = crash_world.rows(SPOILED, uid=job.uid, body=body)
        spoiled = await crash_world.start(job)
        assert verdict(spoiled) == ("Fail", "StepUnreadable"), body
        assert f"step {row['n']} " in spoiled.message.message
        assert "fetch" in spoiled.message.message
    await crash_world.next_start(job, attempt=2)
    anew = await crash_world.launch(job).ended()

    assert (began(anew), verdict(anew)) == (WHOLE, ("Succeed", "ResultAccepted"))


# --- another image ----------------------------------------------------------------------------------------------------


def image(folder, version):
    """A folder with an agent in it, as an image of that version has it, as PYTHONPATH."""
    folder = folder / version
    folder.mkdir()
    (folder / "shipped.py").write_text(f"from tests.crash.teams import held\n\nVERSION = {version!r}\n")
    return os.pathsep.join((str(folder), PYTHONPATH))


OLDER_ADK = """
UPDATE agentjobs.starts SET versions = jsonb_set(versions::jsonb, '{adk}', '"2.0.0"')::json
WHERE uid = %(uid)s RETURNING start
"""


@pytest.mark.parametrize(
    ("policy", "ended", "first"),
    [
        ("Continue", ("Succeed", "ResultAccepted"), ["model root(Go.)/2"]),
        ("Restart", ("Succeed", "ResultAccepted"), ["model root(Go.)/1"]),
        ("Fail", ("Fail", "VersionMismatch"), []),
    ],
)
@pytest.mark.parametrize("what", ["agent", "adk"])
async def test_a_changed_agent_or_adk_version_is_handled_as_the_job_specifies(
    crash_world, tmp_path, policy, ended, first, what
):
    shipped = Topology("held", module="shipped")
    job = await crash_world.accept(shipped, retry={"maxAttempts": 3, "onVersionChange": policy})
    before = image(tmp_path, "1")
    await crash_world.start(job, kill_at=5, PYTHONPATH=before)
    if what == "adk":
        crash_world.rows(OLDER_ADK, uid=job.uid)

    start = await crash_world.start(job, PYTHONPATH=before if what == "adk" else image(tmp_path, "2"))

    assert (verdict(start), began(start)[:1]) == (ended, first)


# --- strangers --------------------------------------------------------------------------------------------------------


async def steps_of(world, token, **body):
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=world.url, headers=headers, trust_env=False) as client:
        if body:
            return await client.post(contract.PATH_STEPS, json=body)
        return await client.get(contract.PATH_STEPS)


async def test_a_token_reads_and_writes_only_the_steps_of_its_own_start(crash_world):
    mine, other = await crash_world.accept(HELD), await crash_world.accept(HELD)
    await crash_world.start(mine, kill_at=5)
    await crash_world.start(other, kill_at=3)
    await crash_world.next_start(mine)

    stale = await steps_of(crash_world, f"crash/{mine.uid}/1/", run=1, void=[], steps=[])
    read = await steps_of(crash_world, f"crash/{other.uid}/1/")

    assert (stale.status_code, stale.json()["reason"]) == (409, "Fenced")
    assert [step["name"] for step in read.json()["steps"] if step["ended"]] == ["root"]


def a_step(number):
    when = "2026-11-21T12:00:00Z"
    step = {"key": f"k{number}", "kind": "value", "agent": "a", "name": "n", "began": when, "ended": when}
    return step | {"request": {}, "body": number, "usage": {}}


async def test_ten_thousand_steps_are_refused_in_one_request_and_accepted_in_several(crash_world):
    job = await crash_world.accept(HELD)
    await crash_world.start(job, kill_at=1)
    token, steps = f"crash/{job.uid}/1/", [a_step(number) for number in range(10_000)]

    at_once = await steps_of(crash_world, token, run=1, void=[], steps=steps)
    for first in range(0, len(steps), contract.MAX_STEPS):
        some = steps[first : first + contract.MAX_STEPS]
        taken = await steps_of(crash_world, token, run=1, void=[], steps=some)
        assert taken.status_code == 200, taken.text

    held = crash_world.rows("SELECT count(*) AS count FROM agentjobs.steps WHERE uid = %(uid)s", uid=job.uid)
    assert (at_once.status_code, at_once.json()["reason"]) == (422, "InvalidBody")
    assert held == [{"count": 10_000}]
