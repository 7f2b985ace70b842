"""Proxies with connections of their own share a limit through PostgreSQL."""

import asyncio
from uuid import uuid4

from agentjobs.history.database import Database
from agentjobs.history.model_limits import ModelLimits
from agentjobs.models.config import Counts, Key, Quota
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.limits import Limiter, Wanted

# A minute of 60 requests, ten times faster.
MOST, WINDOW = 60, 6.0
SECONDS = 14.0


def most_in_a_window(times, window):
    times = sorted(times)
    return max(sum(begin <= time < begin + window for time in times[at:]) for at, begin in enumerate(times))


async def test_two_proxies_and_fifty_jobs_use_a_limit_and_never_exceed_it(database):
    cluster, sent = uuid4().hex, []
    keys = (Key("gemini/main", None, (Quota("gemini/main * requests", Counts.REQUESTS, MOST, WINDOW),)),)
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS

    async def job(limiter, uid):
        while True:
            turn = await limiter.enter(Wanted(uid, "gemini-flash", Tokens(), keys), patience=60)
            sent.append(loop.time())
            await asyncio.sleep(0.05)
            limiter.leave(turn, Tokens(10, 10))

    async with Database(database) as one, Database(database) as two:
        limiters = [Limiter(ModelLimits(each, cluster=cluster), proxy=uuid4().hex) for each in (one, two)]
        jobs = [asyncio.create_task(job(limiters[n % 2], str(n))) for n in range(50)]
        await asyncio.sleep(SECONDS)
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for limiter in limiters:
            await limiter.close()

    assert most_in_a_window(sent, WINDOW) <= MOST
    assert len([time for time in sent if time < end]) == 3 * MOST
