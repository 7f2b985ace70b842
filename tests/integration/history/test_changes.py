"""Cases of reading changes that only PostgreSQL has: late commits, restored rows, many rows."""

import psycopg
import pytest
from tests.integration.history.test_actions_plans import nodes

from agentjobs.history.changes import _SQL, ChangedJobs
from agentjobs.history.database import Database

INSERT = """
    INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at)
    VALUES (%s, 'c0ffee', 'docs', 'hello', now())
"""
ROWS = """
    INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at)
    SELECT 'u' || n, 'c0ffee', 'docs', 'j' || n, now() FROM generate_series(1, 20000) AS n
"""


@pytest.fixture
async def changes(database):
    async with Database(database) as connected:
        yield ChangedJobs(connected, cluster="c0ffee")


def uids(answer):
    return [job.uid for job in answer.jobs]


async def test_a_transaction_that_began_before_the_mark_and_commits_after_it_is_reported(database, changes):
    with psycopg.connect(database) as late, psycopg.connect(database, autocommit=True) as quick:
        late.execute(INSERT, ["late"])
        quick.execute(INSERT, ["quick"])
        mark = (await changes.changes(None)).mark
        quick.execute(INSERT, ["after"])
        seen = await changes.changes(mark)
        late.commit()
        then = await changes.changes(seen.mark)
        afterwards = await changes.changes(then.mark)

    assert (uids(seen), uids(then), uids(afterwards)) == (["after"], ["late"], [])


async def test_a_rolled_back_change_is_never_reported(database, changes):
    mark = (await changes.changes(None)).mark
    with psycopg.connect(database) as connection:
        connection.execute(INSERT, ["gone"])
        connection.rollback()

    assert uids(await changes.changes(mark)) == []


async def test_writes_of_a_process_of_an_older_version_are_changes_too(database, changes):
    with psycopg.connect(database, autocommit=True) as older:
        older.execute(INSERT, ["u1"])
        mark = (await changes.changes(None)).mark
        older.execute("UPDATE agentjobs.jobs SET reason = 'Other' WHERE uid = 'u1'")

    assert uids(await changes.changes(mark)) == ["u1"]


async def test_rows_restored_from_a_server_with_later_transaction_ids_are_not_reported_repeatedly(database, changes):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE agentjobs.jobs DISABLE TRIGGER jobs_touched")
        connection.execute(INSERT, ["restored"])
        connection.execute("UPDATE agentjobs.jobs SET touched = 4000000000")
        connection.execute("ALTER TABLE agentjobs.jobs ENABLE TRIGGER jobs_touched")
        mark = (await changes.changes(None)).mark
        connection.execute(INSERT, ["new"])

    assert uids(await changes.changes(mark)) == ["new"]


async def test_changes_of_jobs_of_another_cluster_are_not_reported(database, changes):
    mark = (await changes.changes(None)).mark
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(INSERT.replace("c0ffee", "another"), ["u1"])

    assert uids(await changes.changes(mark)) == []


def test_changes_are_read_from_their_index(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("ANALYZE agentjobs.jobs")
        (mark,) = connection.execute(_SQL["mark"]).fetchone()
        given = {"cluster": "c0ffee", "mark": mark, "limit": 1001}
        (plan,) = connection.execute(f"EXPLAIN (FORMAT JSON) {_SQL['jobs']}", given).fetchone()

    found = list(nodes(plan[0]["Plan"]))
    assert "jobs_touched_idx" in {node.get("Index Name") for node in found}
    assert "Seq Scan" not in {node["Node Type"] for node in found}


def test_a_change_of_an_unfinished_job_updates_no_index(database):
    hot = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'jobs'"
    with psycopg.connect(database) as connection:
        connection.execute(INSERT, ["u1"])
        connection.execute("UPDATE agentjobs.jobs SET phase = 'Running', reason = 'Claimed', transition = 1")

        assert connection.execute(hot).fetchone() == (1, 1)
