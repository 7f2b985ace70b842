"""What waits for a time of the wall clock becomes due then, the earliest first."""

import asyncio
from datetime import UTC, datetime, timedelta

from agentjobs.engine.deadlines import Deadlines

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def waiting(*seconds):
    deadlines = Deadlines()
    for number in seconds:
        deadlines.add(START + timedelta(seconds=number), ("ns", f"after-{number}"))
    return deadlines


def test_what_is_due_is_taken_out_the_earliest_first():
    deadlines = waiting(30, 10, 20)

    assert deadlines.due(START + timedelta(seconds=20)) == [("ns", "after-10"), ("ns", "after-20")]
    assert deadlines.due(START + timedelta(seconds=20)) == []
    assert len(deadlines) == 1


def test_of_many_that_are_due_at_once_some_wait_for_the_next_tick():
    deadlines = waiting(*range(5))

    assert len(deadlines.due(START + timedelta(hours=1), most=3)) == 3
    assert len(deadlines.due(START + timedelta(hours=1), most=3)) == 2


async def test_a_clock_that_is_set_forward_lets_them_become_due():
    deadlines, woken, moments = waiting(3600), [], iter([START, START + timedelta(hours=1)])
    task = asyncio.create_task(deadlines.run(woken.append, now=lambda: next(moments)))

    await asyncio.sleep(1.1)
    task.cancel()

    assert woken == [("ns", "after-3600")]
