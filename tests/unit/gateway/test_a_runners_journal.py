"""The runner's own journal against the whole application: what one start records, the next one finds."""

import asyncio
import threading
from datetime import UTC, datetime

import httpx
import pytest

from agentjobs import contract
from agentjobs.contract import StepKind
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs_runner.gateway import Gateway
from agentjobs_runner.gateway_journal import GatewayJournal
from agentjobs_runner.journal import NewStep
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.usage import UsageCounter

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = JobKey("u1", "default", "hello", BEGAN, "brief")
ODD = {
    "nul": "a\x00b",
    "lone": "\ud800",
    "number": 1.5,
    "endless": float("inf"),
    "deep": [[{"é": None}]],
    "secret": "0123456789",
}


class Silent:
    def __init__(self):
        self.usage = UsageCounter()
        self.entries = []

    def add(self, kind, author, data):
        self.entries.append((kind, data))

    def progressed(self):
        pass


class InItsLoop(httpx.BaseTransport):
    """Takes requests of other threads into the event loop of the application."""

    def __init__(self, app):
        self.inner = httpx.ASGITransport(app)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def handle_request(self, request):
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        return asyncio.run_coroutine_threadsafe(self.answer(asked), self.loop).result()

    async def answer(self, asked):
        given = await self.inner.handle_async_request(asked)
        return httpx.Response(given.status_code, headers=given.headers, content=await given.aread())

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def start(app, history, kube):
    """`start(n)` claims the job's n-th start and returns its journal."""
    lost = []
    with httpx.Client(transport=InItsLoop(app), base_url="http://gateway") as client:

        def begin(n, spec=None):
            resolved = {"spec": {"retry": {"maxAttempts": 9}, **(spec or {})}, "scripts": {}}
            record = StartRecord(KEY, n, n, f"hello-{n}", BEGAN)
            asyncio.run(history.memory.accept(Acceptance(JobRecord(KEY, resolved, "abc"), record)))
            kube.add_runner(f"t{n}", job="hello", start=n, uid="u1", pod_uid=f"p{n}")
            gateway = Gateway(client, lambda: f"t{n}")
            attempt = gateway.attempt(give_up=lambda: 0.0)
            journal = GatewayJournal(attempt, gateway, Redactor({"SHOP_KEY": "0123456789"}), Silent(), lost.append)
            journal.start()
            return journal

        yield begin
    assert lost == []


def a_step(key, kind=StepKind.VALUE, **more):
    return NewStep(key, kind, "a", "n", BEGAN, **more)


async def two_calls_and_their_ends(journal):
    journal.open(adk="1", scheme="1", agent="aa")
    await journal.record(a_step("odd"), ODD)
    await asyncio.gather(*(journal.begin(a_step(f"c{n}", usage={"toolCalls": 1})) for n in range(2)))
    await journal.record(a_step("c0", usage={"toolCalls": 1}), [0])
    await journal.record(a_step("refused", StepKind.MODEL, usage={"llmCalls": 1}), {}, void=True)
    await journal.record(a_step("bad", StepKind.MODEL), {})
    await journal.void(["bad"])


def test_the_next_start_reads_recorded_steps_exactly(start):
    asyncio.run(two_calls_and_their_ends(start(1)))
    later = start(2)
    later.open(adk="1", scheme="1", agent="aa")

    assert later.ended("odd")["body"] == ODD
    assert (later.ended("c0")["body"], later.ended("c1"), later.interrupted("c1")["start"]) == ([0], None, 1)
    assert (later.ended("refused"), later.ended("bad")) == (None, None)
    assert later._recorder.entries == [("resumed", {"fromStep": 6, "replayed": 2})]


def test_the_gateway_and_the_runner_count_the_same_sizes(start, history):
    journal = start(1)
    asyncio.run(two_calls_and_their_ends(journal))

    stored = history.memory.jobs_by_uid["u1"].starts[1]
    assert {**journal._recorder.usage.total, **stored.usage} == journal._recorder.usage.total
    assert stored.usage["toolCalls"] == 2


def test_a_thousand_steps_are_read_in_pages(start):
    async def many(journal):
        await asyncio.gather(*(journal.record(a_step(f"k{n}"), "x" * 5000) for n in range(1000)))

    asyncio.run(many(start(1)))
    later = start(2)

    assert [later.ended(f"k{n}")["body"] for n in (0, 999)] == ["x" * 5000] * 2


def test_a_step_of_the_maximum_size_is_accepted(start):
    body = "x" * (contract.MAX_STEP_BYTES - 2)
    asyncio.run(start(1).record(a_step("k"), body))

    assert start(2).ended("k")["body"] == body


def test_a_job_that_records_no_steps_finds_none(start):
    spec = {"steps": {"checkpoint": "None"}}
    asyncio.run(start(1, spec).record(a_step("k"), 1))

    assert start(2, spec).ended("k") is None
