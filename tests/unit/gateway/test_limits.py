"""Bodies are counted as they arrive, regardless of their declared length."""

import asyncio

import pytest
from starlette.requests import Request

from agentjobs.capacity import Capacity, PerCaller
from agentjobs.gateway import limits
from agentjobs.gateway.bodies import HeartbeatBody
from agentjobs.gateway.limits import BURST, LINGER_BYTES, REQUESTS_PER_SECOND, Intake, Rates, read_body
from agentjobs.problem import Problem


@pytest.fixture
def request_of():
    """A request whose body comes in these chunks; `sent` counts how many were taken."""

    def build(chunks, *, length=None, broken=False):
        taken = []
        source = iter(chunks)

        async def receive():
            chunk = next(source, None)
            if chunk is None:
                return {"type": "http.disconnect"} if broken else {"type": "http.request", "body": b""}
            taken.append(len(chunk))
            return {"type": "http.request", "body": chunk, "more_body": True}

        headers = [] if length is None else [(b"content-length", length)]
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
        request.state.taken = taken
        return request

    return build


@pytest.mark.parametrize("length", [None, b"4", b"0", b"-1", b"x", b"9" * 30], ids=str)
async def test_a_body_within_the_limit_is_read_regardless_of_its_declared_length(request_of, length):
    assert await read_body(request_of([b"ab", b"cd"], length=length), 4) == b"abcd"


async def test_a_body_beyond_the_limit_is_413_and_names_it(request_of):
    with pytest.raises(Problem, match="4 bytes") as refused:
        await read_body(request_of([b"ab", b"cde"]), 4)

    assert (refused.value.status, refused.value.reason) == (413, "BodyTooLarge")


async def test_a_declared_length_above_the_limit_is_refused_even_for_a_small_body(request_of):
    with pytest.raises(Problem) as refused:
        await read_body(request_of([b"ab"], length=b"5"), 4)

    assert refused.value.status == 413


async def test_the_rest_of_a_refused_body_is_discarded_up_to_a_limit(request_of):
    chunk = b"x" * (1024 * 1024)
    request = request_of([chunk] * 200)

    with pytest.raises(Problem):
        await read_body(request, 4)

    assert LINGER_BYTES <= sum(request.state.taken) <= LINGER_BYTES + 3 * len(chunk)


async def test_an_incomplete_body_is_400(request_of):
    with pytest.raises(Problem) as refused:
        await read_body(request_of([b"ab"], broken=True), 4)

    assert (refused.value.status, refused.value.reason) == (400, "BodyIncomplete")


async def test_concurrent_requests_are_limited_per_runner():
    turns = PerCaller(limit=2)
    with turns.taken("a"), turns.taken("a"), turns.taken("b"), pytest.raises(Problem) as refused, turns.taken("a"):
        pass
    with turns.taken("a"), turns.taken("a"):
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})


async def test_a_body_that_does_not_arrive_is_408(request_of, monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.01)

    with pytest.raises(Problem) as refused:
        await read_body(endless(request_of), 4)

    assert (refused.value.status, refused.value.reason) == (408, "BodyTooSlow")


def endless(request_of):
    """A request whose body never comes."""
    request = request_of([])
    request._receive = asyncio.Event().wait
    return request


def count_until_refused(rates, caller):
    for number in range(10_000):
        try:
            rates.count(caller)
        except Problem as problem:
            return number, problem
    return None


def test_a_pod_with_too_many_requests_gets_a_retry_delay(clock):
    rates = Rates(clock)
    first = count_until_refused(rates, "a")
    clock.now += 2
    second = count_until_refused(rates, "a")

    assert (first[0], second[0]) == (BURST, 2 * REQUESTS_PER_SECOND)
    assert (first[1].status, first[1].headers) == (429, {"Retry-After": "1"})
    assert count_until_refused(rates, "b")[0] == BURST


def test_large_bodies_use_up_the_byte_limit_of_a_pod(clock):
    rates = Rates(clock)
    for _ in range(3):
        rates.charge("a", 4 * 1024 * 1024)

    assert count_until_refused(rates, "a")[0] == BURST - 192


def test_a_pod_that_sent_a_body_too_slowly_is_delayed(clock):
    rates = Rates(clock)
    rates.penalize("a")

    assert count_until_refused(rates, "a")[1].headers == {"Retry-After": "31"}
    clock.now += 31
    assert count_until_refused(rates, "a")[0] > 0


async def test_bodies_that_do_not_fit_wait_in_order_until_others_are_done():
    budget, order = Capacity(10, timeout=5), []

    async def take(name, amount):
        async with budget.taken(amount):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(take("a", 6), take("b", 6), take("c", 1), take("d", 10))

    assert (order, budget.idle) == (["a", "b", "c", "d"], True)


@pytest.mark.parametrize("ends", ["in time", "late", "cancelled"])
async def test_every_ending_of_a_waiting_body_restores_the_budget(ends):
    budget = Capacity(10, timeout=0 if ends == "late" else 60)

    async def take():
        async with budget.taken(5):
            pass

    async with budget.taken(10):
        waiting = asyncio.create_task(take())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if ends == "cancelled":
            waiting.cancel()
    outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]

    assert isinstance(outcome, {"late": Problem, "cancelled": asyncio.CancelledError}.get(ends, type(None)))
    assert budget.idle


async def test_concurrent_bodies_are_limited_to_one_per_job(request_of):
    intake, under_way, most = Intake(), [], 0

    async def send(job):
        nonlocal most
        async with intake.body(request_of([b"{}"]), HeartbeatBody, 4, job=job, pod=job):
            under_way.append(job)
            most = max(most, len(under_way))
            assert under_way.count(job) == 1
            await asyncio.sleep(0)
            under_way.remove(job)

    await asyncio.gather(*(send(job) for job in "aaaabbbb"))

    assert (most, intake._lines) == (2, {})


async def test_a_body_that_arrived_too_slowly_delays_only_bodies_of_its_pod(request_of, monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.01)
    intake = Intake()
    with pytest.raises(limits.SlowBody):
        async with intake.body(endless(request_of), HeartbeatBody, 4, job="j", pod="slow"):
            pass

    async with intake.body(request_of([b"{}"]), HeartbeatBody, 4, job="j", pod="other"):
        intake.rates.count("slow")  # it may beat, for it lives
    with pytest.raises(Problem) as refused:
        async with intake.body(request_of([b"{}"]), HeartbeatBody, 4, job="j", pod="slow"):
            pass
    assert refused.value.status == 429


async def test_a_too_large_body_takes_no_memory_while_its_rest_is_discarded(request_of):
    intake, request = Intake(), request_of([b"x" * 10, b"y", b"z"])
    receive, idle = request._receive, []

    async def watched():
        idle.append(intake._bytes.idle)
        return await receive()

    request._receive = watched
    with pytest.raises(Problem, match="4 bytes"):
        async with intake.body(request, HeartbeatBody, 4, job="j", pod="p"):
            pass

    assert idle == [False, True, True, True]


async def test_further_bodies_are_503_while_bodies_fill_the_memory_limit(request_of):
    intake = Intake(timeout=0)
    async with intake._bytes.taken(limits.BODY_BYTES):
        with pytest.raises(Problem) as refused:
            async with intake.body(request_of([b"{}"]), HeartbeatBody, 4, job="j", pod="p"):
                pass

    assert (refused.value.status, refused.value.reason) == (503, "Busy")
    assert int(refused.value.headers["Retry-After"]) > 0
    assert (intake._bytes.idle, intake._lines) == (True, {})
