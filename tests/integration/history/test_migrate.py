"""Migrations create what the tables define, for any number of simultaneous callers."""

import asyncio
import re
import threading
from decimal import Decimal

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from agentjobs import errors
from agentjobs.api.job_filter import JobFilter
from agentjobs.history import migrate, schema
from agentjobs.history.database import Database
from agentjobs.history.fill import fill_jobs
from agentjobs.history.migrate import database_url
from agentjobs.history.reads import Reads
from agentjobs.history.schema import SCHEMA
from agentjobs.history.tables import metadata
from agentjobs.history.words import WORDS_SQL


def test_migrations_and_tables_agree(database):
    # The user is named like the schema, which would make it the default one, and Alembic leaves out the default's name.
    public = {"options": "-c search_path=public"}
    engine = create_engine(database_url(database), poolclass=NullPool, connect_args=public)
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
        "version_table": schema.VERSION_TABLE,
        "version_table_schema": SCHEMA,
        "compare_server_default": True,
    }

    with engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert difference == []


def test_the_code_requires_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", migrate.__file__.replace("migrate.py", "migrations"))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_several_processes_can_migrate_simultaneously(empty_database):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(migrate.upgrade(empty_database))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [schema.HEAD] * 4


def upgrade_to(dsn, version):
    """Bring a database to where an older release left it; return the statements."""
    config, statements = Config(), []
    config.set_main_option("script_location", migrate.__file__.replace("migrate.py", "migrations"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(database_url(dsn), poolclass=NullPool)
    event.listen(engine, "before_cursor_execute", lambda _connection, _cursor, text, *_: statements.append(text))
    with engine.begin() as connection:
        connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    return statements


@pytest.mark.parametrize(("first", "last", "builds"), [("0009", "0013", True), ("0013", schema.HEAD, False)])
def test_no_migration_after_0013_builds_an_index_of_a_table_that_exists(empty_database, first, last, builds):
    upgrade_to(empty_database, first)

    text = "\n".join(upgrade_to(empty_database, last))

    made = set(re.findall(r"CREATE TABLE agentjobs\.(\w+)", text))
    indexed = set(re.findall(r"CREATE (?:UNIQUE )?INDEX (?!IF NOT EXISTS)\w+ ON agentjobs\.(\w+)", text))
    assert bool(indexed - made) is builds


def test_jobs_from_before_schedules_and_partitions_existed_have_none(empty_database):
    upgrade_to(empty_database, "0001")
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            f"INSERT INTO {SCHEMA}.jobs (uid, cluster, namespace, name, created_at) VALUES ('1', 'c', 'n', 'j', now())"
        )

    migrate.upgrade(empty_database)

    with psycopg.connect(empty_database) as connection:
        assert connection.execute(f"SELECT schedule, partition_key FROM {SCHEMA}.jobs").fetchone() == ("", "")


BEFORE_LISTS = """
INSERT INTO agentjobs.jobs
    (uid, cluster, namespace, name, created_at, resolved, phase, reason, message, finished_at, deleted_at)
VALUES
    ('ended', 'c', 'n', 'one', now(), '{"spec": {"agent": {"model": "gemini-fast"}}}', 'Failed', 'ToolError', 'no luck',
     now(), NULL),
    ('gone', 'c', 'n', 'two', now(), '{"spec": {"agent": {}}}', 'Running', 'Started', '', NULL, now()),
    ('open', 'c', 'n', 'three', now(), NULL, 'Running', 'Started', '', NULL, NULL);
INSERT INTO agentjobs.starts (uid, start, attempt, pod) SELECT uid, 1, 1, name FROM agentjobs.jobs;
INSERT INTO agentjobs.results (uid, start, result) SELECT uid, 1, '{"outcome": "good"}' FROM agentjobs.jobs;
INSERT INTO agentjobs.model_spend (uid, attempt, cost)
SELECT uid, n, 0.25 FROM agentjobs.jobs, generate_series(1, 2) AS n WHERE uid <> 'gone';
"""


async def found(dsn, **chosen):
    async with Database(dsn) as database:
        page = await Reads(database, cluster="c").jobs(None, JobFilter(**chosen))
    return sorted(job.uid for job in page.items)


async def test_jobs_from_before_filters_existed_are_found_too(empty_database):
    upgrade_to(empty_database, "0009")
    with psycopg.connect(empty_database) as connection:
        connection.execute(BEFORE_LISTS)

    await asyncio.to_thread(migrate.upgrade, empty_database)

    assert await found(empty_database, outcome=("good",)) == ["ended", "gone", "open"]
    assert await found(empty_database, min_cost=Decimal("0.5")) == ["ended", "open"]
    assert await found(empty_database, model=("gemini-fast",)) == ["ended"]
    assert await found(empty_database, phase=("Deleted",)) == ["gone"]
    assert await found(empty_database, text="luck", reason=("ToolError",)) == ["ended"]
    assert await found(empty_database, label=("team",)) == []


def test_columns_of_jobs_are_filled_while_other_processes_write_them(empty_database, monkeypatch):
    upgrade_to(empty_database, "0009")
    rows = "SELECT count(*) FILTER (WHERE model IS NULL) FROM agentjobs.jobs"
    unfilled = []

    def fill_one_by_one(engine):
        with psycopg.connect(empty_database) as other:
            other.execute("SET lock_timeout = 100; UPDATE agentjobs.jobs SET changed_at = now() WHERE uid <> 'gone'")
            unfilled.append(other.execute(rows).fetchone()[0])
        fill_jobs(engine, batch=1)

    monkeypatch.setattr(migrate, "fill_jobs", fill_one_by_one)
    with psycopg.connect(empty_database) as connection:
        connection.execute(BEFORE_LISTS)

    migrate.upgrade(empty_database)

    with psycopg.connect(empty_database) as connection:
        assert (unfilled, connection.execute(rows).fetchone()) == ([3], (0,))
        assert connection.execute("SELECT outcome FROM agentjobs.jobs WHERE uid = 'ended'").fetchone() == ("good",)


def test_filling_columns_of_jobs_is_not_a_change_of_them(empty_database):
    upgrade_to(empty_database, "0009")
    with psycopg.connect(empty_database) as connection:
        connection.execute(BEFORE_LISTS)

    migrate.upgrade(empty_database)

    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(touched) FROM agentjobs.jobs").fetchone() == (0,)


def test_an_interrupted_fill_continues_and_the_schema_is_too_old_until_its_end(empty_database, monkeypatch):
    upgrade_to(empty_database, "0013")
    with psycopg.connect(empty_database) as connection:
        connection.execute(BEFORE_LISTS)
        connection.execute("ALTER TABLE agentjobs.jobs DISABLE TRIGGER jobs_touched")
        connection.execute("UPDATE agentjobs.jobs SET model = NULL")
        connection.execute("ALTER TABLE agentjobs.jobs ENABLE TRIGGER jobs_touched")
    with monkeypatch.context() as broken:
        broken.setattr(migrate, "fill_jobs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            migrate.upgrade(empty_database)

    assert version_of(empty_database) == "0013"
    assert migrate.upgrade(empty_database) == schema.HEAD
    with psycopg.connect(empty_database) as connection:
        ended = connection.execute("SELECT model, outcome, cost FROM agentjobs.jobs WHERE uid = 'ended'").fetchone()
    assert ended == ("gemini-fast", "good", Decimal("0.5"))


def test_filled_jobs_do_not_wait_for_autovacuum(empty_database, monkeypatch):
    upgrade_to(empty_database, "0013")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=1000")
    with psycopg.connect(empty_database) as autovacuum:
        autovacuum.execute("LOCK TABLE agentjobs.jobs IN SHARE UPDATE EXCLUSIVE MODE")

        upgrade_to(empty_database, "0014")

    assert version_of(empty_database) == "0014"


def interrupted(engine):
    raise KeyboardInterrupt


def version_of(dsn):
    with psycopg.connect(dsn) as connection:
        return connection.execute(schema.VERSION).fetchone()[0]


def test_the_trigger_stores_the_words_that_a_search_of_unfinished_jobs_computes(database):
    with psycopg.connect(database) as connection:
        connection.execute(BEFORE_LISTS)
        differ = f"SELECT uid FROM agentjobs.jobs WHERE words IS DISTINCT FROM {WORDS_SQL}"

        assert connection.execute(differ).fetchall() == [("open",)]


def test_writes_of_an_operator_of_the_previous_version_are_accepted(database):
    with psycopg.connect(database) as connection:
        connection.execute(BEFORE_LISTS)
        connection.execute("UPDATE agentjobs.jobs SET phase = 'Failed', finished_at = now() WHERE uid = 'open'")
        told = connection.execute("SELECT ended_phase, labels FROM agentjobs.jobs WHERE uid = 'open'").fetchone()

    assert told == ("Failed", [])


def test_the_columns_of_priorities_rewrite_no_row(empty_database, monkeypatch):
    upgrade_to(empty_database, "0014")
    monkeypatch.setattr(migrate, "fill_jobs", interrupted)
    file = "SELECT pg_relation_filenode('agentjobs.jobs')"
    with psycopg.connect(empty_database) as connection:
        connection.execute(BEFORE_LISTS)
        before = connection.execute(file).fetchone()

    migrate.upgrade(empty_database)

    with psycopg.connect(empty_database) as connection:
        assert connection.execute(file).fetchone() == before
        assert connection.execute("SELECT count(priority) FROM agentjobs.jobs").fetchone() == (0,)


def test_a_migration_does_not_block_others_while_it_waits_for_a_backup(empty_database):
    upgrade_to(empty_database, "0003")
    with psycopg.connect(empty_database) as backup, psycopg.connect(empty_database) as other:
        backup.execute(f"LOCK TABLE {SCHEMA}.jobs IN ACCESS SHARE MODE")
        with pytest.raises(errors.Unavailable, match="such as a backup"):
            migrate.upgrade(empty_database)
        other.execute(f"SET lock_timeout = 100; INSERT INTO {SCHEMA}.jobs SELECT * FROM {SCHEMA}.jobs")

    assert migrate.upgrade(empty_database) == schema.HEAD


def test_an_existing_schema_is_used(empty_database):
    with psycopg.connect(empty_database) as connection:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")

    assert migrate.upgrade(empty_database) == schema.HEAD


def test_a_newer_schema_is_not_changed(empty_database):
    migrate.upgrade(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute(f"UPDATE {SCHEMA}.{schema.VERSION_TABLE} SET version_num = '9999'")

    assert migrate.upgrade(empty_database) == "9999"


async def test_before_the_migration_everything_is_unavailable_and_says_what_to_do(empty_database, a_job):
    async with Database(empty_database) as fresh:
        assert await fresh.schema_version() is None
        with pytest.raises(errors.Unavailable, match="run `agentjobs migrate`"):
            await fresh.check_schema()


async def test_after_the_migration_the_schema_is_found(database):
    async with Database(database) as migrated:
        await migrated.check_schema()

        assert await migrated.schema_version() == schema.HEAD


def test_a_missing_server_is_unavailable(tmp_path):
    with pytest.raises(errors.Unavailable):
        migrate.upgrade(f"postgresql://nobody@/nothing?host={tmp_path}")


def test_a_migration_waits_for_a_server_that_starts_later(empty_database, monkeypatch):
    servers = iter(["postgresql://nobody@/nothing?host=/nowhere", empty_database])
    monkeypatch.setattr(migrate, "database_url", lambda _: database_url(next(servers)))

    assert migrate.upgrade("", max_wait=30) == schema.HEAD


def test_a_user_without_rights_is_denied(empty_database):
    with psycopg.connect(empty_database) as connection:
        connection.execute("DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")

    with pytest.raises(errors.Denied, match="permission denied"):
        migrate.upgrade(empty_database.replace("agentjobs@", "guest@"))
