"""Unique jobs on PostgreSQL, accepted by two simultaneous operators."""

import asyncio
import random

from tests.integration.history.conftest import CLUSTER

from agentjobs.history import database as connections
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, Accepted, Duplicate, SlotRequest, Superseded, UniqueRequest


async def test_five_hundred_equal_jobs_from_two_operators_make_one_run(database, a_job):
    jobs = [a_job(f"uid-{n}", name=f"job-{n}") for n in range(500)]
    async with Database(database) as one, Database(database) as two:
        operators = [OperatorWrites(each, cluster=CLUSTER) for each in (one, two)]

        async def accept(n):
            asked = Acceptance(jobs[n].job(), jobs[n].start(1), unique=UniqueRequest("key"))
            return await operators[n % 2].accept(asked)

        answers = await asyncio.gather(*map(accept, range(500)))

    (winner,) = [n for n, answer in enumerate(answers) if isinstance(answer, Accepted)]
    assert {answer for answer in answers if not isinstance(answer, Accepted)} == {
        Duplicate(f"uid-{winner}", f"job-{winner}")
    }


async def test_simultaneous_replacements_starts_and_ends_neither_hang_nor_run_equal_jobs(database, a_job, connected):
    jobs = [a_job(f"uid-{n:03}", name=f"job-{n}", minute=n) for n in range(60)]
    draw = random.Random(7)
    running, most = set(), 0
    async with Database(database) as one, Database(database) as two:
        operators = [OperatorWrites(each, cluster=CLUSTER) for each in (one, two)]

        async def run(n):
            nonlocal most
            unique = UniqueRequest(f"key-{n % 3}", states="Incomplete", replaces=True)
            first, then = draw.sample(operators, 2)
            await first.accept(Acceptance(jobs[n].job(), unique=unique))
            answer = await then.accept(Acceptance(jobs[n].job(), jobs[n].start(1), unique=unique))
            if not isinstance(answer, Accepted):
                assert isinstance(answer, Duplicate | Superseded)
                return
            running.add(n)
            most = max(most, *(sum(one % 3 == key for one in running) for key in range(3)))
            await asyncio.sleep(0.01)
            running.discard(n)
            await then.write([jobs[n].end(1), jobs[n].transition(9, "Succeeded", finished=True)])

        async with asyncio.timeout(30):
            await asyncio.gather(*map(run, range(60)))

    assert most == 1


async def test_jobs_with_and_without_keys_and_their_ends_never_deadlock(database, a_job, monkeypatch):
    monkeypatch.setattr(connections, "_COLLISIONS", frozenset())  # such a request would be repeated
    jobs = [a_job(f"uid-{n:03}", name=f"job-{n}", minute=n) for n in range(60)]
    draw = random.Random(0)
    async with Database(database) as one, Database(database) as two:
        operators = [OperatorWrites(each, cluster=CLUSTER) for each in (one, two)]

        async def live(n):
            unique = UniqueRequest(f"key-{n % 5}", states="Incomplete", replaces=True) if n % 2 else None
            for start in range(1, 5):
                operator, other = draw.sample(operators, 2)
                slot = SlotRequest(f"q{draw.randrange(3)}", "", 100)
                await operator.accept(Acceptance(jobs[n].job(), jobs[n].start(start), slot, unique))
                some = draw.sample(jobs, 12)
                ended = [draw.choice([each.end(start), each.transition(start, "Running")]) for each in some]
                await other.write([*ended, some[0].deletion()] if start > 2 else ended)

        await asyncio.gather(*map(live, range(60)))
