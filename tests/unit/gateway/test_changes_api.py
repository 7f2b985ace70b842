"""Streams of changes: permissions, format, and when they end."""

import asyncio
from dataclasses import replace

import pytest
from tests.unit.gateway.conftest import NOW
from tests.unit.gateway.streaming import Reader

from agentjobs import errors
from agentjobs.auth import CACHE_SECONDS, Authenticator
from agentjobs.gateway.changes_api import SEND_SECONDS
from agentjobs.gateway.shared_reads import FRESH_SECONDS
from agentjobs.gateway.user_limits import STREAMS_PER_USER, Streams
from agentjobs.history.records import JobKey

pytestmark = pytest.mark.looptime
ADA = {"Authorization": "Bearer t"}
EVERYWHERE, DOCS, ONE = ("list", "", ""), ("list", "docs", ""), ("get", "default", "hello")


class LoopClock:
    """The time of the event loop, which the tests do not wait for."""

    def __call__(self):
        return asyncio.get_running_loop().time()


@pytest.fixture
def clock():
    return LoopClock()


@pytest.fixture
def ada(kube):
    kube.add_user("t", "ada", may={EVERYWHERE, ("get", "docs", "hello"), ONE})


@pytest.fixture
async def listen(app, ada):
    readers = []

    async def build(**query):
        headers = {**ADA, **query.pop("headers", {})}
        readers.append(Reader(app, "/v1/changes", headers=headers, **query))
        await asyncio.sleep(1.5)  # the first question, whose answer is that anything may have changed
        return readers[-1]

    yield build
    for reader in readers:
        await reader.leave()


def whats(reader):
    return [data.get("what", event) for event, data, _ in reader.events]


async def test_a_change_is_reported_within_seconds_and_names_its_job(listen, history):
    reader = await listen()
    await history.accept()
    await asyncio.sleep(3)

    event, data, number = reader.events[-1]
    assert (event, data["what"], data["namespace"], data["name"], data["uid"]) == (
        "change", "job", "default", "hello", "u1"
    )  # fmt: skip
    assert (number == reader.last_id, reader.status) == (True, 200)
    assert reader.headers["content-type"].startswith("text/event-stream")


async def test_there_is_at_most_one_event_per_requested_interval(listen, history):
    reader = await listen(every=10)
    for start in range(1, 9):
        await history.accept(start=start)
        await asyncio.sleep(2)

    assert whats(reader) == ["all", "job"]


async def test_a_stream_of_a_job_reports_its_steps(listen, history):
    await history.accept()
    reader = await listen(job="default/hello")
    await asyncio.sleep(2)
    before = len(reader.events)
    history.memory.jobs_by_uid["u1"].starts[1].heartbeat = history.memory.now()
    await asyncio.sleep(3)

    assert [data["what"] for _, data, _ in reader.events[before:]] == ["steps"]


@pytest.mark.parametrize("count", [1, 20])
async def test_history_is_queried_once_a_second_for_any_number_of_streams(listen, changes, count, monkeypatch):
    asked = noted(changes, monkeypatch)
    for _ in range(count):
        await listen()
    asked.clear()
    await asyncio.sleep(10)

    assert 9 <= len(asked) <= 11


async def test_without_streams_there_are_no_queries(listen, changes, monkeypatch):
    asked = noted(changes, monkeypatch)
    await asyncio.sleep(10)
    reader = await listen()
    await reader.leave()
    await asyncio.sleep(1)
    asked_by_then = len(asked)
    await asyncio.sleep(60)

    assert (asked_by_then > 0, len(asked)) == (True, asked_by_then)


def noted(changes, monkeypatch):
    asked, ask = [], changes.changes

    async def once(mark, *, watched=()):
        asked.append(mark)
        return await ask(mark, watched=watched)

    monkeypatch.setattr(changes, "changes", once)
    return asked


async def test_a_stream_has_a_keepalive_every_15_seconds_and_ends_before_the_connection_limit(listen):
    reader = await listen()
    await asyncio.sleep(88)
    still = reader.body.count(b": still here"), reader.is_complete
    await asyncio.sleep(24)

    assert still == (5, False)
    assert (reader.is_complete, reader.task.done()) == (True, True)


async def test_a_client_that_reconnects_after_the_end_misses_nothing(listen, history):
    reader = await listen()
    await asyncio.sleep(115)
    await history.accept()
    second = await listen()  # someone else, so that the change is known before the first is back
    await asyncio.sleep(30)
    back = await listen(headers={"Last-Event-ID": reader.last_id})

    assert (second.events != [], whats(back)) == (True, ["job"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param({"namespace": "secret"}, 403, id="a-namespace-without-the-right"),
        pytest.param({"namespace": ["docs", "secret"]}, 403, id="one-of-two"),
        pytest.param({"job": "secret/hello"}, 403, id="a-job-without-the-right"),
        pytest.param({"job": "docs/hello", "namespace": "docs"}, 400, id="both"),
        pytest.param({"job": "docs"}, 400, id="no-job"),
        pytest.param({"job": "../x/y"}, 400, id="a-path"),
        pytest.param({"every": "0"}, 400, id="too-often"),
        pytest.param({"every": "nan"}, 400, id="no-number"),
        pytest.param({"every": "61"}, 400, id="too-seldom"),
    ],
)
async def test_forbidden_and_invalid_streams_are_refused(app, kube, query, status):
    kube.add_user("t", "ada", may={DOCS, ("get", "docs", "hello")})
    reader = Reader(app, "/v1/changes", headers=ADA, **query)
    await reader.task

    assert (reader.status, reader.headers["content-type"]) == (status, "application/json")


async def test_a_stream_requires_a_token(app):
    reader = Reader(app, "/v1/changes")
    await reader.task

    assert reader.status == 401


async def test_a_stream_reports_only_namespaces_that_its_caller_may_read(app, kube, history):
    kube.add_user("t", "ada", may={DOCS})
    job = await history.accept(namespace="docs")
    reader = Reader(app, "/v1/changes", headers=ADA)
    await asyncio.sleep(1.5)
    history.memory.jobs_by_uid["u2"] = replace(job, key=JobKey("u2", "secret", "other", NOW, ""))
    await asyncio.sleep(3)
    before = len(reader.events)
    job.queue = "other"
    await asyncio.sleep(3)
    await reader.leave()

    assert whats(reader)[:before] == ["all"]
    assert [data["namespace"] for _, data, _ in reader.events[before:]] == ["docs"]


async def test_changes_of_a_namespace_that_became_unreadable_are_not_reported(app, kube, history):
    kube.add_user("t", "ada", may={DOCS, ("list", "shop", "")})
    job = await history.accept(namespace="docs")
    history.memory.jobs_by_uid["u2"] = replace(job, key=JobKey("u2", "shop", "other", NOW, ""))
    reader = Reader(app, "/v1/changes", headers=ADA)
    await asyncio.sleep(1.5)
    kube.rights["ada"] = {("list", "shop", "")}
    await asyncio.sleep(CACHE_SECONDS)
    before = len(reader.events)
    job.queue = history.memory.jobs_by_uid["u2"].queue = "other"
    await asyncio.sleep(3)
    await reader.leave()

    assert [(data["namespace"], data["changes"]) for _, data, _ in reader.events[before:]] == [("shop", 1)]


async def test_a_change_in_an_unreadable_namespace_is_not_reported_between_two_checks(app, kube, history):
    kube.add_user("t", "ada", may={DOCS, ("list", "shop", "")})
    job = await history.accept(namespace="docs")
    history.memory.jobs_by_uid["u2"] = replace(job, key=JobKey("u2", "shop", "other", NOW, ""))
    before = Reader(app, "/v1/changes", headers=ADA)
    await asyncio.sleep(7)
    reader = Reader(app, "/v1/changes", headers=ADA)
    kube.rights["ada"] = {("list", "shop", "")}
    await asyncio.sleep(CACHE_SECONDS - 6)
    told = len(reader.events)
    job.queue = "other"
    await asyncio.sleep(3)
    ended = reader.is_complete
    for each in (before, reader):
        await each.leave()

    assert (ended, reader.events[told:]) == (False, [])


async def test_no_change_is_reported_after_the_cached_permission_has_expired(listen, kube, history):
    job = await history.accept()
    reader = await listen()
    kube.rights["ada"] = set()
    await asyncio.sleep(CACHE_SECONDS - 0.5)
    before = len(reader.events)
    job.queue = "other"
    await asyncio.sleep(3)

    assert (reader.is_complete, len(reader.events)) == (True, before)


async def test_a_stream_ends_within_75_seconds_after_its_permission_is_revoked(listen, kube):
    reader = await listen()
    kube.rights["ada"] = set()
    await asyncio.sleep(76)

    assert (reader.task.done(), reader.is_complete) == (True, True)


async def test_a_stream_ends_soon_after_its_token(app, kube, monkeypatch):
    monkeypatch.setattr(Authenticator, "_cache_seconds", lambda *_: 20.0)
    kube.add_user("t", "ada", may={EVERYWHERE})
    reader = Reader(app, "/v1/changes", headers=ADA)
    await asyncio.sleep(1)
    del kube.reviews["t"]
    await asyncio.sleep(31)

    assert reader.is_complete


async def test_without_the_api_server_a_stream_continues_while_permissions_are_cached(listen, kube):
    reader = await listen()
    kube.away = True
    await asyncio.sleep(50)
    before = reader.is_complete
    await asyncio.sleep(26)

    assert (before, reader.is_complete) == (False, True)


async def test_a_stream_reports_an_outage_of_history_once_and_its_end(listen, history):
    reader = await listen()
    history.memory.away = True
    await asyncio.sleep(5)
    history.memory.away = False
    await asyncio.sleep(5)

    assert [event for event, _, _ in reader.events] == ["change", "away", "change"]
    assert whats(reader)[-1] == "all"


async def test_an_outage_of_history_is_not_reported_while_cached_changes_are_served(listen, history):
    """They would get the shared answer, and no later changes."""
    reader = await listen()
    history.memory.away = True
    await asyncio.sleep(FRESH_SECONDS)
    at_once = [event for event, _, _ in reader.events]
    await asyncio.sleep(2 * FRESH_SECONDS)

    assert (at_once, [event for event, _, _ in reader.events]) == (["change"], ["change", "away"])


async def test_no_error_of_history_stops_the_feed(listen, history, changes, monkeypatch):
    reader = await listen()
    with monkeypatch.context() as broken:
        broken.setattr(changes, "changes", None)
        await asyncio.sleep(3)
    await asyncio.sleep(3)

    assert [event for event, _, _ in reader.events] == ["change", "away", "change"]


async def test_a_stream_of_a_job_can_be_opened_while_history_is_unavailable(app, ada, history):
    history.raises = errors.Unavailable("away")
    reader = Reader(app, "/v1/changes", headers=ADA, job="default/hello")
    await asyncio.sleep(2)
    await reader.leave()

    assert reader.status == 200


async def test_a_slow_reader_is_disconnected_and_no_longer_counted(app, ada, streams):
    readers = [Reader(app, "/v1/changes", headers=ADA, takes=False) for _ in range(STREAMS_PER_USER)]
    await asyncio.sleep(SEND_SECONDS + 1)
    dropped = [reader.task.done() for reader in readers]
    after = Reader(app, "/v1/changes", headers=ADA)
    await asyncio.sleep(1)
    await after.leave()

    assert (all(dropped), after.status) == (True, 200)


async def test_too_many_streams_of_a_user_are_429_and_other_users_are_not_affected(app, ada, kube):
    kube.add_user("b", "bob", may={EVERYWHERE})
    readers = [Reader(app, "/v1/changes", headers=ADA) for _ in range(STREAMS_PER_USER + 1)]
    other = Reader(app, "/v1/changes", headers={"Authorization": "Bearer b"})
    await asyncio.sleep(1)
    statuses = [reader.status for reader in readers]
    for reader in (*readers, other):
        await reader.leave()

    assert (statuses.count(200), statuses.count(429), other.status) == (STREAMS_PER_USER, 1, 200)


class TestFewStreams:
    """Of an installation that allows one."""

    @pytest.fixture
    def streams(self):
        return Streams(together=1)

    async def test_more_streams_than_the_maximum_are_503_with_a_retry_delay(self, app, ada):
        readers = [Reader(app, "/v1/changes", headers=ADA) for _ in range(2)]
        await asyncio.sleep(1)
        statuses, retry = [reader.status for reader in readers], readers[1].headers.get("retry-after")
        for reader in readers:
            await reader.leave()

        assert (statuses, retry) == ([200, 503], "5")


async def test_streams_end_immediately_when_the_process_stops(app, listen):
    readers = [await listen() for _ in range(3)]
    app._app.state.services.changes.close()
    await asyncio.sleep(0.1)

    assert [reader.is_complete for reader in readers] == [True] * 3


async def test_unread_events_take_constant_memory(app, ada, history, kube):
    """Each stream keeps one event, for any number of changes since it was read."""
    reader = Reader(app, "/v1/changes", headers=ADA, every=60)
    await asyncio.sleep(2)
    for start in range(1, 50):
        await history.accept(start=start)
        await asyncio.sleep(1)
    (listener,) = app._app.state.services.changes.board.listeners
    await reader.leave()

    assert listener._pending.changes >= 40
    assert app._app.state.services.changes.board.listeners == set()
