"""What keeping a file for later starts costs: `python tests/bench/kept.py [--fsync]`.

A session that grows by lines and one that grows by large parts: how long the runner waits for an append, through a
gateway, and what the database's part of it is. Then how long a later start waits for the whole file, and what a file of
many small appends takes on the disk.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.crash.outside import NAMESPACE, Pods, served

from agentjobs.contract import MAX_KEPT_PART_BYTES, Resolved
from agentjobs.gateway.app import create_app
from agentjobs.gateway.hosting import history_of
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import Services
from agentjobs.history.database import Database
from agentjobs.history.kept import Write
from agentjobs.history.kept_files import KeptFiles
from agentjobs.history.migrate import upgrade
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs_runner.gateway import Gateway
from agentjobs_runner.gateway_stores import GatewayStores
from agentjobs_runner.redaction import Redactor
from devcluster.postgres import EmbeddedPostgres

RESOLVED = Resolved(spec={"input": {"message": "Go."}, "retry": {"maxAttempts": 3}}, scripts={})
LINES = 500
PARTS = 48
LINE = 10_000


def a_text(size: int) -> bytes:
    """As much like JSON as a session is: packs to about a half."""
    return bytes(random.choices(b'etaoinshrdlu      ,:"{}', k=size))


def spread(name: str, seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{name}: p50 {1000 * cuts[49]:.2f} ms, p99 {1000 * cuts[98]:.2f} ms ({len(seconds)} times)"


async def a_start(database: Database, uid: str) -> None:
    key, history = JobKey(uid, NAMESPACE, f"job-{uid}", datetime.now(UTC)), OperatorWrites(database, cluster="c")
    begun = StartRecord(key, 1, 1, f"job-{uid}-1", datetime.now(UTC))
    await history.accept(Acceptance(JobRecord(key, RESOLVED, "hash"), begun))
    place = {"namespace": NAMESPACE, "job": key.name}
    await RunnerWrites(database, cluster="c").claim(uid, 1, f"pod-{uid}-1", **place)


async def in_database(database: Database, dsn: str) -> None:
    files = KeptFiles(database)
    for name, size, count in (("10 kB", LINE, LINES), ("1 MiB", MAX_KEPT_PART_BYTES, PARTS)):
        uid = f"sql{size}"
        await a_start(database, uid)
        waits, content = [], a_text(size)
        for number in range(count):
            began = time.perf_counter()
            await files.write(uid, 1, f"pod-{uid}-1", Write("f", number * size, content, number))
            waits.append(time.perf_counter() - began)
        print(spread(f"database, an append of {name}", waits))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM FULL agentjobs.kept_parts")
        row: Any = connection.execute(
            "SELECT pg_total_relation_size('agentjobs.kept_parts'), count(*) FROM agentjobs.kept_parts"
        ).fetchone()
    print(f"disk: {row[0] / (LINES * LINE + PARTS * MAX_KEPT_PART_BYTES):.2f} bytes a byte, in {row[1]} rows")


def through(url: str, uid: str, report: Callable[[str], None]) -> None:
    """As a runner."""

    class Counted(Gateway):
        asked = 0

        def request(self, *given: Any, **named: Any) -> httpx.Response:
            self.asked += 1
            return super().request(*given, **named)

    with httpx.Client(base_url=url) as client:
        gateway = Counted(client, lambda: f"crash/{uid}/1/")
        kept = GatewayStores(gateway, Redactor({}), lambda error: print(error), lambda: None).kept
        for name, size, count in (("10 kB", LINE, LINES), ("1 MiB", MAX_KEPT_PART_BYTES, PARTS)):
            waits, content = [], a_text(size)
            for number in range(count):
                began = time.perf_counter()
                kept.write(name, content, offset=number * size)
                waits.append(time.perf_counter() - began)
            report(spread(f"runner, an append of {name}", waits) + f", {gateway.asked} requests")
            gateway.asked = 0
        for name in kept.files():
            began, size = time.perf_counter(), len(kept.read(name) or b"")
            report(f"runner, {size / 2**20:.1f} MiB read: {1000 * (time.perf_counter() - began):.0f} ms")


async def measure(folder: Path, *, fsync: bool) -> None:
    async with EmbeddedPostgres(folder / "pg", ephemeral=True, fsync=fsync) as postgres:
        await asyncio.to_thread(upgrade, postgres.dsn)
        async with Database(postgres.dsn) as database:
            await in_database(database, postgres.dsn)
            await a_start(database, "http")
            metrics = GatewayMetrics()
            services = Services(
                lambda _cluster: history_of(database, "c"),
                Pods(),
                metrics=metrics,
                check_addresses=False,
                # Bytes are paid for with time, which is not measured here.
                clock=lambda: 100 * time.monotonic(),
            )
            app = create_app(services, check_history=database.check_schema)
            async with served(app) as url:
                await asyncio.to_thread(through, url, "http", print)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fsync", action="store_true", help="let PostgreSQL wait for the disk")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as name:
        asyncio.run(measure(Path(name), fsync=given.fsync))


if __name__ == "__main__":
    main()
