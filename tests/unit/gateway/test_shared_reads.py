"""Answers are shared for seconds among callers with the same permissions, and errors are not."""

import asyncio
from datetime import timedelta

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs import errors
from agentjobs.gateway.shared_reads import SharedReads, seconds_of


class Asked:
    """Counts its calls and answers with their number, after some time."""

    def __init__(self, lasts=0.1):
        self.calls = 0
        self.lasts = lasts
        self.raises = None

    async def __call__(self):
        self.calls += 1
        number = self.calls
        await asyncio.sleep(self.lasts)
        if self.raises:
            raise self.raises
        return number


@pytest.fixture
def reads():
    return SharedReads(size=4)


@pytest.fixture
def query():
    return Asked()


@pytest.mark.looptime
async def test_concurrent_equal_reads_share_one_query(reads, query):
    answers = await asyncio.gather(*(reads.once("list", ("docs",), 1, read=query) for _ in range(200)))

    assert (query.calls, set(answers)) == (1, {1})


@pytest.mark.looptime
@pytest.mark.parametrize(("later", "calls"), [(0.8, 1), (1.0, 2)])
async def test_an_answer_is_shared_for_seconds_after_its_request(reads, query, later, calls):
    began = now()
    await reads.once("list", None, read=query)
    await asyncio.sleep(began + later - now())

    assert await reads.once("list", None, read=query) == calls


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("lasts", "later", "calls"),
    [
        pytest.param(0.004, 1.0, 2, id="a cheap one is shared for a second"),
        pytest.param(0.1, 9.9, 1, id="a slower one for longer"),
        pytest.param(0.1, 10.0, 2, id="by its duration"),
        pytest.param(2.0, 59.9, 1, id="an expensive one"),
        pytest.param(2.0, 60.0, 2, id="for at most as long as is allowed"),
    ],
)
async def test_numbers_over_time_are_shared_for_longer_the_longer_their_query_takes(reads, lasts, later, calls):
    query, began = Asked(lasts), now()
    await reads.once("activity", None, read=query, seconds=60.0)
    await asyncio.sleep(began + later - now())

    assert await reads.once("activity", None, read=query, seconds=60.0) == calls


@pytest.mark.looptime
async def test_a_query_in_progress_for_longer_is_not_shared(reads):
    """What it will answer does not know of the last seconds."""
    slow = Asked(lasts=5)
    first = asyncio.ensure_future(reads.once("list", None, read=slow))
    await asyncio.sleep(1.5)

    assert await reads.once("list", None, read=slow) == 2
    assert await first == 1


@pytest.mark.parametrize(
    "other",
    [("list", ("shop",), 1), ("list", None, 1), ("list", (), 1), ("counts", ("docs",), 1), ("list", ("docs",), 2)],
)
@pytest.mark.looptime
async def test_answers_are_not_shared_across_scopes_kinds_and_queries(reads, query, other):
    await reads.once("list", ("docs",), 1, read=query)
    await reads.once(*other, read=query)

    assert query.calls == 2


@pytest.mark.looptime
async def test_an_error_is_raised_for_all_waiting_callers_and_not_cached(reads, query):
    query.raises = errors.Unavailable("away")
    waiting = (reads.once("list", None, read=query) for _ in range(3))
    told = await asyncio.gather(*waiting, return_exceptions=True)
    query.raises = None

    assert ([type(each) for each in told], query.calls) == ([errors.Unavailable] * 3, 1)
    assert await reads.once("list", None, read=query) == 2


@pytest.mark.looptime
async def test_a_cancelled_caller_does_not_cancel_the_shared_read(reads, query):
    first = asyncio.ensure_future(reads.once("list", None, read=query))
    second = asyncio.ensure_future(reads.once("list", None, read=query))
    await asyncio.sleep(0.05)
    first.cancel()

    assert (await second, query.calls) == (1, 1)


@pytest.mark.looptime
async def test_few_answers_are_kept_and_expire_by_themselves(reads, query):
    for number in range(9):
        await reads.once("list", None, number, read=query)
    held = len(reads)
    await asyncio.sleep(1.1)

    assert (held, len(reads)) == (4, 0)


@pytest.mark.looptime
@pytest.mark.parametrize(("said", "calls"), [("", 2), ("no-cache", 2), ("max-age=0", 2), ("max-age=60", 1)])
async def test_a_cached_answer_is_used_only_if_the_caller_accepts_it(reads, query, said, calls):
    for _ in range(2):
        await reads.for_request(said).once("list", None, read=query)

    assert query.calls == calls


@pytest.mark.parametrize(
    ("length", "seconds"),
    [
        pytest.param(timedelta(minutes=1), 1.0, id="minute"),
        pytest.param(timedelta(hours=1), 5.0, id="hour"),
        pytest.param(timedelta(days=1), 60.0, id="day"),
        pytest.param(timedelta(days=90), 60.0, id="quarter"),
    ],
)
def test_answers_for_longer_time_ranges_are_shared_for_longer(length, seconds):
    assert seconds_of(length) == seconds


SCOPES = st.sampled_from([None, (), ("a",), ("b",), ("a", "b")])
STEPS = st.lists(
    st.tuples(SCOPES, st.integers(1, 2), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.01, 2.0])), max_size=25
)


@given(STEPS)
def test_an_answer_of_another_scope_or_an_old_one_is_not_shared(steps):
    """Any requests in any order, with fast and slow answers."""

    async def one(reads, scope, question, lasts):
        asked_at = now()

        async def ask():
            begun = now()
            await asyncio.sleep(lasts)
            return scope, question, begun

        answer = await reads.once("list", scope, question, read=ask)
        assert answer[:2] == (scope, question)
        assert asked_at - answer[2] < 1.0

    async def everything():
        reads, waiting = SharedReads(size=3), []
        for scope, question, pause, lasts in steps:
            waiting.append(asyncio.ensure_future(one(reads, scope, question, lasts)))
            await asyncio.sleep(pause)
        await asyncio.gather(*waiting)

    loop = looptime.new_event_loop(_enabled=True)
    try:
        loop.run_until_complete(everything())
    finally:
        loop.close()


def now():
    return asyncio.get_running_loop().time()
