"""Old jobs without an object are deleted; everything else is kept, despite faults during the sweep."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from tests.integration.history.model_calls import a_call_of, the_end_of
from tests.integration.history.runner_calls import a_step, record

from agentjobs.contract import Result, ResultDocument, TimelineEntry
from agentjobs.errors import Unavailable
from agentjobs.history import retention
from agentjobs.history.database import Database
from agentjobs.history.kept import MERGED_BYTES, Write
from agentjobs.history.kept_files import KeptFiles
from agentjobs.history.model_calls import ModelCalls
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance
from agentjobs.history.retention import Retention
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.schema import SCHEMA
from agentjobs.history.tables import metadata

CLUSTER = "c0ffee"
DAY = timedelta(days=1)


@pytest.fixture
def sweep(connected):
    """`await sweep(live)`: one sweep, events after 30 days and jobs after 90; returns rows gone by table."""

    async def run(*live, jobs=90 * DAY, events=30 * DAY, namespaces=(), sleep=None):
        told = {}

        async def no_pause(seconds):
            assert seconds >= retention.PAUSE_SECONDS

        swept = await Retention(
            connected,
            cluster=CLUSTER,
            namespaces=namespaces,
            lives=lambda uid, namespace, name: uid in live,
            keep_jobs=jobs,
            keep_events=events,
            on_pruned=lambda table, rows: told.__setitem__(table, told.get(table, 0) + rows),
            sleep=sleep or no_pause,
        ).sweep()
        assert told == swept
        return swept

    run.database = connected
    return run


@pytest.fixture
def a_story(connected, a_job, database):
    """`await a_story(uid, ended=days ago)`: a job with two starts, three events and a result; None: it continues."""

    async def write(
        uid, *, ended=None, deleted=None, events=3, steps=2, cluster=CLUSTER, namespace="default", fenced=True
    ):
        history, gateway = OperatorWrites(connected, cluster=cluster), RunnerWrites(connected, cluster=cluster)
        build = a_job(uid, namespace=namespace)
        await history.accept(Acceptance(build.job(), build.start(1)))
        await gateway.claim(uid, 1, "pod", **build.place)
        told = [
            TimelineEntry(seq=seq, time="2026-01-31T12:00:00Z", kind="text", author="a", data={})
            for seq in range(1, events + 1)
        ]
        await gateway.add_events(uid, 1, "pod", told)
        steps = [a_step(str(number)) for number in range(steps)]
        await record(gateway, uid, 1, *steps, pod="pod")
        result = Result(text="Hi.", structured=None, usage={})
        document = ResultDocument(verdict="Succeed", reason="Done", message="", delaySeconds=None, result=result)
        await gateway.put_result(uid, 1, "pod", document)
        await history.write([*[build.end(1)] * fenced, build.transition(1, "Running")])
        with psycopg.connect(database) as connection:
            for column, days in (("finished_at", ended), ("deleted_at", deleted)):
                age = None if days is None else timedelta(days=days)
                statement = f"UPDATE {SCHEMA}.jobs SET {column} = clock_timestamp() - %s::interval WHERE uid = %s"
                connection.execute(statement, (age, uid))

    return write


def end(database, uid, *, days):
    """Let a job have ended so many days ago."""
    statement = f"UPDATE {SCHEMA}.jobs SET finished_at = clock_timestamp() - %s::interval WHERE uid = %s"
    with psycopg.connect(database) as connection:
        connection.execute(statement, (days * DAY, uid))


@pytest.fixture
def left(database):
    """`left()`: how many rows each table has."""

    def count():
        with psycopg.connect(database) as connection:
            tables = [table.name for table in metadata.sorted_tables]
            found = {
                table: connection.execute(f"SELECT count(*) FROM {SCHEMA}.{table}").fetchone()[0] for table in tables
            }
        return {table: rows for table, rows in found.items() if rows}

    return count


@pytest.fixture
def a_call(connected):
    """`await a_call(uid)`: a model call that ended, of the first start, with its content."""

    async def make(uid):
        ledger, call = ModelCalls(connected, cluster=CLUSTER), a_call_of(uid, pod_uid="pod")
        await ledger.reserve(call)
        await ledger.settle([replace(the_end_of(call), content={"request": "hello"})])

    return make


WHOLE = {"jobs": 1, "starts": 1, "transitions": 1, "events": 3, "steps": 2, "results": 1}
DETAILS = {"events": 3, "steps": 2}


async def test_a_job_is_deleted_with_all_its_rows(sweep, a_story, left):
    await a_story("old", ended=91)

    assert await sweep() == WHOLE
    assert left() == {}


async def test_recorded_requests_are_deleted_with_steps_and_calls_with_their_job(
    sweep, a_story, a_call, database, left
):
    await a_story("old", fenced=False)
    await a_call("old")
    end(database, "old", days=31)

    assert await sweep() == DETAILS | {"contents": 1}
    assert left()["model_calls"] == 1
    end(database, "old", days=91)
    assert (await sweep())["model_calls"] == 1
    assert left() == {"model_usage": 1, "queue_usage": 1}


async def test_sent_notifications_are_deleted_with_steps_and_others_with_their_job(
    sweep, a_story, connected, database, left
):
    await a_story("old", ended=31, events=0, steps=0)
    insert = f"""INSERT INTO {SCHEMA}.notifications
        (uid, sink, transition, cluster, namespace, event, time, data, sent_at)
        VALUES ('old', %s, 1, '{CLUSTER}', 'default', 'Started', now(), '{{}}', %s)"""
    with psycopg.connect(database) as connection:
        for sink, sent in (("took-it", "2026-01-31"), ("did-not", None)):
            connection.execute(insert, (sink, sent))

    assert await sweep() == {"sent_notifications": 1}
    assert left()["notifications"] == 1
    end(database, "old", days=91)
    assert (await sweep())["notifications"] == 1
    assert left() == {}


OLD = {
    "model_usage": "INSERT INTO agentjobs.model_usage (cluster, day, namespace, queue, partition_key, user_id, "
    "provider, model) VALUES ('c0ffee', now()::date - {}, 'default', '', '', '', '', '')",
    "actions": "INSERT INTO agentjobs.actions (id, cluster, time, user_name, namespace, kind, name, uid, action, "
    "status, message) VALUES (gen_random_uuid(), 'c0ffee', now() - interval '{} days', 'ada', 'default', 'AgentJob', "
    "'hello', 'u1', 'cancel', 200, '')",
    "queue_spend": "INSERT INTO agentjobs.queue_spend (cluster, namespace, queue, slice, partition_key) VALUES "
    "('c0ffee', 'default', 'agents', extract(epoch FROM now() - interval '{} days')::bigint / 900, '')",
    "queue_usage": "INSERT INTO agentjobs.queue_usage (cluster, namespace, queue, slice, partition_key, model) VALUES "
    "('c0ffee', 'default', 'agents', extract(epoch FROM now() - interval '{} days')::bigint / 900, '', 'm')",
    "queue_starts": "INSERT INTO agentjobs.queue_starts (uid, start, cluster, namespace, queue, partition_key, at) "
    "VALUES ('gone', 1, 'c0ffee', 'default', 'agents', '', now() - interval '{} days')",
    "proxies": "INSERT INTO agentjobs.proxies (id, cluster, told, seen_at) VALUES ('p', 'c0ffee', '{{}}', now() - "
    "interval '{} days')",
    "processes": "INSERT INTO agentjobs.processes (id, cluster, kind, version, leads, seen_at) VALUES ('p', 'c0ffee', "
    "'gateway', '1', false, now() - interval '{} days')",
    "limit_slices": "INSERT INTO agentjobs.limit_slices (cluster, bucket, slice) SELECT 'c0ffee', 'b', slice FROM "
    "extract(epoch FROM now()) AS t, unnest(ARRAY[t - 86400 * {0}, t / 86400 - {0}]::bigint[]) AS slice",
    "limit_running": "INSERT INTO agentjobs.limit_running (call, bucket, cluster, proxy, since) VALUES "
    "(gen_random_uuid(), 'b', 'c0ffee', 'gone', now() - interval '{} days')",
    "closed_keys": "INSERT INTO agentjobs.closed_keys (cluster, key, model, reason, until) VALUES ('c0ffee', 'k', '', "
    "'', now() - interval '{} days')",
    "exhausted_models": "INSERT INTO agentjobs.exhausted_models (cluster, model, reason, until) VALUES ('c0ffee', 'm', "
    "'', now() - interval '{} days')",
}


@pytest.mark.parametrize("table", OLD)
async def test_rows_without_a_job_are_deleted_by_their_own_age(sweep, database, left, table):
    with psycopg.connect(database) as connection:
        connection.execute(OLD[table].format(401))

    assert list(await sweep()) == [table]
    assert left() == {}


@pytest.mark.parametrize("table", OLD)
async def test_rows_without_a_job_are_kept_while_they_are_used(sweep, database, left, table):
    with psycopg.connect(database) as connection:
        connection.execute(OLD[table].format(0))

    assert await sweep() == {}
    assert list(left()) == [table]


async def test_actions_of_users_are_kept_as_long_as_jobs(sweep, database, left):
    with psycopg.connect(database) as connection:
        connection.execute(OLD["actions"].format(89))
        connection.execute(OLD["actions"].format(401))

    assert await sweep(jobs=None) == {}
    assert await sweep(namespaces=["other"]) == {}
    assert (await sweep(), left()) == ({"actions": 1}, {"actions": 1})


async def test_steps_are_deleted_before_their_job_even_without_events(sweep, a_story):
    await a_story("older", ended=31, events=0)

    assert await sweep() == {"steps": 2}


async def test_events_and_steps_are_deleted_before_their_job(sweep, a_story, left):
    await a_story("older", ended=31)

    assert await sweep() == DETAILS
    assert left() == {"jobs": 1, "starts": 1, "transitions": 1, "results": 1}
    assert await sweep() == {}


@pytest.mark.parametrize(
    "story",
    [
        pytest.param({}, id="goes-on"),
        pytest.param({"ended": 29}, id="young"),
        pytest.param({"deleted": 29, "ended": None}, id="vanished-lately"),
        pytest.param({"ended": 29, "deleted": 400}, id="deleted-first-and-ended-late"),
    ],
)
async def test_recent_rows_are_kept(sweep, a_story, left, story):
    await a_story("kept", **story)

    assert await sweep() == {}
    assert left() == WHOLE


async def test_the_age_of_a_vanished_job_counts_from_the_time_it_vanished(sweep, a_story):
    await a_story("vanished", deleted=91)

    assert await sweep() == WHOLE


async def test_nothing_of_a_job_whose_object_exists_is_deleted(sweep, a_story, left):
    await a_story("live", ended=400)
    await a_story("gone", ended=401)

    assert await sweep("live") == WHOLE
    assert left() == WHOLE


async def test_rows_of_other_clusters_and_namespaces_are_kept(sweep, a_story, connected, gateway, left):
    await a_story("theirs", ended=400, cluster="another")
    await a_story("elsewhere", ended=400, namespace="elsewhere")

    assert await sweep(namespaces=["default"]) == {}


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        pytest.param({"jobs": None}, DETAILS, id="jobs"),
        pytest.param({"events": None}, WHOLE, id="events"),
        pytest.param({"jobs": None, "events": None}, {}, id="all"),
    ],
)
async def test_a_retention_of_none_keeps_rows_forever(sweep, a_story, keep, gone):
    await a_story("old", ended=400)

    assert await sweep(**keep) == gone


async def test_one_sweep_deletes_several_pages_and_batches_with_pauses(sweep, a_story, left, monkeypatch):
    monkeypatch.setattr(retention, "PAGE", 2)
    for number in range(5):
        await a_story(f"old-{number}", ended=100 + number)
    await a_story("long", ended=99, events=retention.BATCH + 1)
    pauses = []

    async def noted(seconds):
        pauses.append(seconds)

    swept = await sweep("old-3", sleep=noted)

    assert (swept["jobs"], swept["events"], left()) == (5, retention.BATCH + 13, WHOLE)
    assert len(pauses) >= 15
    assert min(pauses) >= retention.PAUSE_SECONDS


@pytest.fixture
def keep(connected):
    """`await keep(uid)`: the first start keeps two files, of one and of two parts."""

    async def write(uid):
        files = KeptFiles(connected)
        for name, offset, data in (("a", 0, b"x"), ("b", 0, b"x" * MERGED_BYTES), ("b", MERGED_BYTES, b"y")):
            await files.write(uid, 1, "pod", Write(name, offset, data))

    return write


@pytest.mark.parametrize("how", ["ended", "deleted"])
async def test_kept_files_are_deleted_when_their_job_has_ended_even_if_its_object_exists(
    sweep, a_story, keep, database, how
):
    await a_story("uid-1", fenced=False)
    await keep("uid-1")
    assert await sweep("uid-1", jobs=None, events=None) == {}
    with psycopg.connect(database) as connection:
        column = "finished_at" if how == "ended" else "deleted_at"
        connection.execute(f"UPDATE {SCHEMA}.jobs SET {column} = clock_timestamp()")

    assert await sweep("uid-1", jobs=None, events=None) == {"kept_parts": 3, "kept_files": 2}


async def test_kept_files_of_a_run_are_deleted_when_a_newer_run_has_begun(sweep, a_story, keep, database):
    await a_story("uid-1", fenced=False)
    await keep("uid-1")
    statement = f"INSERT INTO {SCHEMA}.starts (uid, start, attempt, pod, run) VALUES ('uid-1', 2, 2, 'pod-2', %s)"
    with psycopg.connect(database) as connection:
        connection.execute(statement, [None])
    assert await sweep("uid-1") == {}
    with psycopg.connect(database) as connection:
        connection.execute(f"UPDATE {SCHEMA}.starts SET run = 2 WHERE start = 2")

    assert await sweep("uid-1") == {"kept_parts": 3, "kept_files": 2}


async def test_kept_files_are_deleted_in_batches_and_with_a_deleted_job(sweep, a_story, keep, left, monkeypatch):
    monkeypatch.setattr(retention, "KEPT_BATCH", 1)
    await a_story("old", fenced=False)
    await keep("old")

    await a_story("theirs", fenced=False, cluster="another")
    await keep("theirs")
    end_all = f"UPDATE {SCHEMA}.jobs SET finished_at = clock_timestamp() - interval '91 days'"
    await sweep.database.run(lambda tx: tx.execute(end_all))

    assert await sweep() == WHOLE | {"kept_parts": 3, "kept_files": 2}
    assert left()["kept_parts"] == 3


async def test_rows_left_by_a_crash_are_deleted_by_the_next_sweep(sweep, a_story, left):
    await a_story("old", ended=91)

    class Died(Exception):
        pass

    async def dies(_seconds):
        raise Died

    with pytest.raises(Died):
        await sweep(sleep=dies)
    after = left()

    assert after == {name: rows for name, rows in WHOLE.items() if name != "events"}
    assert (await sweep())["jobs"] == 1


async def test_an_unavailable_database_is_retried(caplog):
    naps = []

    async def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            raise Unavailable("enough")

    async with Database("postgresql://nobody@127.0.0.1:1/none") as away:
        sweeper = Retention(
            away,
            cluster=CLUSTER,
            namespaces=(),
            lives=lambda *_: False,
            keep_jobs=DAY,
            keep_events=DAY,
            on_pruned=print,
            sleep=nap,
        )
        with pytest.raises(Unavailable, match="enough"):
            await sweeper.run()

    assert naps == [retention.FIRST_SECONDS, retention.SWEEP_SECONDS, retention.SWEEP_SECONDS]
    assert [record.getMessage() for record in caplog.records].count("history.prune_failed") == 2
