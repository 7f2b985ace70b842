"""The journal over a gateway: what travels together, what is waited for, what is refused, what is read."""

import asyncio
import json
import math
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from agentjobs import contract, errors
from agentjobs.contract import ErrorClass, StepKind, Verdict
from agentjobs.errors import Fenced, Invalid, Unavailable
from agentjobs_runner import step_sender
from agentjobs_runner.endings import StartEnded
from agentjobs_runner.gateway import LONGEST_PAUSE_SECONDS, Gateway
from agentjobs_runner.gateway_journal import GatewayJournal
from agentjobs_runner.journal import NewStep
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.usage import UsageCounter

VERSIONS = {"adk": "2.13.0", "scheme": "1", "agent": "aa"}
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def a_step(key, *, name="tool", kind=StepKind.TOOL, **more):
    return NewStep(key, kind, "a", name, BEGAN, **more)


class FakeRecorder:
    def __init__(self):
        self.usage = UsageCounter()
        self.entries = []
        self.signs = 0

    def add(self, kind, author, data):
        self.entries.append((kind, data))

    def progressed(self):
        self.signs += 1


class FakeGateway:
    """Stores as the gateway does: all of a body or nothing, once for each key. `script` holds what it does first.

    A function of `script` is called with the body, and may store it before it raises; an error is raised.
    """

    def __init__(self, *script, pages=()):
        self.script = list(script)
        self.pages = list(pages)
        self.bodies = []
        self.steps = {}
        self.void = []
        self.asked = []
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Event()

    def add_steps(self, body):
        self.arrived.set()
        self.open.wait(5)
        if self.script:
            first = self.script.pop(0)
            if callable(first):
                first(self, body)
            elif first is not None:
                raise first
        self.store(body)

    def store(self, body):
        given = json.loads(body)
        self.bodies.append(given)
        self.void += given["void"]
        for step in given["steps"]:
            self.steps.setdefault((step["key"], step["ended"] is None), step)

    def steps_after(self, after):
        self.asked.append(after)
        return self.pages.pop(0)

    @property
    def keys(self):
        return [key for key, _ in self.steps]


@pytest.fixture
def journal():
    """`journal(gateway)` is one start's; `.lost` is what ended it, and the clock stands still but for its pauses."""
    made = []

    def start(gateway, *, head=None, variables=None, policy=None):
        lost, recorder, clock = [], FakeRecorder(), SimpleNamespace(now=0.0)
        spec = {"retry": {"onVersionChange": policy}} if policy else {}
        attempt = {"job": "hello", "uid": "u", "start": 3, "resolved": {"spec": spec, "scripts": {}}}
        attempt |= {"journal": head} if head else {}

        def sleep(seconds):
            clock.now += seconds
            time.sleep(0.001)

        client = SimpleNamespace(base_url="http://gateway")
        requests = Gateway(client, lambda: "token", clock=lambda: clock.now, sleep=sleep)
        requests.add_steps, requests.steps = gateway.add_steps, gateway.steps_after
        new = GatewayJournal(attempt, requests, Redactor(variables or {}), recorder, lost.append)
        new.lost, new.recorder, new.time = lost, recorder, clock
        new.start()
        made.append(gateway)
        return new

    yield start
    for gateway in made:
        gateway.open.set()


def recorded(n, key, body, **more):
    return {
        "n": n,
        "start": 1,
        "key": key,
        "kind": "tool",
        "agent": "a",
        "name": "t",
        "ended": "2026-01-01T00:00:01Z",
        "request": {},
        "body": body,
        **more,
    }


def head(last, **changed):
    return {"run": 1, "last": last, "versions": {**VERSIONS, "runner": "0.1.0", **changed}}


async def test_a_step_is_stored_before_record_returns(journal):
    gateway = FakeGateway()

    await journal(gateway).record(a_step("k", request={"digest": "d"}, usage={"inputTokens": 3}), {"said": "é"})

    stored = gateway.steps["k", False]
    assert (stored["began"], stored["body"]) == ("2026-01-01T00:00:00.000000Z", {"said": "é"})
    assert (stored["request"], stored["usage"]) == ({"digest": "d"}, {"inputTokens": 3})
    assert gateway.bodies[0]["run"] == 3


async def test_steps_queued_during_a_request_are_sent_together_and_in_order(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    gateway.open.clear()
    writing = [asyncio.ensure_future(made.record(a_step(f"k{n:03}"), n)) for n in range(contract.MAX_STEPS + 50)]
    await asyncio.to_thread(gateway.arrived.wait, 5)
    gateway.open.set()
    await asyncio.gather(*writing)

    assert len(gateway.bodies) <= 4
    assert max(len(body["steps"]) for body in gateway.bodies) <= contract.MAX_STEPS
    assert gateway.keys == [f"k{n:03}" for n in range(contract.MAX_STEPS + 50)]


async def test_no_body_is_larger_than_the_gateways_limit(journal):
    gateway = FakeGateway()
    made, sizes, text = journal(gateway), [], "x" * (contract.MAX_STEP_BYTES * 2 // 5)
    gateway.script = [lambda _, body: sizes.append(len(body))] * 20
    gateway.open.clear()
    writing = [asyncio.ensure_future(made.record(a_step(f"k{n}"), text)) for n in range(20)]
    await asyncio.sleep(0.05)
    gateway.open.set()
    await asyncio.gather(*writing)

    assert len(gateway.steps) == 20
    assert max(sizes) <= contract.MAX_STEPS_BODY_BYTES
    assert len(sizes) < 10


async def test_a_step_of_the_maximum_size_is_stored_and_a_larger_one_is_refused(journal):
    gateway = FakeGateway()
    made, most = journal(gateway), "x" * (contract.MAX_STEP_BYTES - 2)
    await made.record(a_step("k"), most)

    with pytest.raises(StartEnded) as caught:
        await made.record(a_step("l", name="dump"), most + "x")

    ending = caught.value.ending
    assert (ending.verdict, ending.reason) == (Verdict.FAIL, ErrorClass.STEP_TOO_LARGE)
    assert "dump" in ending.message
    assert gateway.keys == ["k"]


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (errors.TooLarge("413"), ErrorClass.STEP_TOO_LARGE),
        (errors.JournalFull("413"), ErrorClass.JOURNAL_FULL),
        (errors.Invalid("422"), ErrorClass.CONFIG_INVALID),
    ],
)
async def test_only_the_refused_step_fails(journal, refusal, reason):
    def refuses(gateway, body):
        if b"bad" in body:
            raise refusal

    gateway = FakeGateway(*[refuses] * 9)
    made = journal(gateway)
    gateway.open.clear()
    first = asyncio.ensure_future(made.record(a_step("first"), 0))
    await asyncio.to_thread(gateway.arrived.wait, 5)
    others = [asyncio.ensure_future(made.record(a_step(key), 0)) for key in ("good", "bad", "better")]
    await asyncio.sleep(0.01)
    gateway.open.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)

    assert [type(answer) for answer in answers] == [type(None), type(None), StartEnded, type(None)]
    assert (answers[2].ending.verdict, answers[2].ending.reason) == (Verdict.FAIL, reason)
    assert gateway.keys == ["first", "good", "better"]
    assert made.ended("bad") is None


async def test_a_refusal_for_another_reason_has_that_reason(journal):
    with pytest.raises(StartEnded) as caught:
        await journal(FakeGateway(Invalid("422: key: too long"))).record(a_step("k"), 0)

    ending = caught.value.ending
    assert (ending.verdict, ending.reason) == (Verdict.FAIL, ErrorClass.CONFIG_INVALID)
    assert "too long" in ending.message


async def test_a_gateway_killed_between_write_and_answer_stores_the_step_once(journal):
    def killed(gateway, body):
        gateway.store(body)
        raise Unavailable("ReadError")

    gateway = FakeGateway(killed)

    await journal(gateway).record(a_step("k"), 1)

    assert gateway.bodies[0] == gateway.bodies[1]
    assert gateway.keys == ["k"]


async def test_steps_wait_a_minute_for_the_gateway(journal):
    def away(gateway, body):
        if made.time.now < 60:
            gateway.script.insert(0, away)
            away.seen = (made.busy, made.reachable.is_set(), made.lost)
            raise Unavailable("503")

    gateway = FakeGateway(away)
    made = journal(gateway)
    await made.record(a_step("k"), 1)

    assert away.seen == (True, False, [])
    assert 60 <= made.time.now < 70
    assert (made.reachable.is_set(), made.busy) == (True, False)
    assert made.recorder.signs > 0


@pytest.mark.parametrize(
    "error", [Fenced("409"), Unavailable("POST /v1/attempt/steps: 404")], ids=["fenced", "an-older-gateway"]
)
async def test_steps_that_wait_for_a_fenced_journal_wait_until_the_process_ends(journal, error):
    gateway = FakeGateway(*[error] * 400)
    made = journal(gateway)
    waiting = asyncio.ensure_future(made.record(a_step("k"), 1))
    while not made.lost:
        await asyncio.sleep(0.001)

    assert made.lost == [error]
    assert isinstance(error, Fenced) or made.time.now > contract.GATEWAY_TIMEOUT_SECONDS - LONGEST_PAUSE_SECONDS
    assert not waiting.done()
    with pytest.raises(type(error)):
        made.finish(lambda: 0.0)
    waiting.cancel()


async def test_the_step_of_a_cancelled_task_is_stored(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    gateway.open.clear()
    writing = asyncio.ensure_future(made.record(a_step("k"), 1))
    await asyncio.to_thread(gateway.arrived.wait, 5)
    writing.cancel()
    await asyncio.wait([writing])
    gateway.open.set()
    made.finish(lambda: math.inf)

    assert gateway.keys == ["k"]


async def test_a_step_is_stored_while_a_tool_blocks_the_event_loop(journal):
    gateway, stored = FakeGateway(), threading.Event()
    gateway.script = [lambda gateway, body: gateway.store(body) or stored.set()]
    writing = asyncio.ensure_future(journal(gateway).record(a_step("k"), 1))
    await asyncio.sleep(0)

    assert stored.wait(5)
    assert gateway.keys == ["k"]
    await writing


@pytest.fixture
def cancelled(journal):
    """`cancelled(gateway)`: a journal with step `k` on its way to a silent gateway; its task was cancelled."""

    async def start(gateway):
        made = journal(gateway)
        gateway.open.clear()
        writing = asyncio.ensure_future(made.record(a_step("k"), 1))
        await asyncio.to_thread(gateway.arrived.wait, 5)
        writing.cancel()
        await asyncio.wait([writing])
        return made

    return start


async def test_a_step_of_a_cancelled_task_is_found_only_when_it_is_stored(cancelled):
    gateway = FakeGateway()
    made = await cancelled(gateway)
    stored = []
    asking = asyncio.ensure_future(asyncio.to_thread(lambda: (made.ended("k"), stored.extend(gateway.keys))))
    early, _ = await asyncio.wait([asking], timeout=0.05)
    gateway.open.set()
    found, _ = await asking

    assert early == set()
    assert (found["body"], stored) == (1, ["k"])


async def test_a_refused_step_of_a_cancelled_task_is_not_found(cancelled):
    gateway = FakeGateway(errors.JournalFull("413"))
    made = await cancelled(gateway)
    asking = asyncio.ensure_future(asyncio.to_thread(made.ended, "k"))
    gateway.open.set()

    assert await asking is None
    assert gateway.keys == []


async def test_steps_of_other_keys_are_found_while_one_is_on_its_way(cancelled):
    gateway = FakeGateway()
    made = await cancelled(gateway)

    assert made.ended("other") is None
    assert not gateway.keys


async def test_a_cancelled_step_that_is_made_void_is_not_found(cancelled):
    gateway = FakeGateway()
    made = await cancelled(gateway)
    voiding = asyncio.ensure_future(made.void(["k"]))
    await asyncio.sleep(0)
    gateway.open.set()
    await voiding

    assert made.ended("k") is None
    assert [body["void"] for body in gateway.bodies] == [[], ["k"]]


def test_synchronous_code_can_record_in_the_loops_thread_and_in_any_other(journal):
    gateway = FakeGateway()
    made = journal(gateway)

    async def agent():
        made.record_now(a_step("loop"), 1)
        await asyncio.to_thread(made.record_now, a_step("thread"), 2)

    asyncio.run(agent())

    assert gateway.keys == ["loop", "thread"]


def test_steps_of_two_event_loops_are_stored(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    others = [threading.Thread(target=lambda n=n: asyncio.run(made.record(a_step(f"k{n}"), n))) for n in range(4)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(5)

    assert sorted(gateway.keys) == ["k0", "k1", "k2", "k3"]


async def test_a_call_is_recorded_twice_and_counted_once(journal):
    gateway = FakeGateway()
    made, call = journal(gateway), a_step("k", usage={"toolCalls": 1})
    await made.begin(call)
    await made.record(call, "done")
    await made.record(a_step("m", kind=StepKind.MODEL, usage={"llmCalls": 1, "inputTokens": 9}), {}, void=True)

    begun, ended, void = (step for body in gateway.bodies for step in body["steps"])
    assert (begun["usage"], begun["ended"], begun["body"]) == ({"toolCalls": 1}, None, None)
    assert (ended["usage"], ended["body"]) == ({}, "done")
    assert (void["void"], void["usage"]) == (True, {"llmCalls": 1, "inputTokens": 9})
    assert made.recorder.usage.total == {"llmCalls": 1, "toolCalls": 1, "inputTokens": 9, "outputTokens": 0}


async def test_versions_are_sent_only_with_the_first_steps(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    made.open(**VERSIONS)
    await made.record(a_step("k"), 1)
    await made.void(["k"])

    assert [body.get("versions", {}).get("agent") for body in gateway.bodies] == ["aa", None]
    assert (gateway.void, made.ended("k")) == (["k"], None)


async def test_steps_and_void_keys_keep_their_order(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    gateway.open.clear()
    writing = [
        asyncio.ensure_future(made.record(a_step("a"), 1)),
        asyncio.ensure_future(made.record(a_step("b"), 1)),
        asyncio.ensure_future(made.void(["b"])),
        asyncio.ensure_future(made.record(a_step("b"), 2)),
    ]
    await asyncio.sleep(0.01)
    gateway.open.set()
    await asyncio.gather(*writing)

    told = [(body["void"], [step["key"] for step in body["steps"]]) for body in gateway.bodies]
    assert [one for one in told if one[0]] == [(["b"], [])]
    assert told[-1] == ([], ["b"])
    assert made.ended("b")["body"] == 2


@pytest.mark.parametrize(("count", "length"), [(1200, 8), (100, 500)])
async def test_any_number_of_keys_can_be_voided_within_the_gateways_limits(journal, count, length):
    gateway = FakeGateway()
    made, keys = journal(gateway), [f"{number:ü<{length}}" for number in range(count)]
    await asyncio.gather(made.void(keys), made.record(a_step("k"), 1))

    sizes = [len(json.dumps(body["void"], ensure_ascii=False).encode()) for body in gateway.bodies]
    assert max(sizes) <= contract.MAX_VOID_BYTES
    assert max(len(body["void"]) for body in gateway.bodies) <= contract.MAX_STEPS
    assert gateway.void == keys[::-1]


def test_a_first_start_requests_no_steps(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    made.open(**VERSIONS)

    assert (made.ended("k"), made.interrupted("k")) == (None, None)
    assert gateway.asked == []
    assert made.recorder.entries == []


async def test_recorded_steps_are_found_and_unfinished_calls_are_known(journal):
    pages = [
        {"steps": [recorded(1, "a", {"x": 1}), recorded(2, "b", None, ended=None)], "next": 2},
        {"steps": [recorded(5, "c", [1.5, "é"])], "next": None},
    ]
    gateway = FakeGateway(pages=pages)
    made = journal(gateway, head=head(5))
    made.open(**VERSIONS)

    assert gateway.asked == [0, 2]
    assert (made.ended("a")["body"], made.ended("c")["body"]) == ({"x": 1}, [1.5, "é"])
    assert (made.ended("b"), made.interrupted("b")["n"], made.interrupted("a")) == (None, 2, None)
    await made.record(a_step("d"), 1)
    assert gateway.bodies[0]["run"] == 1
    assert "versions" in gateway.bodies[0]


def test_the_resumed_entry_is_written_when_the_first_new_step_begins(journal):
    pages = [{"steps": [recorded(1, "a", 1), recorded(2, "b", 2), recorded(3, "c", 3)], "next": None}]
    made = journal(FakeGateway(pages=pages), head=head(3))
    made.open(**VERSIONS)
    answers = [made.ended(key) for key in ("a", "b", "a")]
    before = list(made.recorder.entries)
    made.ended("new")
    made.ended("another")

    assert (len(answers), before) == (3, [])
    assert made.recorder.entries == [("resumed", {"fromStep": 4, "replayed": 3})]


def test_a_key_not_found_before_the_first_step_does_not_end_the_replay(journal):
    made = journal(FakeGateway(pages=[{"steps": [recorded(1, "a", 1)], "next": None}]), head=head(1))
    made.open(**VERSIONS)
    for key in ("value session", "a", "new"):
        made.ended(key)

    assert made.recorder.entries == [("resumed", {"fromStep": 2, "replayed": 1})]


def test_a_value_inside_a_replayed_call_counts_as_replayed_without_being_read(journal):
    steps = [recorded(1, "value", 1), recorded(2, "tool", 2)]
    made = journal(FakeGateway(pages=[{"steps": steps, "next": None}]), head=head(2))
    made.ended("tool")
    made.ended("new")

    assert made.recorder.entries == [("resumed", {"fromStep": 3, "replayed": 2})]


def test_a_start_that_uses_no_recorded_step_reports_it(journal):
    made = journal(FakeGateway(pages=[{"steps": [recorded(1, "a", 1)], "next": None}]), head=head(1))
    made.open(**VERSIONS)
    made.finish(lambda: math.inf)

    assert made.recorder.entries == [("resumed", {"fromStep": 2, "replayed": 0})]


def test_a_start_has_more_steps_to_replay_until_it_used_all(journal):
    steps = [recorded(1, "a", 1), recorded(2, "b", 2), recorded(3, "c", None, ended=None)]
    made = journal(FakeGateway(pages=[{"steps": steps, "next": None}]), head=head(3))
    made.open(**VERSIONS)

    ahead = [made.has_more]
    for key in ("a", "new", "b"):
        made.ended(key)
        ahead.append(made.has_more)

    assert ahead == [True, True, True, False]


def test_steps_inside_an_unfinished_call_count_as_replayed(journal):
    steps = [recorded(1, "first", 0), recorded(2, "outer", None, ended=None), recorded(3, "inner", 1)]
    made = journal(FakeGateway(pages=[{"steps": steps, "next": None}]), head=head(3))
    answers = [made.ended("first"), made.ended("outer"), made.ended("inner")]
    made.ended("new")

    assert [answer is None for answer in answers] == [False, True, False]
    assert made.recorder.entries == [("resumed", {"fromStep": 4, "replayed": 2})]


def test_a_start_that_only_replays_reports_it_at_its_end(journal):
    made = journal(FakeGateway(pages=[{"steps": [recorded(1, "a", 1)], "next": None}]), head=head(1))
    made.ended("a")
    made.finish(lambda: math.inf)

    assert made.recorder.entries == [("resumed", {"fromStep": 2, "replayed": 1})]


@pytest.mark.parametrize(
    "broken",
    [
        recorded(7, "k", None, unreadable=True),
        recorded(7, "k", {"key": "⟦SHOP_KEY⟧"}),
        recorded(7, "k", "⟦=u-⟧"),
    ],
    ids=["corrupt", "a-secret-is-gone", "no-placeholder-of-ours"],
)
def test_an_unreadable_step_is_named_with_a_solution(journal, broken):
    made = journal(FakeGateway(pages=[{"steps": [broken], "next": None}]), head=head(7))

    with pytest.raises(StartEnded) as caught:
        made.ended("k")

    ending = caught.value.ending
    assert (ending.verdict, ending.reason) == (Verdict.FAIL, ErrorClass.STEP_UNREADABLE)
    assert "step 7 (k)" in ending.message
    assert "FromStart" in ending.message


@pytest.mark.parametrize("page", [{"steps": [{"n": 1}], "next": None}, {"steps": [7], "next": None}, {}], ids=str)
def test_invalid_pages_of_steps_fail_the_job(journal, page):
    made = journal(FakeGateway(pages=[page]), head=head(1))

    with pytest.raises(StartEnded) as caught:
        made.open(**VERSIONS)

    assert caught.value.ending.reason == ErrorClass.STEP_UNREADABLE


def test_a_changed_agent_continues_with_a_warning(journal):
    made = journal(FakeGateway(pages=[{"steps": [recorded(1, "a", 1)], "next": None}]), head=head(1, agent="bb"))
    made.open(**VERSIONS)

    assert made.ended("a") is not None
    assert [kind for kind, _ in made.recorder.entries] == ["warning"]


async def test_a_changed_agent_begins_a_new_run_if_the_job_says_so(journal):
    gateway = FakeGateway(pages=[{"steps": [recorded(1, "a", 1)], "next": None}])
    made = journal(gateway, head=head(1, agent="bb"), policy="Restart")
    made.open(**VERSIONS)
    await made.record(a_step("a"), 2)

    assert [kind for kind, _ in made.recorder.entries] == ["warning"]
    assert gateway.bodies[0]["run"] == 3
    assert gateway.bodies[0]["versions"]["agent"] == "aa"


async def test_secrets_are_replaced_when_sent_and_restored_when_read(journal):
    gateway, variables = FakeGateway(), {"SHOP_KEY": "0123456789"}
    made = journal(gateway, variables=variables)
    await made.record(a_step("k"), {"used": "0123456789"})

    assert gateway.steps["k", False]["body"] == {"used": "⟦SHOP_KEY⟧"}
    assert made.ended("k")["body"] == {"used": "0123456789"}


async def test_a_too_long_key_is_found_again(journal):
    gateway = FakeGateway()
    made, one, other = journal(gateway), "k" * 600 + "1", "k" * 600 + "2"
    await made.record(a_step(one), 1)
    await made.record(a_step(other), 2)

    assert (made.ended(one)["body"], made.ended(other)["body"]) == (1, 2)
    assert max(map(len, gateway.keys)) == contract.MAX_STEP_KEY_CHARS


async def test_an_unexpected_error_in_the_thread_ends_the_start(journal, monkeypatch):
    monkeypatch.setattr(step_sender.logger, "exception", lambda *_: None)
    made = journal(FakeGateway(RuntimeError("bug")))
    waiting = asyncio.ensure_future(made.record(a_step("k"), 1))
    while not made.lost:
        await asyncio.sleep(0.001)

    assert isinstance(made.lost[0], Unavailable)
    waiting.cancel()


def test_a_result_is_not_sent_while_a_step_is_not_stored(journal):
    gateway = FakeGateway()
    made = journal(gateway)
    gateway.open.clear()
    writing = threading.Thread(target=lambda: asyncio.run(made.record(a_step("k"), 1)))
    writing.start()
    gateway.arrived.wait(5)

    with pytest.raises(Unavailable):
        made.finish(lambda: 0.0)
    gateway.open.set()
    writing.join(5)
    made.finish(lambda: math.inf)


def test_a_result_is_not_sent_while_the_files_of_a_step_are_kept(journal):
    made = journal(FakeGateway())
    with pytest.raises(Unavailable):
        made.finish(lambda: 0.0, pending=lambda: True)


def test_the_end_waits_for_a_step_whose_files_are_kept(journal):
    gateway, states = FakeGateway(), [True, True, False]
    made = journal(gateway)

    def pending():
        if len(states) == 1:
            made.record_now(a_step("k"), 1)
        return states.pop(0)

    made.finish(lambda: math.inf, pending=pending)

    assert (gateway.keys, states) == (["k"], [])


async def test_the_end_does_not_wait_for_files_after_the_gateway_is_lost(journal):
    made = journal(FakeGateway(Fenced("409")))
    writing = asyncio.ensure_future(made.record(a_step("k"), 1))
    await asyncio.sleep(0)
    with pytest.raises(Fenced):
        await asyncio.to_thread(made.finish, lambda: math.inf, pending=lambda: True)

    assert not writing.done()
    writing.cancel()
