"""Brings a database to the schema this code needs. Called by `agentjobs migrate`, development mode and tests.

Safe to run concurrently: an advisory lock lets one process work, and the others find it done. Operator and gateway
never migrate, because they may lack permission. They wait: the gateway is not ready until `Database.check_schema`
passes, and the operator starts no jobs.
"""

import time
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, create_engine, exc, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from agentjobs.errors import Misconfigured, Unavailable
from agentjobs.history import schema
from agentjobs.history.database import SchemaMissing, translated
from agentjobs.history.fill import fill_jobs
from agentjobs.history.schema import SCHEMA

_CONNECT_SECONDS = 10
_PAUSE_SECONDS = 0.5
# All requests of operator and gateway queue behind a migration that waits for a table. So it waits briefly (they wait
# at most three seconds), and then pauses longer before it retries.
_LOCK_MILLISECONDS = 1000
_LOCKED_PAUSE_SECONDS = 5.0
# An arbitrary constant: the ASCII of "agentjob".
_LOCK = 0x6167656E746A6F62
# The migration after which jobs are filled, in transactions of their own, and the one before which they are.
_FILLABLE = "0013"
_FILLED = "0014"


def database_url(dsn: str) -> URL:
    """Return the SQLAlchemy URL of a libpq URI (`postgresql://…` or `postgres://…`).

    Raises:
        errors.Misconfigured: it is not one; the message does not repeat it, because it may hold a password.
    """
    try:
        url = make_url(dsn)
    except (exc.ArgumentError, ValueError) as error:
        raise Misconfigured("database URL: expected postgresql://user:password@host:port/database") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise Misconfigured(f"database URL: expected the scheme postgresql://, got {url.drivername!r}")
    return url.set(drivername="postgresql+psycopg")


def upgrade(dsn: str, *, max_wait: float = 0.0) -> str:
    """Upgrade the database to this code's version and return its version; a newer one is not changed.

    Blocks (tens of milliseconds for an upgrade, plus the import of Alembic): from an event loop, call it in a thread.

    Args:
        max_wait: seconds to wait for an unreachable server, or for tables that are in use.

    Raises:
        errors.Unavailable: no server, or `TablesInUse`.
        errors.Denied: the user may not create the schema or its tables.
    """
    give_up = time.monotonic() + max_wait
    while True:
        try:
            return _upgraded(dsn)
        except Unavailable as error:
            if time.monotonic() >= give_up:
                raise
            pause = _LOCKED_PAUSE_SECONDS if isinstance(error, TablesInUse) else _PAUSE_SECONDS
        time.sleep(min(pause, max(0.0, give_up - time.monotonic())))


class TablesInUse(Unavailable):
    """The tables are locked for long, mostly by a backup."""


def _upgraded(dsn: str) -> str:
    engine = create_engine(
        database_url(dsn),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "agentjobs migrate"},
    )
    try:
        with engine.connect() as connection:
            found = _version(connection)
            if found is not None and found >= schema.HEAD:
                return found
        if found is not None and found < _FILLED:
            _upgrade_to(_FILLABLE, engine)
            fill_jobs(engine)
        _upgrade_to(schema.HEAD, engine)
    except exc.DBAPIError as error:
        cause = error.orig if isinstance(error.orig, psycopg.Error) else error
        if isinstance(cause, psycopg.errors.LockNotAvailable):
            raise TablesInUse(
                "another session, such as a backup, has locked the history's tables; retry when it is done"
            ) from error
        raise translated(cause) from error
    return schema.HEAD


def _version(connection: Connection) -> str | None:
    try:
        with connection.begin_nested():
            found = connection.execute(text(schema.VERSION)).scalar_one_or_none()
        return None if found is None else str(found)
    except exc.ProgrammingError as error:
        if isinstance(error.orig, psycopg.Error) and isinstance(translated(error.orig), SchemaMissing):
            return None
        raise


def _upgrade_to(version: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
        found = _version(connection)
        if found is None or found < version:
            _upgrade(connection, version)


def _upgrade(connection: Connection, version: str) -> None:
    # Alembic takes a third of a second to import, which a start on a current schema does not pay.
    from alembic import command
    from alembic.config import Config

    # Checked first, because CREATE SCHEMA IF NOT EXISTS needs permission even if the schema exists.
    found = connection.execute(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": SCHEMA}).scalar()
    if found is None:
        connection.execute(CreateSchema(SCHEMA))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, version)
