"""PostgreSQL is killed while calls wait, and while answers are received."""

import asyncio
import os
import shutil
import signal
import tempfile
from pathlib import Path

import httpx
import pytest
from tests.integration.modelproxy.asking import MESSAGES, PATH, STREAMED, rows, until, until_answered
from tests.modelproviders import Answer, Used

from agentjobs.history import migrate
from agentjobs.proxy.serve import serving
from devcluster.postgres import EmbeddedPostgres

pytestmark = pytest.mark.alone("runners' pods here have no job")


ENDED = "SELECT outcome, input, output, estimated FROM model_calls WHERE ended IS NOT NULL"


@pytest.fixture
async def server():
    """A PostgreSQL of the test's own, to be killed."""
    folder = Path(tempfile.mkdtemp(prefix="agentjobs-test-"))
    async with EmbeddedPostgres(folder) as own:
        migrate.upgrade(own.dsn)
        yield own
    shutil.rmtree(folder)


@pytest.fixture
def database(server):
    """The same as for others, of a server that can be killed."""
    return server.dsn


async def kill(server):
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    await server.stop()


async def test_during_an_outage_streams_end_no_call_begins_and_calls_are_settled_afterwards(http, pod, fake, server):
    token = await pod()
    fake.script(Answer(used=Used(input=500, output=50), pieces=10, pace=0.2))
    headers = {"x-api-key": token}
    async with http.stream("POST", PATH, json=STREAMED, headers=headers) as answer:
        pieces = answer.aiter_raw()
        first = await anext(pieces)
        await kill(server)
        refused = await http.post(PATH, json=MESSAGES, headers=headers)
        rest = [piece async for piece in pieces]
    await server.start()
    again = await until_answered(http, token)
    async with asyncio.timeout(30):
        # What was not written is tried again after up to five seconds.
        while ("Answered", 500, 50, False) not in await rows(server.dsn, ENDED):
            await asyncio.sleep(0.05)

    assert b"message_start" in first
    assert b"message_stop" in b"".join(rest)
    assert (refused.status_code, refused.headers["retry-after"], len(fake.seen)) == (503, "2", 2)
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        pytest.param([{"concurrentCalls": 1}], None, id="for-a-turn"),
        pytest.param([], '{"maxLLMCalls": 2, "maxCostUSD": "0.0001"}', id="for-the-budget"),
    ],
)
async def test_a_call_that_waits_during_an_outage_gets_a_retry_delay(
    settings, models_file, pod, fake, server, limits, budget
):
    token = await pod(budget=budget)
    fake.default = Answer(delay=60)
    async with (
        serving(settings(models_file=models_file(limits=limits), drain="10ms")) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
    ):
        calls = [asyncio.create_task(http.post(PATH, json=MESSAGES, headers={"x-api-key": token})) for _ in range(2)]
        await until(lambda: len(fake.seen) == 1)
        await asyncio.sleep(0.3)  # the other one waits by now
        await kill(server)
        async with asyncio.timeout(20):
            done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        for call in waiting:
            call.cancel()
        await server.start()

    assert refused.result().status_code == 503
    assert (refused.result().headers["retry-after"], len(fake.seen)) == ("2", 1)
