"""`step` and `idempotency_key`: what user code records, in every kind of code that may call them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from tests.memoryjournal import MemoryJournal

import agentjobs_runner
from agentjobs_runner import idempotency_key, step, user_steps
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.gate import Gate
from agentjobs_runner.user_steps import Place, UserSteps


@pytest.fixture
def begin():
    """`begin(journal)` begins a start and returns its journal; without one, the first."""
    recorded = threading.Event()
    recorded.set()

    def start(journal=None, gate=None):
        journal = journal or MemoryJournal()
        gate = gate or Gate(recorded, lambda: None, lambda: None)
        user_steps.install(UserSteps("uid-1", journal, gate))
        return journal

    token = user_steps.place.set(Place("root|a", "a"))
    yield start
    user_steps.place.reset(token)
    user_steps.install(None)


class Counting:
    """Gives the number of its call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return {"call": self.calls, "args": list(args), **kwargs}

    async def later(self):
        await asyncio.sleep(0)
        return self()


async def use(fn):
    """One value of each kind of code."""
    return [
        step("sync", fn, 1, two=2),
        await step("async", fn.later),
        await step("lambda", lambda: fn.later()),
        await asyncio.to_thread(step, "thread", fn),
        step("sync", fn),
    ]


async def test_a_later_start_gets_the_values_and_calls_nothing(begin):
    journal, fn = begin(), Counting()
    first = await use(fn)
    begin(journal.again())

    assert await use(fn) == first
    assert fn.calls == 5
    assert [value["call"] for value in first] == [1, 2, 3, 4, 5]


async def test_the_start_after_a_kill_continues_at_the_first_unrecorded_value(begin):
    journal, fn = begin(), Counting()
    step("one", fn)
    later = begin(journal.again())

    assert (step("one", fn)["call"], step("two", fn)["call"]) == (1, 2)
    assert later.names == ["value two"]


def test_the_first_start_gets_the_same_value_as_a_later_one(begin):
    journal = begin()
    values = [step("v", lambda: (1, date(2026, 1, 2), {3: None}, float("nan")))]
    begin(journal.again())

    assert values == [step("v", lambda: None)] == [[1, "2026-01-02", {"3": None}, "nan"]]


def test_an_error_is_not_recorded_and_the_count_continues(begin):
    journal = begin()
    with pytest.raises(ZeroDivisionError):
        step("v", lambda: 1 / 0)
    assert step("v", lambda: "second") == "second"
    begin(journal.again())

    assert step("v", lambda: "first, at last") == "first, at last"
    assert step("v", lambda: None) == "second"


async def test_a_key_distinguishes_calls_whose_order_differs(begin):
    async def value(of):
        return of

    journal = begin()
    await asyncio.gather(*(step("v", value, of, key=of) for of in "ab"))
    begin(journal.again())

    assert await asyncio.gather(*(step("v", value, None, key=of) for of in "ba")) == ["b", "a"]


async def test_the_same_key_for_two_concurrent_calls_is_refused(begin):
    begin()
    running = asyncio.ensure_future(step("v", asyncio.sleep, 0.01, key="k"))
    await asyncio.sleep(0)

    with pytest.raises(ValueError, match="key"):
        await step("v", asyncio.sleep, 0, key="k")
    await running


async def test_concurrent_calls_are_counted_in_the_order_of_the_code(begin):
    async def after(seconds, value):
        await asyncio.sleep(seconds)
        return value

    journal = begin()
    slow, fast = step("v", after, 0.02, "slow"), step("v", after, 0, "fast")
    await asyncio.gather(fast, slow)
    begin(journal.again())

    assert [await step("v", after, 0, None), await step("v", after, 0, None)] == ["slow", "fast"]


def test_the_same_name_in_another_place_is_another_step(begin):
    journal = begin()
    step("v", lambda: "of a")
    token = user_steps.place.set(Place("root|b", "b"))
    step("v", lambda: "of b")
    user_steps.place.reset(token)

    assert len({made.key for made, _ in journal.steps}) == 2


@pytest.mark.parametrize(
    "names",
    [(("v", "1"), ("v=1", None)), (("v", "x#1"), ("v=x", None)), (("a>step:b", None), ("a", "b"))],
    ids=str,
)
def test_different_names_and_keys_are_different_steps(begin, names):
    journal = begin()
    for name, key in names:
        step(name, lambda: 1, key=key)

    assert len({made.key for made, _ in journal.steps}) == 2


def test_a_step_within_a_step_is_a_separate_step(begin):
    journal = begin()

    assert step("outer", lambda: [step("inner", lambda: 1)]) == [1]
    assert journal.names == ["value inner", "value outer"]


@pytest.mark.parametrize(
    ("name", "fn"),
    [("v", object), ("v", lambda: {1: [{2}, object()]}), ("", int), ("v", 7), (7, int)],
    ids=["an object", "an object inside", "no name", "no function", "a number for a name"],
)
def test_a_value_that_cannot_be_recorded_is_a_type_error(begin, name, fn):
    begin()

    with pytest.raises(TypeError, match=r"step"):
        step(name, fn)


async def test_outside_of_a_start_functions_are_called_directly():
    assert step("v", lambda: {1}) == {1}
    assert await step("v", asyncio.sleep, 0, "awaited") == "awaited"
    assert idempotency_key() == idempotency_key()


async def test_a_step_of_an_agents_code_waits_behind_a_closed_gate(begin):
    ended, recorded = threading.Event(), threading.Event()
    recorded.set()
    gate = Gate(recorded, ended.set, lambda: None)
    begin(gate=gate)
    gate.close()
    waiting = asyncio.ensure_future(step("v", asyncio.sleep, 0))
    await asyncio.sleep(0.01)

    assert ended.is_set()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


def test_a_step_counts_as_running_until_it_is_recorded(begin):
    recorded = threading.Event()
    recorded.set()
    gate, seen = Gate(recorded, lambda: None, lambda: None), []

    class Slow(MemoryJournal):
        def record_now(self, made, body):
            seen.append(gate.running)

    begin(Slow(), gate)
    step("rate", lambda: 1)

    assert (seen, gate.running) == (["step rate"], "")


def test_a_key_of_a_tool_call_is_the_same_in_every_start(begin):
    keys = []
    for _ in range(2):
        begin()
        keys.append((idempotency_key(), step("pay", idempotency_key), step("pay", idempotency_key)))

    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 3
    assert all(key.startswith("uid-1-") and len(key) < 80 for key in keys[0])


def test_a_thread_without_a_place_gets_a_unique_key(begin):
    begin()
    with ThreadPoolExecutor(1) as threads, pytest.raises(RuntimeError, match="tool"):
        threads.submit(idempotency_key).result()


def test_the_package_exports_its_documented_names():
    assert sorted(agentjobs_runner.__all__) == ["Cancel", "Permanent", "Snooze", "idempotency_key", "step"]


async def fetched(order):
    """Two values of one name, asked in `order`."""

    async def fetch(city):
        return f"rate of {city}"

    given = {}
    for city in order:
        given[city] = await step("rate", fetch, city)
    return given


async def test_values_of_one_name_requested_in_another_order_are_not_confused(begin):
    first = begin()
    given = await fetched(["Oslo", "Rome"])

    begin(first.again())
    assert await fetched(["Rome", "Oslo"]) == given


@pytest.mark.parametrize("fails", [False, True])
async def test_a_value_recorded_for_other_arguments_is_reported(begin, fails):
    first, told = begin(), []
    await fetched(["Oslo"])
    begin(first.again())
    user_steps._start.report, user_steps._start.fails_diverged = lambda *entry: told.append(entry[0]), fails

    if fails:
        with pytest.raises(StartEnded) as met:
            await fetched(["Rome"])
        assert met.value.ending.reason == "Diverged"
    else:
        assert await fetched(["Rome"]) == {"Rome": "rate of Oslo"}
        assert told == ["warning"]


async def test_arguments_that_are_not_json_are_not_compared(begin):
    first, fn = begin(), Counting()
    step("one", lambda _: 1, object())

    begin(first.again())
    assert step("one", fn, object()) == 1
    assert fn.calls == 0
