"""Two proxies, one limit, and more calls than it has room for."""

import asyncio

import httpx
import pytest
from tests.modelproviders import Answer

from agentjobs import contract
from agentjobs.history.database import Database
from agentjobs.history.queue_models import QueueModels
from agentjobs.models.models_file import COUNTED
from agentjobs.proxy.serve import serving

pytestmark = pytest.mark.alone("runners' pods here have no job")

CHAT = {"model": "gpt-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
# A minute of 60 requests, ten times faster. What was granted counts a tenth and half a second longer; the rest is for a
# machine that does other things.
MOST, WINDOW, PERIOD = 60, 6.0, 7.2


async def test_two_proxies_share_a_limit_that_is_never_exceeded_at_the_provider(
    settings, models_file, pod, fake, monkeypatch
):
    counts, _ = COUNTED["requests_per_minute"]
    monkeypatch.setitem(COUNTED, "requests_per_minute", (counts, WINDOW))
    tokens = [await pod(f"job-{n}", uid=f"u{n}") for n in range(5)]
    fake.default = Answer(delay=0.05)
    chosen = settings(models_file=models_file(limits=[{"requestsPerMinute": MOST}]))
    refused = []

    async def call(url, token):
        while True:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await http.post(f"{url}/openai/v1/chat/completions", json=CHAT, headers=headers)
            if answer.status_code != 200:
                refused.append(answer.text)

    async with serving(chosen) as one, serving(chosen) as two, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        callers = [asyncio.create_task(call((one, two)[n % 2], tokens[n % 5])) for n in range(50)]
        async with asyncio.timeout(19):
            while len(fake.seen) <= 2 * MOST:
                await asyncio.sleep(0.05)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    times = [seen.time for seen in fake.seen]
    # A busy machine delivers a call up to a second after its grant.
    assert (refused, fake.most_within(WINDOW - 1)) == ([], MOST)
    assert times[2 * MOST] - times[0] < 2 * PERIOD


async def test_two_proxies_enforce_the_limit_of_a_queue_and_do_not_delay_other_queues(
    settings, models_file, pod, fake, cluster, database
):
    async with Database(database) as connection:
        limits = [{"models": ["openai/*"], "requestsPerMinute": 2}]
        queues = QueueModels(connection, cluster=await cluster.uid())
        await queues.set_model_limits((cluster.namespace, "batch"), limits)
    batch, agents = [await pod("job-b", uid="b", queue="batch"), await pod("job-a", uid="a", queue="agents")]
    chosen = settings(models_file=models_file(limits=[{"requestsPerMinute": 1000}]))

    async def call(url, token):
        headers = {"Authorization": f"Bearer {token}", contract.HEADER_MAX_WAIT: "1"}
        return await http.post(f"{url}/openai/v1/chat/completions", json=CHAT, headers=headers)

    async with serving(chosen) as one, serving(chosen) as two, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answers = await asyncio.gather(*(call(url, batch) for url in (one, two) for _ in range(5)))
        others = await asyncio.gather(*(call(url, agents) for url in (one, two) for _ in range(5)))

    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(refused), len(fake.seen), {answer.status_code for answer in others}) == (8, 12, {200})
    assert all(f"{cluster.namespace}/batch" in answer.text for answer in refused)
    assert all(30 < float(answer.headers["retry-after"]) < 65 for answer in refused)
