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


def test_due_keys_are_returned_with_the_earliest_first():
    deadlines = waiting(30, 10, 20)

    assert deadlines.due(START + timedelta(seconds=20)) == [("ns", "after-10"), ("ns", "after-20")]
    assert deadlines.due(START + timedelta(seconds=20)) == []
    assert len(deadlines) == 1


def test_many_keys_that_are_due_together_are_spread_over_ticks():
    deadlines = waiting(*range(5))

    assert len(deadlines.due(START + timedelta(hours=1), most=3)) == 3
    assert len(deadlines.due(START + timedelta(hours=1), most=3)) == 2


async def test_keys_become_due_when_the_clock_is_set_forward():
    deadlines, woken, moments = waiting(3600), [], iter([START, START + timedelta(hours=1)])
    task = asyncio.create_task(deadlines.run(woken.append, now=lambda: next(moments)))

    await asyncio.sleep(1.1)
    task.cancel()

    assert woken == [("ns", "after-3600")]
