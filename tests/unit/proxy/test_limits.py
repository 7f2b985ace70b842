"""How calls get their turns at the limits of keys: several proxies, one history, and a clock that jumps."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs import errors
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.models.config import Key, Quota
from agentjobs.models.models_file import Counts
from agentjobs.models.names import pool
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.turns import NoTurn, Wanted

pytestmark = pytest.mark.looptime
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MODEL = "gemini-flash"
NOTHING = Tokens()


class History(MemoryModelLimits):
    """Limits behind a network: each question and each answer takes a while."""

    def __init__(self, seed=0, slowest=0.0):
        super().__init__(now=lambda: NOON + timedelta(seconds=asyncio.get_running_loop().time()))
        self.asked = Counter()
        self.away = False
        self._random, self._seconds = random.Random(seed), (0.0, slowest)

    def delay(self, seconds):
        """Let each way take so long."""
        self._seconds = seconds, seconds

    async def _travel(self):
        await asyncio.sleep(self._random.uniform(*self._seconds))
        if self.away:
            raise errors.Unavailable("away")

    async def take(self, *asked):
        self.asked["take"] += 1
        await self._travel()
        taken = await super().take(*asked)
        await self._travel()
        return taken

    async def give_back(self, *given):
        self.asked["give_back"] += 1
        await self._travel()
        await super().give_back(*given)

    async def close(self, key, model, **closing):
        self.asked["close"] += 1
        await self._travel()
        await super().close(key, model, **closing)


def quota(counts, most, key="main", window=60.0):
    return Quota(f"gemini/{key} * {counts.value}", counts, most, window)


def a_key(*quotas, name="main"):
    return Key(f"gemini/{name}", None, quotas)


def requests(most, name="main"):
    return a_key(quota(Counts.REQUESTS, most, name), name=name)


def at_once(most):
    return a_key(quota(Counts.CALLS, most, window=0.0))


def a_call(*keys, uid="a", tokens=NOTHING):
    return Wanted(uid, MODEL, tokens, keys)


@pytest.fixture
def history():
    return History()


@pytest.fixture
async def limiter(history):
    limiter = Limiter(history, proxy="one")
    yield limiter
    history.away = False
    await limiter.close()


def now():
    return asyncio.get_running_loop().time()


def most_in_a_window(times, window=60.0):
    """The most of these moments that any window has."""
    times = sorted(times)
    return max((sum(begin <= time < begin + window for time in times[i:]) for i, begin in enumerate(times)), default=0)


async def cancelled(calls):
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def callers(limiter, key, sent, *, jobs, seconds, tokens=NOTHING, pause=0.0):
    """Jobs that call again and again until so many seconds have passed."""

    async def job(uid):
        while now() < seconds:
            try:
                turn = await limiter.enter(a_call(key, uid=uid, tokens=tokens), max_wait=seconds)
            except NoTurn:
                return
            sent.append((now(), uid))
            await asyncio.sleep(pause)
            limiter.leave(turn, tokens)

    await asyncio.gather(*(job(f"{id(limiter)}-{n}") for n in range(jobs)))


@pytest.mark.parametrize(("most", "seconds"), [(60, 1200), (900, 240)])
async def test_fifty_jobs_of_two_proxies_use_a_limit_completely_and_never_exceed_it(most, seconds):
    history, sent = History(slowest=0.02), []
    limiters = [Limiter(history, proxy=name) for name in ("one", "two")]
    key = requests(most)
    await asyncio.gather(*(callers(one, key, sent, jobs=25, seconds=seconds, pause=0.5) for one in limiters))
    times = [time for time, _ in sent if time < seconds]

    assert most_in_a_window(times) <= most
    assert len(times) >= 57 / 60 * most * seconds / 60
    assert history.asked["take"] < 2 * len(times)


async def test_both_proxies_get_a_share_of_freed_capacity():
    history, sent = History(slowest=0.01), []
    limiters = [Limiter(history, proxy=name) for name in ("one", "two")]
    await asyncio.gather(*(callers(one, requests(60), sent, jobs=40, seconds=600) for one in limiters))
    shares = Counter(uid.split("-")[0] for _, uid in sent)

    assert min(shares.values()) > 0.25 * len(sent)


ARRIVALS = st.lists(st.tuples(st.floats(0, 200), st.integers(0, 1), st.integers(0, 400)), max_size=60)


@given(arrivals=ARRIVALS, most=st.integers(1, 120), seed=st.integers(0, 99))
def test_no_window_has_more_than_the_limit(arrivals, most, seed):
    loop = looptime.new_event_loop()
    try:
        loop.run_until_complete(_random_arrivals(arrivals, most, seed))
    finally:
        loop.close()


async def _random_arrivals(arrivals, most, seed):
    history, sent, used = History(seed, slowest=0.2), [], []
    limiters = [Limiter(history, proxy=name) for name in ("one", "two")]
    key = a_key(quota(Counts.REQUESTS, most), quota(Counts.TOKENS, 1000))

    async def call(at, proxy, amount):
        await asyncio.sleep(at)
        try:
            turn = await limiters[proxy].enter(a_call(key, uid=str(amount % 3), tokens=Tokens(amount)), max_wait=90)
        except NoTurn:
            return
        sent.append(now())
        used.append((now(), amount))
        limiters[proxy].leave(turn, Tokens(amount))

    await asyncio.gather(*(call(*one) for one in arrivals))
    for one in limiters:
        await one.close()
    assert most_in_a_window(sent) <= most
    for begin, _ in used:
        assert sum(amount for time, amount in used if begin <= time < begin + 60) <= 1000


async def test_a_job_with_many_calls_does_not_delay_another_jobs_call(limiter):
    key, order = requests(10), []

    async def call(uid):
        await limiter.enter(a_call(key, uid=uid), max_wait=3600)
        order.append(uid)

    calls = [asyncio.create_task(call("many")) for _ in range(100)]
    await asyncio.sleep(1)
    calls.append(asyncio.create_task(call("few")))
    await asyncio.gather(*calls)

    assert order.index("few") in (10, 11)


async def test_jobs_that_wait_get_the_same_number_of_turns(limiter):
    turns = Counter()

    async def call(uid):
        await limiter.enter(a_call(requests(20), uid=uid), max_wait=3600)
        turns[uid] += 1

    calls = [asyncio.create_task(call(uid)) for uid in range(20) for _ in range(5)]
    await asyncio.sleep(70)

    assert turns == dict.fromkeys(range(20), 2)
    await cancelled(calls)


async def test_calls_of_a_job_keep_their_order(limiter):
    order = []

    async def call(number):
        await limiter.enter(a_call(requests(5)), max_wait=600)
        order.append(number)

    await asyncio.gather(*(call(number) for number in range(20)))

    assert order == list(range(20))


async def test_a_call_that_cannot_wait_long_enough_is_refused_immediately(limiter):
    await limiter.enter(a_call(requests(1)), max_wait=1)
    began = now()
    with pytest.raises(NoTurn) as refused:
        await limiter.enter(a_call(requests(1)), max_wait=30)

    assert (now() - began, refused.value.limit) == (0, "gemini/main * requests")
    assert 60 <= refused.value.retry_after <= 62


async def test_a_call_that_waits_behind_others_is_refused_at_its_time_limit(limiter):
    await limiter.enter(a_call(at_once(1)), max_wait=1)
    with pytest.raises(NoTurn) as refused:
        await limiter.enter(a_call(at_once(1)), max_wait=30)

    assert (now(), refused.value.limit) == (30, "gemini/main * concurrentCalls")


async def test_calls_without_limits_cause_no_query(limiter, history):
    turns = [await limiter.enter(a_call(a_key()), max_wait=1) for _ in range(3)]
    for turn in turns:
        limiter.leave(turn, Tokens(5, 5))
    await asyncio.sleep(1)

    assert not history.asked


async def test_unused_tokens_are_released(limiter):
    key = a_key(quota(Counts.TOKENS, 1000))
    turn = await limiter.enter(a_call(key, tokens=Tokens(100, 900)), max_wait=1)
    limiter.leave(turn, Tokens(100, 50))
    await asyncio.sleep(0.2)

    assert await limiter.enter(a_call(key, tokens=Tokens(850)), max_wait=1)


async def test_cached_input_does_not_count_against_a_limit_of_input(limiter):
    key = a_key(quota(Counts.INPUT_TOKENS, 1000))
    turn = await limiter.enter(a_call(key, tokens=Tokens(900)), max_wait=1)
    limiter.leave(turn, Tokens(900, 10, cached=800))
    await asyncio.sleep(0.2)

    assert await limiter.enter(a_call(key, tokens=Tokens(900)), max_wait=1)


async def test_a_call_that_requests_any_number_of_tokens_does_not_affect_others(limiter, history):
    key = a_key(quota(Counts.TOKENS, 1000))
    turn = await limiter.enter(a_call(key, tokens=Tokens(10, 10**30)), max_wait=1)
    taken = history._used.total()
    limiter.leave(turn, Tokens(10, 10))
    await asyncio.sleep(0.2)

    assert (taken < 2**40, history._used.total()) == (True, 20)


async def test_a_turn_is_released_once(limiter):
    turn = await limiter.enter(a_call(at_once(1)), max_wait=1)
    limiter.leave(turn, Tokens())
    await limiter.enter(a_call(at_once(1)), max_wait=1)
    limiter.leave(turn, Tokens())
    with pytest.raises(NoTurn):
        await limiter.enter(a_call(at_once(1)), max_wait=1)


async def test_a_call_larger_than_its_limit_waits_for_an_unused_window_without_delaying_others(limiter):
    key = a_key(quota(Counts.TOKENS, 1000))
    await limiter.enter(a_call(key, tokens=Tokens(10)), max_wait=1)
    large = asyncio.create_task(limiter.enter(a_call(key, uid="large", tokens=Tokens(5000)), max_wait=100))
    await asyncio.sleep(0)
    await limiter.enter(a_call(key, uid="small", tokens=Tokens(10)), max_wait=1)
    small = now()
    await large

    assert (small, 60 < now() < 63) == (0, True)


@given(cancelled=st.lists(st.tuples(st.integers(0, 29), st.floats(0, 3)), max_size=30), seed=st.integers(0, 99))
def test_disconnected_calls_use_up_no_turn(cancelled, seed):
    loop = looptime.new_event_loop()
    try:
        loop.run_until_complete(_hang_up(cancelled, seed))
    finally:
        loop.close()


async def _hang_up(cancelled, seed):
    history = History(seed, slowest=0.5)
    limiter = Limiter(history, proxy="one")
    key = a_key(quota(Counts.CALLS, 3, window=0.0), quota(Counts.TOKENS, 1000))

    async def call(number):
        turn = await limiter.enter(a_call(key, uid=str(number % 4), tokens=Tokens(100)), max_wait=600)
        try:
            await asyncio.sleep(0.3)
        finally:
            limiter.leave(turn, None)

    calls = [asyncio.create_task(call(number)) for number in range(30)]
    for number, at in cancelled:
        asyncio.get_running_loop().call_at(at, calls[number].cancel)
    await asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(3)
    taken = await history.take("two", MODEL, [])
    quotas = [await limiter.enter(a_call(key, tokens=Tokens(333)), max_wait=1) for _ in range(3)]

    assert (taken.granted, len(quotas), history._used.total()) == (0, 3, 999)


async def test_a_call_that_disconnects_when_its_turn_comes_releases_it(limiter, history):
    async def take(*asked):
        taken = await MemoryModelLimits.take(history, *asked)
        asyncio.get_running_loop().call_soon(calling.cancel)
        return taken

    history.take = take
    calling = asyncio.create_task(limiter.enter(a_call(requests(1)), max_wait=1))
    await asyncio.wait({calling})
    del history.take
    await asyncio.sleep(0.1)

    assert (calling.cancelled(), history._used.total()) == (True, 0)


async def test_a_turn_that_arrives_late_still_counts_a_whole_window(limiter, history):
    other, key = Limiter(history, proxy="two"), requests(1)
    history.delay(0.4)
    await asyncio.sleep(0.55)
    await limiter.enter(a_call(key), max_wait=1)
    sent = now()
    history.delay(0)
    await asyncio.sleep(61.01 - now())
    await other.enter(a_call(key), max_wait=5)

    assert now() - sent >= 60


async def test_capacity_taken_in_advance_is_not_used_after_its_window(limiter, history):
    await callers(limiter, requests(10_000), [], jobs=20, seconds=1.5, pause=0.2)
    await asyncio.sleep(1.6)
    asked = history.asked["take"]
    await limiter.enter(a_call(requests(10_000)), max_wait=1)

    assert history.asked["take"] == asked + 1


async def test_the_key_with_the_most_remaining_capacity_is_used(limiter):
    small, large = requests(10, "small"), requests(30, "large")
    turns = [await limiter.enter(a_call(small, large), max_wait=1) for _ in range(40)]

    assert Counter(turn.key for turn in turns) == {"gemini/small": 10, "gemini/large": 30}


async def test_calls_that_wait_together_are_spread_over_the_keys(limiter):
    keys = requests(10, "one"), requests(10, "two")
    turns = await asyncio.gather(*(limiter.enter(a_call(*keys), max_wait=1) for _ in range(20)))

    assert Counter(turn.key for turn in turns) == {"gemini/one": 10, "gemini/two": 10}


async def test_a_refused_key_is_skipped_by_each_proxy(limiter, history):
    first, second, other = requests(10, "one"), requests(10, "two"), Limiter(history, proxy="two")
    turn = await limiter.enter(a_call(first, second), max_wait=1)
    await limiter.refused(turn, seconds=30, reason="429")
    limiter.leave(turn, None)
    turns = [await one.enter(a_call(first, second), max_wait=1) for one in (limiter, other)]

    assert [turn.key for turn in turns] == ["gemini/two", "gemini/two"]


async def test_a_key_without_limits_is_skipped_while_it_is_closed(limiter):
    first, second = a_key(name="one"), a_key(name="two")
    turn = await limiter.enter(a_call(first, second), max_wait=1)
    await limiter.refused(turn, seconds=60, reason="401", whole_key=True)

    assert (await limiter.enter(a_call(first, second), max_wait=1)).key == "gemini/two"


async def test_other_proxies_learn_within_seconds_that_a_key_without_limits_is_closed(limiter, history):
    other, key = Limiter(history, proxy="two"), a_key()
    await limiter.refused(await limiter.enter(a_call(key), max_wait=1), seconds=60, reason="429")
    await asyncio.sleep(6)
    await other.enter(a_call(key), max_wait=1)
    await asyncio.sleep(0.1)
    with pytest.raises(NoTurn) as refused:
        await other.enter(a_call(key), max_wait=1)

    assert (refused.value.limit, round(refused.value.retry_after)) == ("gemini/main", 54)


@pytest.mark.parametrize("key", [a_key(), requests(1000)], ids=["unlimited", "limited"])
async def test_one_call_probes_a_reopened_key_and_then_all_use_it(history, key):
    limiters, sent = [Limiter(history, proxy=name) for name in ("one", "two")], []
    turn = await limiters[0].enter(a_call(key), max_wait=1)
    await limiters[0].refused(turn, seconds=30, reason="429")
    limiters[0].leave(turn, None)
    await limiters[1]._learn()

    async def call(limiter, uid):
        turn = await limiter.enter(a_call(key, uid=uid), max_wait=100)
        sent.append(now())
        await asyncio.sleep(2)
        limiter.leave(turn, Tokens())

    await asyncio.gather(*(call(one, str(n)) for n in range(50) for one in limiters))

    assert sum(30 <= time < 32 for time in sent) == 1
    assert (len(sent), max(sent) < 36) == (100, True)


@pytest.mark.parametrize("seconds", [5, 30])
async def test_a_refused_probe_closes_the_key_for_all_others(limiter, seconds):
    key, sent, refusals = requests(1000), [], []

    async def call(uid):
        while True:
            turn = await limiter.enter(a_call(key, uid=uid), max_wait=300)
            sent.append(now())
            if now() > 100:
                limiter.leave(turn, Tokens())
                return
            refusals.append(now())
            await asyncio.sleep(0.1)
            await limiter.refused(turn, seconds=seconds, reason="429")
            limiter.leave(turn, Tokens())

    await asyncio.gather(*(call(str(n)) for n in range(50)))
    probes = [time for time in refusals if time > 0]

    assert {round(later - earlier) for earlier, later in pairwise(probes)} == {seconds}
    assert (len([time for time in sent if time > 100]), max(sent) < 130) == (50, True)


async def test_calls_that_are_refused_together_close_a_key_once(limiter, history):
    turns = await asyncio.gather(*(limiter.enter(a_call(requests(100), uid=str(n)), max_wait=1) for n in range(20)))
    await asyncio.gather(*(limiter.refused(turn, seconds=30, reason="429") for turn in turns))

    assert history.asked["close"] == 1


async def test_waiting_calls_continue_when_a_call_ends(limiter):
    turn = await limiter.enter(a_call(at_once(1)), max_wait=1)
    waiting = asyncio.create_task(limiter.enter(a_call(at_once(1)), max_wait=10))
    await asyncio.sleep(2.2)
    limiter.leave(turn, Tokens())
    await waiting

    assert now() < 2.4


async def test_a_proxy_that_starts_later_gets_its_share_of_concurrent_calls(history):
    sent, key = [], at_once(4)
    limiters = [Limiter(history, proxy=name) for name in ("one", "two")]
    first = asyncio.create_task(callers(limiters[0], key, [], jobs=10, seconds=40, pause=3))
    await asyncio.sleep(7)
    await callers(limiters[1], key, sent, jobs=10, seconds=37, pause=3)
    await first

    # Two at the same time for thirty seconds, three seconds each.
    assert 16 <= len([time for time, _ in sent if time < 37]) <= 20


async def test_concurrent_calls_of_a_dead_proxy_are_released(limiter, history):
    dead = Limiter(history, proxy="dead")
    await dead.enter(a_call(at_once(1)), max_wait=1)
    await limiter.enter(a_call(at_once(1)), max_wait=100)

    assert 45 <= now() < 46


async def test_a_busy_queue_does_not_query_for_each_call(limiter, history):
    sent = []
    await callers(limiter, requests(10_000), sent, jobs=20, seconds=10, pause=0.2)

    assert len(sent) > 900
    assert history.asked["take"] < len(sent) / 10


async def test_no_capacity_is_taken_in_advance_from_the_second_half_of_a_limit(limiter, history):
    key, other = requests(100), Limiter(history, proxy="two")
    await callers(limiter, key, sent := [], jobs=10, seconds=0.65, pause=0.1)
    calls = [asyncio.create_task(other.enter(a_call(key), max_wait=100)) for _ in range(60)]
    await asyncio.sleep(0.3)

    assert len(sent) + sum(call.done() for call in calls) == 100
    await cancelled(calls)


async def test_unused_capacity_taken_in_advance_is_released(limiter, history):
    await callers(limiter, requests(10_000), sent := [], jobs=20, seconds=3, pause=0.2)
    await asyncio.sleep(3)

    assert history._used.total() == len(sent)


async def test_a_model_without_capacity_is_reported_as_exhausted_until_it_has_some(limiter, history):
    await limiter.enter(a_call(requests(1)), max_wait=1)
    waiting = asyncio.create_task(limiter.enter(a_call(requests(1)), max_wait=100))
    await asyncio.sleep(1)
    known = await history.exhausted_models()
    await waiting
    await asyncio.sleep(0)

    assert 60 <= (known[pool(MODEL, [requests(1).name])] - NOON).total_seconds() <= 62
    assert await history.exhausted_models() == {}


@pytest.mark.parametrize(
    ("names", "whole_key", "told"),
    [(["one"], False, True), (["one", "two"], False, False), (["one"], True, False)],
    ids=["its-only-key", "another-is-open", "the-key-is-wrong"],
)
async def test_a_model_whose_keys_are_all_blocked_is_exhausted_immediately(limiter, history, names, whole_key, told):
    keys = [requests(10, name) for name in names]
    turn = await limiter.enter(a_call(*keys), max_wait=1)
    await limiter.refused(turn, seconds=30, reason="429", whole_key=whole_key)
    limiter.leave(turn, None)
    await asyncio.sleep(0)

    assert list(await history.exhausted_models()) == ([pool(MODEL, ["gemini/one"])] if told else [])


async def test_the_time_limit_of_a_call_applies_during_a_query(limiter, history):
    await limiter.enter(a_call(at_once(1)), max_wait=1)
    history.delay(0.3)
    began = now()
    with pytest.raises(NoTurn):
        await asyncio.wait_for(limiter.enter(a_call(at_once(1)), max_wait=0.2), 10)

    assert 0.2 <= now() - began <= 0.8


async def test_a_query_whose_answer_is_lost_blocks_no_call(limiter, history):
    history.delay(0.2)
    calling = asyncio.create_task(limiter.enter(a_call(at_once(1)), max_wait=1))
    await asyncio.sleep(0.3)
    history.away = True
    with pytest.raises(errors.Unavailable):
        await calling
    history.away = False

    assert await limiter.enter(a_call(at_once(1)), max_wait=5)


async def test_a_refusal_applies_locally_while_history_is_unavailable(limiter, history):
    first, second = a_key(name="one"), a_key(name="two")
    turn = await limiter.enter(a_call(first, second), max_wait=1)
    history.away = True
    await limiter.refused(turn, seconds=30, reason="429")

    assert (await limiter.enter(a_call(first, second), max_wait=1)).key == "gemini/two"


async def test_a_model_whose_daily_limit_is_used_up_is_checked_again_earlier(limiter, history):
    key = a_key(quota(Counts.REQUESTS, 1, window=86_400.0))
    await limiter.enter(a_call(key), max_wait=1)
    with pytest.raises(NoTurn):
        await limiter.enter(a_call(key), max_wait=1)
    await asyncio.sleep(0.1)

    (until,) = (await history.exhausted_models()).values()
    assert until <= NOON + timedelta(seconds=600)


async def test_an_exhausted_model_is_available_again_when_changed_limits_have_capacity(limiter, history):
    await history.exhausted(pool(MODEL, ["gemini/main"]), seconds=500, reason="before")
    await limiter.enter(a_call(requests(5)), max_wait=1)
    await asyncio.sleep(0.1)

    assert await history.exhausted_models() == {}


async def test_calls_fail_during_an_outage_of_history_and_continue_afterwards(limiter, history):
    turn = await limiter.enter(a_call(at_once(1)), max_wait=1)
    history.away = True
    limiter.leave(turn, Tokens())
    with pytest.raises(errors.Unavailable):
        await limiter.enter(a_call(at_once(1)), max_wait=1)
    await asyncio.sleep(5)
    history.away = False
    await asyncio.sleep(2)

    assert await limiter.enter(a_call(at_once(1)), max_wait=1)


async def test_closing_releases_remaining_capacity(limiter, history):
    await callers(limiter, requests(10_000), sent := [], jobs=20, seconds=1, pause=0.2)
    await limiter.close()

    assert history._used.total() == len(sent)
