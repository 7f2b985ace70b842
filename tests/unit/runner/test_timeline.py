"""The recorder: order, batches, time-outs."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from agentjobs import contract
from agentjobs.errors import Fenced, Invalid, TooManyRequests, Unavailable
from agentjobs_runner import gateway, timeline
from agentjobs_runner.redaction import Redactor
from agentjobs_runner.timeline import Recorder


class FakeGateway:
    """Raises what is in `errors` first; keeps batches."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.batches = []
        self.beats = 0

    def add_events(self, events):
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(list(events))

    def heartbeat(self):
        self.beats += 1

    @property
    def seqs(self):
        return [event["seq"] for batch in self.batches for event in batch]


@pytest.fixture
def record(monkeypatch):
    """`record(gateway, count, data)` records entries and returns (recorder, what ended it)."""
    monkeypatch.setattr(gateway, "FIRST_PAUSE_SECONDS", 0.01)  # the real pause is for real networks

    def run(gateway, count=3, data=None):
        lost = []
        recorder = Recorder(gateway, Redactor({}, "the-token"), lost.append)
        recorder.start()
        for number in range(count):
            recorder.add("text", "a", data or {"n": number})
        limit = time.monotonic() + 2
        recorder.finish(lambda: limit)
        return SimpleNamespace(recorder=recorder, lost=lost)

    return run


def test_entries_arrive_once_and_in_order(record):
    gateway = FakeGateway()

    record(gateway, 50)

    assert gateway.seqs == list(range(1, 51))


def test_silence_is_counted_from_the_last_progress_and_not_during_an_outage_of_the_gateway(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(timeline, "time", SimpleNamespace(monotonic=lambda: clock.now))
    recorder = Recorder(FakeGateway(), Redactor({}, "the-token"), lambda _: None)
    before_the_agent = recorder.silence
    recorder.progressed()
    clock.now += 7
    running = recorder.silence
    recorder.recorded.clear()

    assert (before_the_agent, running, recorder.silence) == (0, 7, 0)


def test_entries_that_an_unavailable_gateway_missed_are_sent_again(record):
    gateway = FakeGateway(Unavailable("away"), Unavailable("away"))

    done = record(gateway)

    assert gateway.seqs == [1, 2, 3]
    assert done.recorder.recorded.is_set()
    assert done.recorder.silence < 60


@pytest.mark.parametrize(("asked", "waits"), [(0.2, 0.2), (60.0, 0.3)], ids=["as-asked", "at-most-the-longest-pause"])
def test_a_busy_gateway_is_retried_after_its_delay(record, monkeypatch, asked, waits):
    monkeypatch.setattr(timeline, "LONGEST_PAUSE_SECONDS", 0.3)
    gateway, began = FakeGateway(TooManyRequests("busy", asked)), time.monotonic()

    record(gateway, 3)

    assert time.monotonic() - began >= waits
    assert gateway.seqs == [1, 2, 3]


def test_the_usage_of_a_start_comes_from_its_steps_and_not_its_entries(record):
    gateway = FakeGateway()
    done = record(gateway, 0)
    recorder = Recorder(gateway, Redactor({}), done.lost.append)
    recorder.usage.count({"llmCalls": 1, "inputTokens": 7, "outputTokens": -3})
    recorder.add("model", "a", {})
    recorder.start()
    recorder.finish(lambda: time.monotonic() + 2)

    assert "usage" not in gateway.batches[0][0]
    assert recorder.usage.total == {"llmCalls": 1, "toolCalls": 0, "inputTokens": 7, "outputTokens": 0}


def test_a_refused_batch_is_left_out(record):
    gateway = FakeGateway(Invalid("413"))

    done = record(gateway, 1)

    assert (gateway.seqs, done.lost) == ([], [])


def test_a_fence_ends_the_recording(record):
    fence = Fenced("another pod")

    assert record(FakeGateway(fence)).lost == [fence]


def test_an_internal_error_neither_hangs_nor_stops_the_timeline(record):
    done = record(FakeGateway(RuntimeError("bug")), 1)

    assert done.lost == []


def test_bodies_and_entries_are_within_the_limits(record):
    gateway = FakeGateway()

    record(gateway, 30, {f"k{n}": "ü" * 60_000 for n in range(9)})

    sizes = [timeline.size_of({"events": batch}) for batch in gateway.batches]
    assert max(sizes) <= contract.MAX_EVENTS_BODY_BYTES
    assert all(timeline.size_of(event) <= contract.MAX_EVENT_BYTES for batch in gateway.batches for event in batch)


def test_a_backlog_of_medium_entries_is_sent_in_bodies_within_the_size_limit():
    gateway = FakeGateway()
    recorder = Recorder(gateway, Redactor({}), lambda error: None)
    for _ in range(2_000):
        recorder.add("text", "a", {"text": "x" * 450})

    recorder.start()
    limit = time.monotonic() + 20
    recorder.finish(lambda: limit)

    assert max(timeline.size_of({"events": batch}) for batch in gateway.batches) <= contract.MAX_EVENTS_BODY_BYTES
    assert len(gateway.seqs) == 2_000


def test_heartbeats_are_sent_between_the_batches_of_a_backlog(monkeypatch):
    monkeypatch.setattr(contract, "HEARTBEAT_SECONDS", 0.0)
    gateway = FakeGateway()
    order = []
    gateway.add_events = lambda events: order.append("batch")
    gateway.heartbeat = lambda: order.append("beat")
    recorder = Recorder(gateway, Redactor({}), lambda error: None)
    for number in range(3 * contract.MAX_EVENTS):
        recorder.add("text", "a", {"n": number})
    recorder.start()
    limit = time.monotonic() + 20
    recorder.finish(lambda: limit)

    assert order[:5] == ["beat", "batch", "beat", "batch", "beat"]


def test_heartbeats_are_sent_while_bodies_are_refused(record, monkeypatch):
    monkeypatch.setattr(contract, "HEARTBEAT_SECONDS", 0.0)
    gateway = FakeGateway(*[TooManyRequests("slow body", 0.0)] * 3)
    beats = []
    gateway.heartbeat = lambda: beats.append(len(gateway.errors))

    record(gateway, 1)

    assert {2, 1, 0} <= set(beats)
    assert gateway.seqs == [1]


class Deaf(FakeGateway):
    """Refuses every heartbeat."""

    def heartbeat(self):
        super().heartbeat()
        raise self.says


@pytest.mark.parametrize("says", [Invalid("422"), RuntimeError("bug")], ids=["refused", "bug"])
def test_a_failed_heartbeat_is_not_repeated_immediately(monkeypatch, says):
    monkeypatch.setattr(contract, "HEARTBEAT_SECONDS", 0.2)
    gateway = Deaf()
    gateway.says = says
    recorder = Recorder(gateway, Redactor({}), lambda error: None)
    recorder.start()
    limit = time.monotonic() + 5
    while gateway.beats < 2:
        assert time.monotonic() < limit
        time.sleep(0.01)
    recorder.finish(lambda: limit)

    assert gateway.beats < 100  # in a circle it were some ten thousand a second


def test_a_backlog_of_small_entries_is_sent_in_bodies_within_the_count_limit():
    gateway = FakeGateway()
    recorder = Recorder(gateway, Redactor({}), lambda error: None)
    for number in range(5_000):
        recorder.add("text", "a", {"n": number})

    recorder.start()
    limit = time.monotonic() + 20
    recorder.finish(lambda: limit)

    assert max(map(len, gateway.batches)) <= contract.MAX_EVENTS
    assert len(gateway.seqs) == 5_000


async def test_an_agent_that_is_faster_than_the_gateway_waits_and_loses_nothing():
    gateway, held = FakeGateway(), 0
    taken = threading.Semaphore(0)
    gateway.add_events = lambda events: (taken.acquire(timeout=5), gateway.batches.append(events))
    recorder = Recorder(gateway, Redactor({}), lambda error: None)
    recorder.start()
    for _ in range(3_000):
        recorder.add("text", "a", {"text": "x" * 16_000})
        waiting = asyncio.create_task(recorder.room())
        await asyncio.sleep(0)
        if not waiting.done():
            held += 1
            taken.release()
        await waiting

    taken.release(100)
    limit = time.monotonic() + 20
    recorder.finish(lambda: limit)

    assert 10 < held < 100
    assert len(gateway.seqs) == 3_000


def test_secrets_are_redacted_before_entries_are_queued(record):
    gateway = FakeGateway()

    record(gateway, 1, {"said": "the-token"})

    assert gateway.batches[0][0]["data"] == {"said": "[redacted]"}
