"""Connections to PostgreSQL with deadlines, and the one place where its errors become ours.

A caller gets an answer or `errors.Unavailable` within `DEADLINE_SECONDS`, also when the server hangs or packets
vanish: the operator's decisions and a runner's request wait for nothing longer. While it is away, which all requests of
a process learn together (`breaker`), they get that at once. Work is given as a function of a
connection and runs in one transaction; it is repeated once when the connection turned out to be dead or two
transactions collided, so it must be idempotent, as everything in history is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, TypeVar, cast

import psycopg
from sqlalchemy import event, exc, select, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

from agentjobs import errors
from agentjobs.history import schema
from agentjobs.history.breaker import Breaker
from agentjobs.history.sanitize import dump_json

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
_Connect = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
_Waiting = Callable[["asyncio.Task[Any]", float], Awaitable[None]]

# The operator says `HistoryUnavailable` within this time; the parts below must fit into it.
DEADLINE_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 3
_POOL_SECONDS: Final = 3.0
_STATEMENT_MILLISECONDS: Final = 4000
_LOCK_MILLISECONDS: Final = 3000
# A session that stopped between two statements gives its locks back after this long.
_IDLE_MILLISECONDS: Final = 10_000

# SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
_COLLISIONS: Final = frozenset({"40001", "40P01"})
_READ_ONLY: Final = "25006"
# What a server says that cannot do anything for us; of other errors it may be that the next request gets its answer.
_CLOSED: Final = ("08", "28", "3D", "57P", "53300", _READ_ONLY)
_NOT_MIGRATED: Final = frozenset({"42P01", "42703", "3F000"})
_DENIED: Final = frozenset({"42501", "28000", "28P01"})
# Data, integrity, program limits, cardinality: the same request fails again.
_INVALID_CLASSES: Final = ("22", "23", "54", "21")


def database_url(dsn: str) -> URL:
    """Return the SQLAlchemy URL of a libpq URI (`postgresql://…` or `postgres://…`).

    Raises:
        errors.Invalid: it is none; the message does not repeat it, because it may hold a password.
    """
    try:
        url = make_url(dsn)
    except (ArgumentError, ValueError) as error:
        raise errors.Invalid("database URL: expected postgresql://user:password@host:port/database") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise errors.Invalid(f"database URL: expected the scheme postgresql://, got {url.drivername!r}")
    return url.set(drivername="postgresql+psycopg")


class Database:
    """A pool of connections, opened lazily: making one needs no server.

    Args:
        dsn: libpq URI. Options in it (`sslmode`, `target_session_attrs`, …) go through to libpq.
        pool_size: connections at most.
        application: what `pg_stat_activity` shows.
        deadline: seconds until `run` gives up.
        on_request: told how many seconds each request took and its outcome: `ok` (with whatever its work raised of
            ours), `refused` (the server did not like content or user) or `unavailable`.
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = 10,
        application: str = "agentjobs",
        deadline: float = DEADLINE_SECONDS,
        on_request: Callable[[float, str], None] = lambda _seconds, _outcome: None,
    ) -> None:
        url = database_url(dsn)
        own_options = url.query.get("options", "")
        limits = (
            f"-c statement_timeout={_STATEMENT_MILLISECONDS} -c lock_timeout={_LOCK_MILLISECONDS}"
            f" -c idle_in_transaction_session_timeout={_IDLE_MILLISECONDS}"
        )
        connect_args = {
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": application,
            "options": f"{own_options} {limits}".strip() if isinstance(own_options, str) else limits,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(DEADLINE_SECONDS * 1000),
        }
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            # Behind a load balancer an old connection may have been forgotten silently.
            pool_recycle=1800,
            hide_parameters=True,
            json_serializer=dump_json,
            connect_args=connect_args,
        )
        # A fresh connection each time: those of the pool may all wait for a server that has gone.
        self._probing = create_async_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=connect_args)
        self.breaker = Breaker(self._probe)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")  # of the same pool
        event.listen(self._engine.sync_engine, "handle_error", _leave_a_demoted_server)
        self._deadline = deadline
        self._on_request = on_request
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def run(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit it.

        Raises:
            errors.Unavailable: no server, no answer in time, no schema yet, or a server that refuses our user: who has
                begun to work waits until that is repaired.
            errors.Invalid: the content was refused.
        """
        return await self._guarded(work, self._engine.begin)

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which is one SELECT, without a transaction: one round trip in place of three. Raises as `run`."""
        return await self._guarded(work, self._reading.connect)

    async def schema_version(self) -> str | None:
        """Return the schema's version, None before the first migration. Raises as `run`."""
        try:
            # Past the breaker: a missing schema is an answer here.
            return await self._within_deadline(self._repeated_once(_version, self._reading.connect), _for_a_moment)
        except SchemaMissing:
            return None

    async def check_schema(self) -> None:
        """Return when the schema is as new as this code needs.

        The gateway's readiness calls it, because `agentjobs migrate` may still run; the operator is ready without, and
        its jobs wait. A schema that is newer than this code is fine: migrations keep old code working.

        Raises:
            errors.Unavailable: not yet; the message names both versions.
        """
        self.breaker.check()
        _check_version(await self.schema_version())

    def connections(self) -> tuple[int, int]:
        """How many connections are in use and how many idle."""
        pool = cast("QueuePool", self._engine.pool)
        return pool.checkedout(), pool.checkedin()

    async def close(self) -> None:
        """Close every connection."""
        await self.breaker.close()
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=self._deadline)
        await self._engine.dispose()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _guarded(self, work: Work[T], connect: _Connect) -> T:
        """Ask, unless PostgreSQL is known to be away, and learn from the answer whether it is."""
        self.breaker.check()
        began = asyncio.get_running_loop().time()
        try:
            result = await self._within_deadline(self._repeated_once(work, connect), self.breaker.wait)
        except errors.Unavailable as error:
            if _is_alive(error):
                self.breaker.answered()
                raise
            raise self.breaker.failed(error, began=began) from error
        except errors.AgentJobsError:
            self.breaker.answered()
            raise
        self.breaker.answered()
        return result

    async def _probe(self) -> None:
        await self._within_deadline(self._ask_probe(), _for_a_moment, _PROBE_SECONDS)

    async def _ask_probe(self) -> None:
        """Return when a new connection finds a server that takes our writes, and our schema."""
        async with self._probing.connect() as connection:
            _check_version(await _version(connection))
            if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on":
                raise errors.Unavailable("PostgreSQL: the server is read-only")

    async def _repeated_once(self, work: Work[T], connect: _Connect) -> T:
        try:
            async with connect() as connection:
                return await work(connection)
        except exc.DBAPIError as error:
            if not error.connection_invalidated and _sqlstate(error) not in _COLLISIONS:
                raise
        async with connect() as connection:
            return await work(connection)

    async def _within_deadline(
        self, operation: Coroutine[Any, Any, T], wait: _Waiting, deadline: float | None = None
    ) -> T:
        """Await `operation` for the deadline, then leave it to end alone.

        Cancelling it is not enough: psycopg first asks a server that does not answer to cancel the query.
        """
        deadline = self._deadline if deadline is None else deadline
        task, began = asyncio.create_task(operation), time.monotonic()
        try:
            await wait(task, deadline)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        outcome = "unavailable"
        try:
            if not task.done():
                self._abandon(task)
                raise errors.Unavailable(f"PostgreSQL did not answer within {deadline:g} s")
            try:
                result = task.result()
            except (exc.SQLAlchemyError, psycopg.Error, OSError, ValueError) as error:
                problem = translated(error)
                outcome = "unavailable" if isinstance(problem, errors.Unavailable) else "refused"
                raise errors.Unavailable(str(problem)) if isinstance(problem, errors.Denied) else problem from error
            except errors.AgentJobsError:
                outcome = "ok"
                raise
            outcome = "ok"
            return result
        finally:
            self._on_request(time.monotonic() - began, outcome)

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()


class SchemaMissing(errors.Unavailable):
    """The tables are not there: `agentjobs migrate` has not run."""


async def _version(connection: AsyncConnection) -> str | None:
    return (await connection.execute(select(schema.version.c.version_num))).scalar_one_or_none()


def _check_version(found: str | None) -> None:
    if found is None or found < schema.HEAD:
        needed = f"needed is {schema.HEAD}: run `agentjobs migrate`"
        raise errors.Unavailable(f"the history's schema is at {found or 'nothing'}, {needed}")


async def _for_a_moment(task: "asyncio.Task[Any]", seconds: float) -> None:
    await asyncio.wait({task}, timeout=seconds)


def _is_alive(error: errors.Unavailable) -> bool:
    """Whether a request failed at a server that is there and may well answer the next one."""
    if isinstance(error, errors.Busy):
        return True
    if isinstance(error, SchemaMissing) or error.__cause__ is None:
        return False
    state = _sqlstate(error.__cause__)
    return bool(state) and not state.startswith(_CLOSED)


def _sqlstate(error: BaseException) -> str:
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    return getattr(cause, "sqlstate", None) or ""


def _leave_a_demoted_server(context: ExceptionContext) -> None:
    # After a fail-over the old primary answers reads and refuses writes; only a new connection finds the new one.
    if context.original_exception is not None and _sqlstate(context.original_exception) == _READ_ONLY:
        context.is_disconnect = True


def translated(error: Exception) -> errors.AgentJobsError:
    """Return our error for one of SQLAlchemy, psycopg or the network."""
    state = _sqlstate(error)
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    what = str(cause).strip().partition("\n")[0] or type(cause).__name__
    if state in _NOT_MIGRATED:
        return SchemaMissing(f"the history's tables are missing or old ({what}): run `agentjobs migrate`")
    if state in _DENIED:
        return errors.Denied(f"PostgreSQL refuses our user: {what}")
    if state.startswith(_INVALID_CLASSES) or (not state and _is_our_value(error)):
        return errors.Invalid(f"history cannot store this: {what}")
    return errors.Unavailable(f"PostgreSQL: {what}")


def _is_our_value(error: Exception) -> bool:
    """Tell whether a value failed before it reached the server."""
    if isinstance(error, exc.DBAPIError):
        return isinstance(error.orig, psycopg.DataError | psycopg.IntegrityError)
    return isinstance(error, exc.StatementError | ValueError)
