"""Sinks get all notifications at least once and in order, despite faults of sinks and notifiers."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from tests.integration.notifier.conftest import status

from agentjobs import errors
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.outbox import Notifications, Outbox
from agentjobs.history.outbox_records import Backlog
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord, TransitionRecord
from agentjobs.notifier.backoff import Backoff
from agentjobs.notifier.metrics import NotifierMetrics
from agentjobs.notifier.notifier import Notifier
from agentjobs.notifier.sending import Sender
from agentjobs.notifier.sinks import Sinks

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SOON = timedelta(milliseconds=20)
MAIN = "from agentjobs.cli import main; main()"


@pytest.fixture
def cluster_name():
    """uid of the cluster whose jobs they are."""
    return "c0ffee"


@pytest.fixture
async def history(database):
    async with Database(database) as opened:
        yield opened


@pytest.fixture
def fails(history, cluster_name):
    """Lets a job start and fail, of which these sinks are told."""
    operator = OperatorWrites(history, cluster=cluster_name)

    async def build(uid="u-1", *, sinks=("chat",)):
        key = JobKey(uid, "shop", f"job-{uid}", NOON)
        told = [{"sink": sink, "events": ["Started", "Failed"]} for sink in sinks]
        spec = {"input": {"message": "hi"}, "retry": {"maxAttempts": 1}, "notifications": told}
        start = StartRecord(key, 1, 1, f"job-{uid}-1", NOON)
        await operator.accept(Acceptance(JobRecord(key, {"spec": spec, "scripts": {}}, "abc"), start))
        phases = [("Running", False), ("Failed", True)]
        await operator.write(
            [TransitionRecord(key, n, NOON, phase, "", finished=over) for n, (phase, over) in enumerate(phases, 1)]
        )

    return build


@pytest.fixture
async def notifier(history, cluster_name):
    """Starts a notifier in this process."""
    stops = contextlib.AsyncExitStack()

    async def build(path, **backoff):
        sinks = Sinks(path, {})
        sender = Sender(sinks, cluster=cluster_name)
        found = Notifier(
            Outbox(history, cluster=cluster_name),
            sinks,
            sender,
            backoff=Backoff(**{"first_wait": SOON, **backoff}),
            metrics=NotifierMetrics(),
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
        )
        task = asyncio.create_task(found.run())

        async def stop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await found.drain(1.0)
            await sender.close()

        stops.push_async_callback(stop)
        return found

    async with stops:
        yield build


@pytest.fixture
def states(history, cluster_name):
    """The states of the notifications by sink and event."""
    reads = Notifications(history, cluster=cluster_name)

    async def read():
        page = await reads.notifications("shop", limit=500)
        return {(one.name, one.sink, one.event): one.state for one in page.items}

    return read


async def until(condition, seconds=20.0):
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


async def test_a_sink_gets_all_notifications_in_order_after_an_outage(notifier, fails, sink, sinks_file, states):
    sink.answers = [status(500), "cut", status(302, "Location: /")]
    await fails()

    await notifier(sinks_file(chat={"url": sink.url}))

    await until(lambda: len(sink.requests) == 5)
    assert sink.told == ["started"] * 4 + ["failed"]
    assert {request.headers["webhook-id"] for request in sink.requests[:4]} == {"u-1-1"}
    assert all(request.is_signed for request in sink.requests)
    await until(lambda: _all_sent(states))


async def _all_sent(states):
    return set((await states()).values()) == {"Sent"}


async def test_a_hanging_sink_does_not_delay_others(notifier, fails, sink, sinks_file, states):
    sink.answers = ["hang"]
    path = sinks_file(
        slow={"url": sink.url, "timeout": "30s", "concurrency": 1}, chat={"url": sink.url, "timeout": "5s"}
    )
    await notifier(path)
    await fails("u-1", sinks=["slow"])
    await until(lambda: sink.requests)

    await fails("u-2", sinks=["chat"])

    await until(lambda: len(sink.requests) == 3)
    assert {request.headers["webhook-id"] for request in sink.requests[1:]} == {"u-2-1", "u-2-2"}


async def test_a_sink_never_gets_more_concurrent_requests_than_its_limit(notifier, fails, sink, sinks_file):
    sink.always = "hang"
    for number in range(6):
        await fails(f"u-{number}")

    await notifier(sinks_file(chat={"url": sink.url, "timeout": "60s", "concurrency": 2}))

    await until(lambda: len(sink.requests) == 2)
    await asyncio.sleep(0.3)
    assert len(sink.requests) == 2


async def test_two_notifiers_send_everything_once_and_in_order(notifier, fails, sink, sinks_file, states):
    path = sinks_file(chat={"url": sink.url})
    for _ in range(2):
        await notifier(path)

    await asyncio.gather(*(fails(f"u-{number}") for number in range(20)))

    await until(lambda: len(sink.requests) >= 40)
    await until(lambda: _all_sent(states))
    assert told_by_job(sink) == {f"u-{number}": ["1", "2"] for number in range(20)}


def told_by_job(sink):
    """The transitions that a sink was told of, by job, in the order in which they came."""
    told = defaultdict(list)
    for request in sink.requests:
        uid, _, transition = request.headers["webhook-id"].rpartition("-")
        told[uid].append(transition)
    return dict(told)


@pytest.mark.parametrize(
    ("answer", "backoff"),
    [(status(410), {}), (status(500), {"give_up_after": timedelta(0)})],
    ids=["wants-no-more", "three-days-over"],
)
async def test_an_abandoned_notification_remains_visible_and_the_next_is_sent(
    notifier, fails, sink, sinks_file, states, answer, backoff
):
    sink.answers = [answer]
    await fails()

    await notifier(sinks_file(chat={"url": sink.url}), **backoff)

    await until(lambda: len(sink.requests) == 2)
    await until(lambda: _is(states, {"Started": "GivenUp", "Failed": "Sent"}))


async def test_old_notifications_to_an_unavailable_sink_are_abandoned_without_a_try(
    notifier, fails, sink, sinks_file, states
):
    sink.answers = [status(500)] * 5
    for number in range(5):
        await fails(f"u-{number}")
    found = await notifier(sinks_file(chat={"url": sink.url, "concurrency": 1}), give_up_after=timedelta(0))
    await until(lambda: found._breaker("chat").is_open)

    tidying = asyncio.create_task(found.give_up_old())

    await until(lambda: _all_given_up(states))
    tidying.cancel()
    assert len(sink.requests) == 5
    labels = {"sink": "chat", "result": "GivenUp"}
    assert found._metrics.registry.get_sample_value("agentjobs_notifications_total", labels) == 10


async def _all_given_up(states):
    return set((await states()).values()) == {"GivenUp"}


async def _is(states, wanted):
    return {event: state for (_, _, event), state in (await states()).items()} == wanted


async def test_an_added_sink_gets_waiting_notifications(notifier, fails, sink, sinks_file):
    path = sinks_file(other={"url": sink.url})
    found = await notifier(path)
    await fails()

    sinks_file(chat={"url": sink.url})
    found._sinks.poll()

    await until(lambda: len(sink.requests) == 2)


class Counting:
    """An outbox that is empty, or away, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.away = False

    async def take(self, room, *, lease):
        self.asked += 1
        if self.away:
            raise errors.Unavailable("away")
        return []

    async def backlog(self):
        return Backlog(0, timedelta(0))

    async def give_up(self, sinks, *, down=(), after):
        return Counter()


@pytest.mark.parametrize("away", [False, True], ids=["idle", "away"])
@pytest.mark.looptime
async def test_an_idle_notifier_polls_once_a_second(sinks_file, away):
    outbox, sinks = Counting(), Sinks(sinks_file(chat={"url": "http://127.0.0.1:1"}), {})
    outbox.away = away
    sender = Sender(sinks, cluster="c")
    loop = asyncio.get_running_loop()
    found = Notifier(
        outbox,
        sinks,
        sender,
        backoff=Backoff(),
        metrics=NotifierMetrics(),
        now=lambda: NOON,
        clock=loop.time,
    )

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            await found.run()
    await sender.close()

    assert 55 <= outbox.asked <= 61


# As processes of their own


@contextlib.asynccontextmanager
async def process(**environment):
    """Run `agentjobs notifier` until it has said that it works."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", MAIN, "notifier"),
        env=os.environ | {f"AGENTJOBS_{name.upper()}": str(value) for name, value in environment.items()},
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        async with asyncio.timeout(60):
            while (line := json.loads(await child.stderr.readline()))["event"] != "notifier.started":
                pass
        yield child, line["port"]
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


class TestProcess:
    """The notifier as it is run."""

    @pytest.fixture
    async def cluster_name(self, cluster):
        return (await cluster.http.get("/api/v1/namespaces/kube-system")).json()["metadata"]["uid"]

    @pytest.fixture
    def environment(self, database, apiserver, sink, sinks_file):
        """What a notifier finds."""
        return {
            "database_url": database,
            "kubeconfig": apiserver.kubeconfig,
            "sinks_file": sinks_file(chat={"url": sink.url}),
            "probe_address": "127.0.0.1:0",
        }

    async def test_the_notifier_sends_serves_metrics_and_exits_with_0_on_sigterm(self, environment, fails, sink):
        await fails()

        async with process(**environment) as (child, port), httpx.AsyncClient(trust_env=False) as http:
            await until(lambda: len(sink.requests) == 2)
            ready = await http.get(f"http://127.0.0.1:{port}/readyz")
            await until(lambda: _counted(http, port))
            child.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(child.wait(), 20)

        assert (ready.status_code, code, sink.told) == (200, 0, ["started", "failed"])

    async def test_killing_notifiers_loses_nothing_and_keeps_the_order(
        self, environment, fails, sink, states, database
    ):
        """Each is killed a little later; its notifications are due immediately, as if its lease had expired."""
        for number in range(12):
            await fails(f"u-{number}")
        sink.always = "slow"

        for pause in (0.1, 0.2, 0.3):
            async with process(**environment) as (child, _):
                await asyncio.sleep(pause)
                child.send_signal(signal.SIGKILL)
                await child.wait()
            with psycopg.connect(database) as connection:
                connection.execute("UPDATE agentjobs.notifications SET due_at = now() WHERE sent_at IS NULL")
        async with process(**environment):
            await until(lambda: _all_sent(states), 30)

        for told in told_by_job(sink).values():
            assert list(dict.fromkeys(told)) == ["1", "2"]
        assert len(told_by_job(sink)) == 12

    @pytest.mark.parametrize(
        ("text", "place"),
        [("sinks: [{name: X}]", "sinks[0].name"), (None, "other.yaml: cannot read")],
        ids=["wrong", "missing"],
    )
    async def test_an_invalid_sinks_file_ends_the_notifier_immediately_with_the_reason(
        self, environment, tmp_path, text, place
    ):
        path = tmp_path / "other.yaml"
        if text is not None:
            path.write_text(text)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", MAIN, "notifier"),
            env=os.environ
            | {f"AGENTJOBS_{name.upper()}": str(value) for name, value in (environment | {"sinks_file": path}).items()},
            stderr=asyncio.subprocess.PIPE,
        )

        _, said = await asyncio.wait_for(child.communicate(), 60)

        assert child.returncode != 0
        assert place in said.decode()


async def _counted(http, port):
    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    return 'agentjobs_notifications_total{result="Sent",sink="chat"} 2.0' in text
