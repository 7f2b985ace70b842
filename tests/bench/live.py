"""What live pages cost: open streams of changes whose pages ask again. `python tests/bench/live.py [--streams 200]`.

A process of its own serves REST over the embedded PostgreSQL, with jobs in it; the API server is one of a few
lines that knows everybody and allows everything. One job changes a second. Each stream is another user's, and anyone
who hears a change asks for the newest 50 jobs and for the counts, as a page does. Told are the CPU of the process, and
the transactions that PostgreSQL made for it. The dashboard asks in its own process, which is cheaper than over HTTP.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

import psycopg
import uvicorn
from tests.bench.overview import FILL

from agentjobs.gateway.app import create_app
from agentjobs.gateway.connections import connections
from agentjobs.gateway.hosting import history_of
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import Services
from agentjobs.history import migrate
from agentjobs.history.database import Database
from devcluster.postgres import EmbeddedPostgres

SECONDS: Final = 15
WARM_SECONDS: Final = 6
ASKED: Final = ("/v1/namespaces/team-0/agentjobs?limit=50", "/v1/counts")
HERTZ: Final = os.sysconf("SC_CLK_TCK")


class Everybody:
    """An API server that knows every token and allows everything."""

    async def create(self, resource: Any, _namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        user = {"username": body["spec"].get("token", ""), "groups": []}
        return body | {"status": {"authenticated": True, "user": user, "allowed": True}}

    async def get(self, _resource: Any, _namespace: str | None, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": "bench"}}


async def serve(dsn: str, port: int) -> None:
    async with Database(dsn, pool_size=8, application="bench live") as database:
        services = Services(
            lambda cluster: history_of(database, cluster), Everybody(), metrics=GatewayMetrics(), concurrent_reads=6
        )
        app = create_app(services, check_history=database.check_schema, audience=["people"])
        http = connections(per_address=None)
        await uvicorn.Server(
            uvicorn.Config(app, port=port, http=http, ws="none", log_level="error", access_log=False, lifespan="off")
        ).serve()


class Page:
    """One open page: its stream, and the connection by which it asks again."""

    heard = asked = 0

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._head = f"Host: bench\r\nCache-Control: max-age=60\r\nAuthorization: Bearer user-{number}\r\n\r\n"

    async def watch(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        again = None
        writer.write(f"GET /v1/changes HTTP/1.1\r\n{self._head}".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"event: change"):
                    Page.heard += 1
                    if again is None or again[0].at_eof():  # an idle connection is closed
                        again = await asyncio.open_connection("127.0.0.1", self._port)
                    for path in ASKED:
                        await self._ask(*again, path)
        finally:
            writer.close()
            if again is not None:
                again[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(f"GET {path} HTTP/1.1\r\n{self._head}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        (length,) = (line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length))
        Page.asked += 1


def cpu_of(pid: int) -> float:
    """Seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ


async def measure(dsn: str, port: int, pid: int, streams: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        uids = [row[0] for row in connection.execute("SELECT uid FROM agentjobs.jobs LIMIT 1000")]

        async def change() -> None:
            for uid in uids:
                connection.execute("UPDATE agentjobs.jobs SET message = 'x' || random() WHERE uid = %s", [uid])
                await asyncio.sleep(1)

        def transactions() -> int:
            statement = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            return connection.execute(statement).fetchone()[0]

        tasks = [asyncio.create_task(Page(port, number).watch()) for number in range(streams)]
        await asyncio.sleep(WARM_SECONDS)
        idle = cpu_of(pid), transactions()
        await asyncio.sleep(SECONDS)
        quiet = cpu_of(pid) - idle[0], transactions() - idle[1]
        changing = asyncio.create_task(change())
        await asyncio.sleep(WARM_SECONDS)
        before, Page.heard, Page.asked = (cpu_of(pid), transactions(), time.monotonic()), 0, 0
        await asyncio.sleep(SECONDS)
        took = time.monotonic() - before[2]
        cpu, made = cpu_of(pid) - before[0], transactions() - before[1]
        failed = [task.exception() for task in tasks if task.done()]
        for task in (changing, *tasks):
            task.cancel()
    print(f"{streams} streams, of a core and transactions a second, the change being one:")
    print(f"nothing changes     {quiet[0] / SECONDS:6.1%} {quiet[1] / SECONDS:6.1f}")
    print(f"1 change a second   {cpu / took:6.1%} {made / took:6.1f}")
    print(f"events heard {Page.heard / took:.0f}/s, answers {Page.asked / took:.0f}/s")
    if failed:
        raise SystemExit(f"{len(failed)} streams broke: {failed[0]}")


async def _listens(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise SystemExit("the process that is measured does not listen")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--serve", nargs=2, metavar=("DSN", "PORT"), help="be the process that is measured")
    asked = parser.parse_args()
    if asked.serve:
        await serve(asked.serve[0], int(asked.serve[1]))
        return
    folder = Path(tempfile.mkdtemp(prefix="agentjobs-bench-"))
    async with contextlib.AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder, ephemeral=True))
        migrate.upgrade(postgres.dsn)
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            for statement in FILL.split(";\n"):
                if statement.strip():
                    connection.execute(statement, {"jobs": asked.jobs}, prepare=False)
            connection.execute("VACUUM ANALYZE")
        port = 18_443
        server = await asyncio.create_subprocess_exec(sys.executable, __file__, "--serve", postgres.dsn, str(port))
        try:
            await _listens(port)
            await measure(postgres.dsn, port, server.pid, asked.streams)
        finally:
            server.terminate()
            await server.wait()


if __name__ == "__main__":
    asyncio.run(main())
