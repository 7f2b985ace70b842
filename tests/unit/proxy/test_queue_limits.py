"""Limits of queues in addition to those of keys: never exceeded, independent, and changed at any time."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.proxy.test_limits import MODEL, NOTHING, History, a_key, cancelled, most_in_a_window, now, requests

from agentjobs import errors
from agentjobs.models.queue_limits import COUNTED, limits_of, queue_of
from agentjobs.models.tokens import Tokens
from agentjobs.proxy import refusals
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.queue_limits import POLL_SECONDS, QueueLimits
from agentjobs.proxy.turns import NoTurn, Wanted

BATCH, AGENTS = ("default", "batch"), ("default", "agents")


class Said:
    """What the operator said."""

    def __init__(self, **limits):
        self.limits = {("default", queue): entries for queue, entries in limits.items()}
        self.away = False

    async def model_limits(self):
        if self.away:
            raise errors.Unavailable("away")
        return self.limits


def entry(**limits):
    return [{"models": ["gemini-*"], **limits}]


class Proxy:
    """A limiter that knows what queues allow."""

    def __init__(self, history, said, name="one"):
        self.queues = QueueLimits(said, on_change=lambda: self.limiter.limits_changed())
        self.limiter = Limiter(history, proxy=name, queues=self.queues)

    def enter(self, queue, *, key=None, uid="a", tokens=NOTHING, max_wait=100, aliases=()):
        wanted = Wanted(uid, MODEL, tokens, (key or a_key(),), queue, aliases)
        return self.limiter.enter(wanted, max_wait=max_wait)


@pytest.fixture
def proxies():
    """Makes proxies that share a history and know what was said."""
    history = History(slowest=0.01)

    async def make(said, *names):
        made = [Proxy(history, said, name) for name in names or ("one",)]
        for proxy in made:
            await proxy.queues.poll()
        return made

    make.history = history
    return make


async def jobs_of(proxy, queue, sent, *, jobs, seconds, key=None):
    async def job(uid):
        while now() < seconds:
            try:
                turn = await proxy.enter(queue, key=key, uid=uid, max_wait=seconds)
            except NoTurn:
                return
            sent.append(now())
            await asyncio.sleep(0.2)
            proxy.limiter.leave(turn, Tokens())

    await asyncio.gather(*(job(f"{queue}-{id(proxy)}-{n}") for n in range(jobs)))


@pytest.mark.looptime
async def test_two_proxies_never_exceed_the_limit_of_a_queue_nor_that_of_the_key(proxies):
    one, two = await proxies(Said(batch=entry(requestsPerMinute=60)), "one", "two")
    batch, agents, key = [], [], requests(300)
    both = [(one, BATCH, batch), (two, BATCH, batch), (one, AGENTS, agents), (two, AGENTS, agents)]
    await asyncio.gather(*(jobs_of(proxy, queue, sent, jobs=20, seconds=400, key=key) for proxy, queue, sent in both))

    assert most_in_a_window(batch) == 60
    assert most_in_a_window([*batch, *agents]) == 300
    assert len(batch) >= 57 / 60 * 60 * 400 / 60


@pytest.mark.looptime
async def test_a_queue_whose_limit_is_used_up_does_not_delay_others(proxies):
    [proxy] = await proxies(Said(batch=entry(requestsPerMinute=1)))
    await proxy.enter(BATCH, key=requests(1000))
    waiting = [asyncio.create_task(proxy.enter(BATCH, key=requests(1000), uid=f"b{n}")) for n in range(50)]
    await asyncio.sleep(1)
    told = await proxies.history.exhausted_models()
    for n in range(100):
        await proxy.enter(AGENTS, key=requests(1000), uid=f"a{n}", max_wait=1)

    assert now() < 6
    assert not any(call.done() for call in waiting)
    assert told == {}
    await cancelled(waiting)


@pytest.mark.looptime
async def test_jobs_of_a_queue_take_turns_under_its_limit(proxies):
    [proxy] = await proxies(Said(batch=entry(requestsPerMinute=40)))
    busy = [asyncio.create_task(proxy.enter(BATCH, uid="busy", max_wait=200)) for _ in range(60)]
    await asyncio.sleep(0.5)
    await proxy.enter(BATCH, uid="modest", max_wait=200)

    assert now() < 62
    assert not all(call.done() for call in busy)
    await cancelled(busy)


@pytest.mark.looptime
async def test_two_proxies_do_not_exceed_the_concurrent_calls_of_a_queue(proxies):
    made = await proxies(Said(batch=entry(maxConcurrentCalls=3)), "one", "two")
    under_way, most = Counter(), 0

    async def job(proxy, uid):
        nonlocal most
        for _ in range(5):
            turn = await proxy.enter(BATCH, uid=uid, max_wait=500)
            under_way["now"] += 1
            most = max(most, under_way["now"])
            await asyncio.sleep(1)
            under_way["now"] -= 1
            proxy.limiter.leave(turn, Tokens())

    await asyncio.gather(*(job(proxy, f"{n}") for n in range(5) for proxy in made))

    assert most == 3


@pytest.mark.looptime
async def test_unused_tokens_are_released_to_the_queue(proxies):
    [proxy] = await proxies(Said(batch=entry(tokensPerMinute=1000)))
    turn = await proxy.enter(BATCH, tokens=Tokens(input=500, output=500))
    proxy.limiter.leave(turn, Tokens(input=10))
    await asyncio.sleep(1)
    await proxy.enter(BATCH, tokens=Tokens(input=990))

    assert now() < 3


@pytest.mark.looptime
async def test_raising_a_limit_lets_waiting_calls_continue(proxies):
    said = Said(batch=entry(requestsPerMinute=1))
    [proxy] = await proxies(said)
    await proxy.enter(BATCH)
    waiting = [asyncio.create_task(proxy.enter(BATCH, uid=f"{n}")) for n in range(5)]
    await asyncio.sleep(1)
    said.limits = {BATCH: entry(requestsPerMinute=6)}
    await proxy.queues.poll()
    await asyncio.gather(*waiting)

    assert now() < 2


@pytest.mark.looptime
@pytest.mark.parametrize("before", [{}, {BATCH: entry(requestsPerMinute=7)}], ids=["without", "higher"])
async def test_a_lowered_limit_applies_to_waiting_calls(proxies, before):
    said, sent = Said(), []
    said.limits = before
    made = await proxies(said, "one", "two")
    running = [asyncio.create_task(jobs_of(one, BATCH, sent, jobs=9, seconds=200, key=requests(8))) for one in made]
    await asyncio.sleep(65)
    said.limits = {BATCH: entry(requestsPerMinute=2)}
    for proxy in made:
        await proxy.queues.poll()
    changed = now() + 1  # what is on its way was taken before
    await asyncio.gather(*running)

    assert most_in_a_window([time for time in sent if time > changed]) == 2


@pytest.mark.looptime
async def test_the_use_of_a_limit_is_kept_when_another_is_inserted_before_it(proxies):
    said = Said(batch=entry(requestsPerMinute=1))
    [proxy] = await proxies(said)
    await proxy.enter(BATCH)
    said.limits = {BATCH: [{"models": ["openai/*"], "requestsPerMinute": 9}, *entry(requestsPerMinute=1)]}
    await proxy.queues.poll()

    with pytest.raises(NoTurn):
        await proxy.enter(BATCH, max_wait=10)


@pytest.mark.looptime
async def test_a_limit_for_an_alias_applies_to_its_model(proxies):
    [proxy] = await proxies(Said(batch=[{"models": ["smart"], "requestsPerMinute": 1}]))
    for _ in range(3):
        await proxy.enter(BATCH)
    await proxy.enter(BATCH, aliases=("fast", "smart"))

    with pytest.raises(NoTurn):
        await proxy.enter(BATCH, aliases=("fast", "smart"), max_wait=10)


@pytest.mark.looptime
async def test_a_refusal_names_the_queue_and_when_to_retry(proxies):
    [proxy] = await proxies(Said(batch=entry(requestsPerMinute=1)))
    await proxy.enter(BATCH)
    with pytest.raises(NoTurn) as refused:
        await proxy.enter(BATCH, max_wait=5)
    refusal = refusals.no_turn(MODEL, refused.value.limit, refused.value.retry_after)

    assert "default/batch" in refusal.message
    assert (refusal.status, 50 < refusal.retry_after < 62) == (429, True)


@pytest.mark.looptime
async def test_no_call_has_a_turn_before_the_limits_of_queues_are_known(proxies):
    said = Said()
    said.away = True
    [proxy] = await proxies(said)

    with pytest.raises(errors.Unavailable):
        await proxy.enter(BATCH)


@pytest.mark.looptime
@pytest.mark.parametrize("trouble", ["away", "unreadable"])
async def test_known_limits_are_kept_while_history_has_no_valid_ones(proxies, trouble):
    said = Said(batch=entry(requestsPerMinute=1))
    [proxy] = await proxies(said)
    said.away = trouble == "away"
    said.limits = {BATCH: [{"models": None}]}
    watching = asyncio.create_task(proxy.queues.watch())
    await asyncio.sleep(2 * POLL_SECONDS)
    await proxy.enter(BATCH)

    with pytest.raises(NoTurn):
        await proxy.enter(BATCH, max_wait=1)
    await cancelled([watching])


entries = st.lists(
    st.fixed_dictionaries(
        {"models": st.lists(st.sampled_from(["gemini-*", "openai/*", "*"]), min_size=1, max_size=3)},
        optional={field: st.integers(1, 9) for field in COUNTED},
    ),
    max_size=5,
)


@given(entries, st.sampled_from(["gemini-a", "openai/b", "anthropic/c"]))
def test_every_entry_that_names_a_model_applies_and_none_is_counted_twice(entries, model):
    limits = [limit for limit in limits_of("default", "batch", entries) if limit.holds((model,))]
    buckets = [limit.quota.bucket for limit in limits]

    assert len(buckets) == len(set(buckets))
    for given_entry in entries:
        if "*" in given_entry["models"] or any(model.startswith(one[:-1]) for one in given_entry["models"]):
            for field in set(given_entry) & set(COUNTED):
                assert min(limit.quota.most for limit in limits if limit.field == field) <= given_entry[field]


def test_the_limits_of_two_queues_are_independent():
    found = [limits_of(*place, entry(requestsPerMinute=1))[0] for place in (BATCH, AGENTS, ("other", "batch"))]

    assert [queue_of(limit.quota.bucket) for limit in found] == ["default/batch", "default/agents", "other/batch"]
    assert queue_of(requests(1).quotas[0].bucket) is None
