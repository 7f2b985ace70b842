"""Two proxies: clocks that differ, a provider that asks to wait, and one of them killed."""

import asyncio
import contextlib
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from tests.integration.modelproxy.asking import MESSAGES, PATH, STREAMED, rows, until, until_answered
from tests.modelproviders import Answer, Failure

from agentjobs.proxy import sending, serve
from agentjobs.proxy.serve import serving

pytestmark = pytest.mark.alone("runners' pods here have no job")


# Half a day and more: a day by the proxy's clock is another one than by the other's.
TURNED = """
import datetime, time
AHEAD, real = {ahead}, time.time
time.time = lambda: real() + AHEAD
from agentjobs.proxy import credentials, exchange, serve
class Turned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + datetime.timedelta(seconds=AHEAD)
credentials.datetime = exchange.datetime = serve.datetime = Turned
from agentjobs.cli import main; main()
"""


@asynccontextmanager
async def turned(environment, hours):
    """A proxy whose clock is so many hours ahead; gives its URL."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TURNED.format(ahead=hours * 3600), "proxy"),
        env=os.environ | {f"AGENTJOBS_{name.upper()}": str(value) for name, value in environment.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            while (line := json.loads(await child.stderr.readline()))["event"] != "proxy.listening":
                pass
        yield line["url"]
    finally:
        child.kill()
        await child.wait()


async def test_all_times_come_from_the_database(database, settings, models_file, pod, fake):
    token = await pod()
    made = settings(models_file=models_file(limits=[{"requestsPerDay": 4}]))
    environment = {
        "database_url": database,
        "kubeconfig": made.kubeconfig,
        "models_file": made.models_file,
        "host": "127.0.0.1",
        "port": 0,
    }
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(turned(environment, hours)) for hours in (13, -13)]
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
            for url in urls
        ]
        answers = [await until_answered(clients[n % 2], token) for n in range(6)]
        seen = await rows(database, "SELECT seen_at FROM proxies")

    calls = await rows(database, "SELECT began, ended FROM model_calls WHERE outcome = 'Answered'")
    days = await rows(database, "SELECT day FROM model_usage")
    assert ([answer.status_code for answer in answers], len(fake.seen)) == ([200] * 4 + [429] * 2, 4)
    assert len(seen) == 2
    times = [time for row in (*seen, *calls) for time in row if time is not None]
    assert all(abs(time - datetime.now(UTC)) < timedelta(minutes=2) for time in times)
    assert {day for (day,) in days} <= {datetime.now(UTC).date(), (datetime.now(UTC) - timedelta(minutes=2)).date()}


@pytest.mark.parametrize("told", [True, False], ids=["with-retry-after", "without"])
async def test_one_429_delays_the_calls_of_all_proxies(database, settings, models_file, pod, fake, monkeypatch, told):
    monkeypatch.setattr(sending, "BUSY_SECONDS", 1.5)
    tokens = [await pod("one", uid="u1"), await pod("two", uid="u2")]
    chosen = settings(models_file=models_file(limits=[{"requestsPerMinute": 1000}]))
    fake.script(Failure(429, retry_after=1.5 if told else None))

    async def ask(url, token):
        return await http.post(url + PATH, json=MESSAGES, headers={"x-api-key": token})

    async with serving(chosen) as one, serving(chosen) as two, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        first = asyncio.create_task(ask(one, tokens[0]))
        async with asyncio.timeout(10):
            while not await rows(database, "SELECT FROM closed_keys"):
                await asyncio.sleep(0.01)
        second = await ask(two, tokens[1])
        answers = [await first, second]

    times = [seen.time for seen in fake.seen]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert (len(times), min(times[1:]) - times[0] >= 1.4) == (3, True)


async def test_a_killed_proxy_frees_its_concurrent_call_which_costs_its_reservation(
    database, settings, models_file, pod, fake, monkeypatch
):
    monkeypatch.setattr(serve, "HEARTBEAT_SECONDS", 0.2)
    tokens = [await pod("one", uid="u1"), await pod("two", uid="u2")]
    chosen = settings(models_file=models_file(limits=[{"concurrentCalls": 1}]))
    environment = {"models_file": chosen.models_file, "kubeconfig": chosen.kubeconfig, "host": "127.0.0.1", "port": 0}
    fake.default = Answer(hang_after=2)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        async with turned({**environment, "database_url": database}, 0) as url:
            asking = asyncio.create_task(until_broken(http, url, tokens[0]))
            await until(lambda: fake.seen)
        fake.default = Answer()
        async with serving(chosen) as url:
            waiting = asyncio.create_task(http.post(url + PATH, json=MESSAGES, headers={"x-api-key": tokens[1]}))
            while len(await rows(database, "SELECT FROM proxies")) < 2:
                await asyncio.sleep(0.05)
            await change(database, *PASSED)
            answer = await waiting
            while not (lost := await rows(database, LOST)):
                await asyncio.sleep(0.05)
        await asking

    assert (answer.status_code, lost) == (200, [(True, True)])


# The minute in which the killed proxy was not seen.
PASSED = (
    "UPDATE proxies SET since = since - interval '100s'",
    "UPDATE proxies SET seen_at = seen_at - interval '50s' WHERE seen_at = (SELECT min(seen_at) FROM proxies)",
    "UPDATE limit_running SET since = since - interval '50s'",
    "UPDATE model_calls SET began = began - interval '50s' WHERE ended IS NULL",
)
LOST = "SELECT estimated, cost = reserved_cost FROM model_calls WHERE outcome = 'Lost'"


async def until_broken(http, url, token):
    """Ask for a stream until its connection breaks."""
    with contextlib.suppress(httpx.HTTPError):
        while (await http.post(url + PATH, json=STREAMED, headers={"x-api-key": token})).status_code == 503:
            await asyncio.sleep(0.05)


async def change(dsn, *statements):
    async with await psycopg.AsyncConnection.connect(dsn, options="-c search_path=agentjobs") as connection:
        for statement in statements:
            await connection.execute(statement)
