"""What the journal in PostgreSQL does beyond the contract: damage, NUL, requests that meet, room on the disk."""

import asyncio

import psycopg
import pytest
from msgspec import Raw
from tests.integration.history.runner_calls import a_call, a_step, record

from agentjobs import errors
from agentjobs.history.database import Database
from agentjobs.history.fence import Fence
from agentjobs.history.records import Acceptance
from agentjobs.history.runner_writes import RunnerWrites


@pytest.fixture
async def claimed(gateway, build):
    await gateway.claim(build.uid, 1, "pod-1", **build.place)
    return build


async def steps_of(gateway, build):
    return (await gateway.read_steps(build.uid, 1, "pod-1"))["steps"]


@pytest.mark.parametrize("damage", ['{"text": "Hi', "", "no JSON", '{"a": 1} {}'])
async def test_a_damaged_body_does_not_affect_other_steps(database, gateway, claimed, damage):
    await record(gateway, claimed.uid, 1, a_step("a"), a_step("b"))
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE agentjobs.steps SET body = %s WHERE n = 1", (damage,))

    broken, sound = await steps_of(gateway, claimed)

    assert (broken["key"], broken["n"], broken["body"], broken["unreadable"]) == ("a", 1, None, True)
    assert (sound["body"], "unreadable" in sound) == ("Hi.", False)


async def test_a_body_is_read_back_exactly(gateway, claimed):
    text = rb'{"b":1.0, "a":"\u0000 \\u0000 \ud83d\ude42", "a":[1e400]}'
    await gateway.append_steps(
        claimed.uid, 1, "pod-1", {"run": 1, "void": [], "steps": [a_step("a", body=Raw(text)), a_step("b")]}
    )

    page = await gateway._runners.read_steps(claimed.uid, 1, "pod-1")

    assert [bytes(step["body"]) for step in page["steps"]] == [text, b'"Hi."']


async def test_a_request_sent_to_many_gateways_simultaneously_is_stored_once(database, gateway, claimed):
    steps = [a_step("a"), a_call("b"), a_step("c", void=True)]

    async def store():
        async with Database(database, pool_size=1) as own:
            return (await record(RunnerWrites(own, cluster="c0ffee"), claimed.uid, 1, *steps)).last

    assert await asyncio.gather(*(store() for _ in range(6))) == [3] * 6
    assert len((await gateway.steps(claimed.uid)).items) == 3
    assert (await gateway.job_history("default", claimed.uid)).starts[0].usage["llmCalls"] == 2


async def test_a_request_whose_answer_was_lost_is_stored_once_when_it_is_sent_again(database, gateway, claimed):
    dying = Database(database, pool_size=1)
    async with dying:
        await record(RunnerWrites(dying, cluster="c0ffee"), claimed.uid, 1, a_call("a"))
    again = await record(gateway, claimed.uid, 1, a_call("a"), a_step("b"))

    assert (again.last, [step.kind for step in again.recorded]) == (2, ["model"])


async def test_steps_wait_for_another_body_of_their_start(connected, gateway, claimed):
    async with Fence(connected)(claimed.uid, 1, "pod-1"):
        sending = asyncio.create_task(record(gateway, claimed.uid, 1, a_step("a")))
        await asyncio.sleep(0.1)
        assert not sending.done()

    assert (await sending).last == 1


async def test_a_pod_that_is_fenced_while_it_waits_stores_nothing(connected, operator, gateway, claimed):
    async with Fence(connected)(claimed.uid, 1, "pod-1"):
        sending = asyncio.create_task(record(gateway, claimed.uid, 1, a_step("a")))
        fencing = asyncio.create_task(operator.accept(Acceptance(claimed.job(), claimed.start(2))))
        await asyncio.sleep(0.1)
    results = await asyncio.gather(sending, fencing, return_exceptions=True)
    stored = len((await gateway.steps(claimed.uid)).items)

    assert (stored, isinstance(results[0], errors.Fenced)) in [(1, False), (0, True)]


async def test_bodies_are_compressed(database, gateway, claimed):
    text = "The quick brown fox jumps over the lazy dog, and says so. " * 2000
    await record(gateway, claimed.uid, 1, a_step("a", body=text))

    with psycopg.connect(database) as connection:
        told = connection.execute("SELECT bytes, pg_column_size(body) FROM agentjobs.steps").fetchone()

    assert told[0] > 100_000 > 10_000 > told[1]
