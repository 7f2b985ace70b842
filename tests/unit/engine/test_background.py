"""Background tasks that fail are reported with the reason; cancelled ones are not."""

import asyncio

import pytest

from agentjobs.engine.background import Background, Died
from agentjobs.errors import Unavailable

pytestmark = [pytest.mark.looptime]


async def fails(error, after=1.0):
    await asyncio.sleep(after)
    raise error


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda: fails(KeyError("x")), Died("background task writer ended: KeyError: 'x'")),
        (lambda: asyncio.sleep(1), Died("background task writer ended: it returned")),
        (lambda: fails(Unavailable("gone")), Unavailable("gone")),
    ],
    ids=["a defect", "a return", "an error of ours"],
)
async def test_a_task_that_ends_by_itself_is_reported_with_its_reason(work, told, caplog):
    deaths = []
    async with Background(deaths.append) as background:
        background.start(work(), "writer")
        await asyncio.sleep(2)

    assert [(type(error), str(error)) for error in deaths] == [(type(told), str(told))]
    assert [(record.msg, record.task) for record in caplog.records] == [("task.failed", "writer")]


async def test_a_task_that_is_allowed_to_return_must_not_fail():
    deaths = []
    async with Background(deaths.append) as background:
        background.start(asyncio.sleep(1), "good", may_return=True)
        background.start(fails(KeyError("x")), "bad", may_return=True)
        await asyncio.sleep(2)

    assert [str(error) for error in deaths] == ["background task bad ended: KeyError: 'x'"]


async def test_at_the_end_all_tasks_are_cancelled_and_awaited_and_nothing_is_reported():
    deaths, cleaned = [], []

    async def tidy():
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.1)
            cleaned.append(True)

    async with Background(deaths.append) as background:
        background.start(tidy(), "tidy")
        await asyncio.sleep(1)

    assert (cleaned, deaths) == ([True], [])
