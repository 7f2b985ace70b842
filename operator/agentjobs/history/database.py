"""Connections to PostgreSQL with deadlines, and the translation of its errors into ours.

A caller gets an answer or `errors.Unavailable` within `DEADLINE_SECONDS`, even if the server hangs or packets are lost:
neither the operator's decisions nor a runner's request waits longer. While the server is unreachable, all requests of a
process fail immediately (`breaker`). Work is a function of a connection. It is retried once if the connection was dead
or two transactions collided, so it must be idempotent, as everything in history is.

A transaction is a pipeline: its statements are sent together until an answer is read, and COMMIT with the last ones.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncPipeline, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from agentjobs import errors
from agentjobs.history import schema
from agentjobs.history.breaker import Away, Breaker
from agentjobs.history.sanitize import dump_json

T = TypeVar("T")
Connection = AsyncConnection[Any]
Work = Callable[[Connection], Awaitable[T]]
_Connect = Callable[[], AbstractAsyncContextManager[Connection]]

# The operator reports `HistoryUnavailable` within this time; the parts below must fit into it.
DEADLINE_SECONDS: Final = 5.0
_PROBE_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 3
_POOL_SECONDS: Final = 3.0
_STATEMENT_MILLISECONDS: Final = 4000
_LOCK_MILLISECONDS: Final = 3000
# A connection that hangs between two statements releases its locks after this time.
_IDLE_MILLISECONDS: Final = 10_000
# A load balancer may silently drop an old connection.
_LIFETIME_SECONDS: Final = 1800.0

# SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
_COLLISIONS: Final = frozenset({"40001", "40P01"})
_READ_ONLY: Final = "25006"
# Errors of an unusable server. After any other error the next request may succeed.
_CLOSED: Final = ("08", "28", "3D", "57P", "53300", _READ_ONLY)
_NOT_MIGRATED: Final = frozenset({"42P01", "42703", "3F000"})
_DENIED: Final = frozenset({"42501", "28000", "28P01"})
# Data, integrity, program limits, cardinality: the same request fails again.
_INVALID_CLASSES: Final = ("22", "23", "54", "21")
# The breaker logs an outage once. Psycopg and its pool would log it for each connection.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class _Connection(AsyncConnection[Any]):
    """A connection that collects the statements of a pipeline, and is closed when its user is cancelled.

    Psycopg sends each statement of a pipeline immediately, with three system calls. Here they are sent together, when
    an answer is read or the pipeline ends.

    If the user is cancelled, psycopg would ask the server to cancel the statement, and wait up to ten seconds for an
    unresponsive server. `statement_timeout` ends the statement instead.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._gathered: list[Callable[[], None]] = []
        self._gathers = False

    async def execute(self, *given: Any, **named: Any) -> AsyncCursor[Any]:
        """Execute a statement; in a pipeline, collect it."""
        self._gathers = self._pipeline is not None
        try:
            return await super().execute(*given, **named)
        finally:
            self._gathers = False

    async def command(self, command: bytes) -> None:
        """Collect a command of a pipeline without parameters and results, such as COMMIT.

        Without a cursor, which would cost as much as for a query.
        """
        await self.wait(self._exec_command(command))

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        if self._pipeline is not None:
            gen = self._gather(gen, self._pipeline) if self._gathers else self._leave(gen, self._pipeline)
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise

    def _gather(self, gen: PQGen[T], pipeline: AsyncPipeline) -> PQGen[T]:
        """Keep the data that psycopg is about to send."""
        try:
            next(gen)
            self._gathered += pipeline.command_queue
            pipeline.command_queue.clear()
            # It finds nothing to send, and ends.
            return (yield from _rest(gen, gen.send(waiting.READY_W)))
        except StopIteration as ended:
            return cast("T", ended.value)

    def _leave(self, gen: PQGen[T], pipeline: AsyncPipeline) -> PQGen[T]:
        """Send the collected statements with psycopg's next data."""
        self._write(pipeline)
        try:
            wanted = next(gen)
            if pipeline.command_queue:
                try:
                    self._write(pipeline)
                    wanted = gen.send(waiting.READY_W)
                except psycopg.Error as error:
                    wanted = gen.throw(error)
            return (yield from _rest(gen, wanted))
        except StopIteration as ended:
            return cast("T", ended.value)

    def _write(self, pipeline: AsyncPipeline) -> None:
        """Pass everything to libpq, which sends it when flushed or at 64 KiB."""
        for write in (*self._gathered, *pipeline.command_queue):
            write()
        self._gathered.clear()
        pipeline.command_queue.clear()


class Database:
    """A pool of connections, opened on demand: `async with` needs no server.

    Args:
        dsn: libpq URI. Its options (`sslmode`, `target_session_attrs`, …) are passed to libpq.
        pool_size: maximum connections.
        application: what `pg_stat_activity` shows.
        deadline: seconds until a request gives up.
        on_request: called with the seconds and outcome of each request: `ok` (also if the work raised one of
    our errors), `refused` (the server rejected content or user) or `unavailable`.
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
        self._parameters = {**_parameters(dsn, application), "autocommit": True, "row_factory": namedtuple_row}
        self.breaker = Breaker(self._probe)
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            connection_class=_Connection,
            kwargs=self._parameters,
            min_size=0,
            max_size=pool_size,
            timeout=_POOL_SECONDS,
            max_lifetime=_LIFETIME_SECONDS,
            # It tries twice; afterwards the next request retries.
            reconnect_timeout=0.0,
            reconnect_failed=lambda _pool: self.breaker.suspect(),
            open=False,
        )
        self._deadline = deadline
        self._on_request = on_request

    async def run(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit it.

        Raises:
            errors.Unavailable: no server, no answer in time, no schema yet, or a server that refuses our user: work
                waits until that is repaired.
            errors.Invalid: the content was refused.
        """
        async with self._request():
            return await self._repeated_once(work, self._transaction)

    async def autocommit(self, work: Work[T]) -> T:
        """Run `work` with autocommit of each statement. Raises like `run`."""
        async with self._request():
            return await self._repeated_once(work, self._connected)

    @contextlib.asynccontextmanager
    async def transaction(self, first: Work[T]) -> AsyncIterator[tuple[Connection, T]]:
        """Open a transaction for a `with` block, with what `first` returned, and commit it at the end of the block.

        Only `first` is retried. Raises like `run`.
        """
        async with self._request():
            for again in (True, False):
                entered = False
                try:
                    async with self._transaction() as connection:
                        begun = await first(connection)
                        entered = True
                        yield connection, begun
                    return
                except psycopg.Error as error:
                    if entered or not again or not await self._may_be_repeated(error):
                        raise

    async def schema_version(self) -> str | None:
        """Return the schema's version, None before the first migration. Raises like `run`."""
        try:
            # Past the breaker: a missing schema is an answer here.
            async with self._timed(), asyncio.timeout(self._deadline):
                return await self._repeated_once(_version, self._connected)
        except SchemaMissing:
            return None

    async def check_schema(self) -> None:
        """Return if the schema is new enough for this code.

        The gateway's readiness calls it, because `agentjobs migrate` may still be running. The operator is ready
        without it, and its jobs wait. A newer schema is fine: migrations keep old code working.

        Raises:
            errors.Unavailable: not yet; the message names both versions.
        """
        self.breaker.check()
        _check_version(await self.schema_version())

    def connections(self) -> tuple[int, int]:
        """Return the numbers of used and idle connections."""
        known = self._pool.get_stats()
        idle = known.get("pool_available", 0)
        return known.get("pool_size", 0) - idle, idle

    async def close(self) -> None:
        """Close every connection."""
        await self.breaker.close()
        await self._pool.close(self._deadline)

    async def __aenter__(self) -> "Database":
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def _request(self) -> AsyncIterator[None]:
        """Send a request unless PostgreSQL is known to be unreachable, and update that state."""
        began = asyncio.get_running_loop().time()
        try:
            async with self._timed(), self.breaker.guard(self._deadline):
                yield
        except Away:
            raise
        except errors.Unavailable as error:
            if _is_alive(error):
                self.breaker.answered()
                raise
            raise self.breaker.failed(error, began=began) from error
        except errors.AgentJobsError:
            self.breaker.answered()
            raise
        self.breaker.answered()

    @contextlib.asynccontextmanager
    async def _timed(self) -> AsyncIterator[None]:
        """Translate errors, and report how long the block took and its outcome."""
        began, outcome = time.monotonic(), "unavailable"
        cancels = _cancels()
        try:
            yield
            outcome = "ok"
            if _cancels() > cancels:
                # `asyncio.wait_for` of Python 3.11, by which the pool waits, forgets one that comes with the answer.
                raise asyncio.CancelledError
        except TimeoutError:
            raise errors.Unavailable(f"PostgreSQL did not answer within {self._deadline:g} s") from None
        except (psycopg.Error, OSError, ValueError) as error:
            problem = translated(error)
            outcome = "unavailable" if isinstance(problem, errors.Unavailable) else "refused"
            raise errors.Unavailable(str(problem)) if isinstance(problem, errors.Denied) else problem from error
        except errors.AgentJobsError:
            outcome = "ok"
            raise
        finally:
            self._on_request(time.monotonic() - began, outcome)

    async def _probe(self) -> None:
        async with self._timed(), asyncio.timeout(_PROBE_SECONDS):
            await self._connect_once()

    async def _connect_once(self) -> None:
        """Return if a new connection reaches a writable server with our schema."""
        async with await _Connection.connect(**self._parameters) as connection:
            _check_version(await _version(connection))
            found = await (await connection.execute("SHOW transaction_read_only")).fetchone()
            if found is not None and found[0] == "on":
                raise errors.Unavailable("PostgreSQL: the server is read-only")

    async def _repeated_once(self, work: Work[T], connect: _Connect) -> T:
        try:
            async with connect() as connection:
                return await work(connection)
        except psycopg.Error as error:
            if not await self._may_be_repeated(error):
                raise
        async with connect() as connection:
            return await work(connection)

    async def _may_be_repeated(self, error: psycopg.Error) -> bool:
        if _sqlstate(error) in _COLLISIONS:
            return True
        # After a fail-over the old primary answers reads and refuses writes; only a new connection finds the new one.
        lost = isinstance(error, _Lost) or _sqlstate(error) == _READ_ONLY
        if lost:
            await self._pool.drain()
        return lost

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator["_Connection"]:
        connection = await self._pool.getconn()
        try:
            yield connection
        except psycopg.OperationalError as error:
            if connection.closed:
                raise _Lost(*error.args) from error
            raise
        finally:
            # A caller that is cancelled meanwhile would take the connection's place in the pool with it.
            await asyncio.shield(self._pool.putconn(connection))

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._connected() as connection:
            try:
                async with connection.pipeline():
                    await connection.command(b"BEGIN")
                    yield connection
                    await connection.command(b"COMMIT")
            except psycopg.errors.PipelineAborted as error:
                await connection.rollback()
                # Of a statement behind the one that failed.
                raise error.__context__ if isinstance(error.__context__, psycopg.Error) else error from None
            except Exception:
                if not connection.closed:
                    await connection.rollback()
                raise
            except BaseException:
                await connection.close()
                raise


def _cancels() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _rest(gen: PQGen[T], wanted: Any) -> PQGen[T]:
    """Continue a generator that has begun."""
    try:
        while True:
            wanted = gen.send((yield wanted))
    except StopIteration as ended:
        return cast("T", ended.value)


class SchemaMissing(errors.Unavailable):
    """The tables are missing: `agentjobs migrate` has not run."""


class _Lost(psycopg.OperationalError):
    """The connection broke."""


def as_json(value: Any) -> Json | None:
    """Return a parameter that stores `value` in a JSON column; None stores NULL."""
    return None if value is None else Json(value, dump_json)


def _parameters(dsn: str, application: str) -> dict[str, Any]:
    """Return libpq's parameters.

    Raises:
        errors.Misconfigured: `dsn` is not a libpq URI; the message does not repeat it, because it may hold a password.
    """
    scheme, separator, _ = dsn.partition("://")
    if separator and scheme not in ("postgresql", "postgres"):
        raise errors.Misconfigured(f"database URL: expected the scheme postgresql://, got {scheme!r}")
    try:
        if not separator:
            raise ValueError("no URI")
        found = conninfo_to_dict(dsn)
        [int(port) for port in str(found.get("port") or 0).split(",")]
    except (psycopg.Error, ValueError):
        raise errors.Misconfigured("database URL: expected postgresql://user:password@host:port/database") from None
    limits = (
        f"-c statement_timeout={_STATEMENT_MILLISECONDS} -c lock_timeout={_LOCK_MILLISECONDS}"
        f" -c idle_in_transaction_session_timeout={_IDLE_MILLISECONDS}"
        # Counts under a lock must see the state after the lock was taken, independent of the server's default.
        r" -c default_transaction_isolation=read\ committed"
    )
    return {
        **found,
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": application,
        "options": f"{found.get('options') or ''} {limits}".strip(),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": int(DEADLINE_SECONDS * 1000),
    }


async def _version(connection: Connection) -> str | None:
    found = await (await connection.execute(schema.VERSION)).fetchone()
    return None if found is None else str(found[0])


def _check_version(found: str | None) -> None:
    if found is None or found < schema.HEAD:
        needed = f"needed is {schema.HEAD}: run `agentjobs migrate`, or wait until it has ended"
        raise errors.Unavailable(f"the history's schema is at {found or 'no version'}, {needed}")


def _is_alive(error: errors.Unavailable) -> bool:
    """Whether a request failed at a server that may answer the next one."""
    if isinstance(error, errors.Busy):
        return True
    if isinstance(error, SchemaMissing) or error.__cause__ is None:
        return False
    state = _sqlstate(error.__cause__)
    return bool(state) and not state.startswith(_CLOSED)


def _sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def translated(error: Exception) -> errors.AgentJobsError:
    """Return our error for one of psycopg's or the network's."""
    state = _sqlstate(error)
    what = str(error).strip().partition("\n")[0] or type(error).__name__
    if state in _NOT_MIGRATED:
        return SchemaMissing(f"the history's tables are missing or old ({what}): run `agentjobs migrate`")
    if state in _DENIED:
        return errors.Denied(f"PostgreSQL refuses our user: {what}")
    if state.startswith(_INVALID_CLASSES) or (not state and _is_our_value(error)):
        return errors.Invalid(f"history cannot store this: {what}")
    return errors.Unavailable(f"PostgreSQL: {what}")


def _is_our_value(error: Exception) -> bool:
    """Return whether a value failed before it reached the server."""
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
    return isinstance(error, ValueError)
