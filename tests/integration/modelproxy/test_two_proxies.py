"""Two proxies whose clocks differ, and a provider that asks to wait."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.integration.modelproxy.asking import MESSAGES, PATH, rows, until_answered
from tests.modelproviders import Failure

from agentjobs.proxy import sending
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


async def test_all_times_are_the_databases(database, settings, models_file, pod, fake):
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
async def test_one_429_holds_back_the_pods_of_all_proxies(
    database, settings, models_file, pod, fake, monkeypatch, told
):
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
