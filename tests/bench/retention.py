"""How fast retention deletes, and what it costs others. `python tests/bench/retention.py`, on the embedded PostgreSQL.

100,000 jobs of one start, three phases and five events each, half of them old. Prints rows a second without the pauses,
and how long an acceptance of a new job takes meanwhile and at rest. Figures of one machine; compare within a run only.
"""

import asyncio
import contextlib
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from agentjobs.contract import Resolved
from agentjobs.history import migrate
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.retention import Retention
from devcluster.postgres import EmbeddedPostgres

JOBS = 100_000
ACCEPTS = 300
RESOLVED = Resolved(spec={"agent": {"inline": {"instruction": "x" * 2000}}, "retry": {"maxAttempts": 3}}, scripts={})
FILL = f"""
INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at, resolved, phase, transition, finished_at)
SELECT 'old-' || n, 'bench', 'default', 'job-' || n, now(), json_build_object('spec', repeat('x', 2000)), 'Succeeded',
       3,       now() - CASE WHEN n % 2 = 0 THEN interval '100 days' ELSE interval '1 day' END
FROM generate_series(1, {JOBS}) n;
INSERT INTO agentjobs.starts (uid, start, attempt, pod) SELECT uid, 1, 1, name FROM agentjobs.jobs;
INSERT INTO agentjobs.transitions (uid, transition, time, phase, reason, message, finished)
SELECT uid, t, now(), 'Running', 'r', 'm', t = 3 FROM agentjobs.jobs, generate_series(1, 3) t;
INSERT INTO agentjobs.events (uid, start, seq, time, kind, author, data)
SELECT uid, 1, s, now(), 'text', 'a', json_build_object('text', repeat('y', 300))
FROM agentjobs.jobs, generate_series(1, 5) s;
"""


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


async def accepts(history: OperatorWrites, name: str) -> list[float]:
    """Seconds of each of many acceptances, one after another."""
    took = []
    for number in range(ACCEPTS):
        key = JobKey(f"{name}-{number}", "default", f"{name}-{number}", datetime.now(UTC))
        begun = time.perf_counter()
        await history.accept(
            Acceptance(JobRecord(key, RESOLVED, "0"), StartRecord(key, 1, 1, f"{name}-1", datetime.now(UTC)))
        )
        took.append(time.perf_counter() - begun)
    return sorted(took)


def shown(took: list[float]) -> str:
    return f"p50 {took[len(took) // 2] * 1000:.1f} ms, p99 {took[int(len(took) * 0.99)] * 1000:.1f} ms"


async def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="agentjobs-bench-"))
    async with contextlib.AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder, ephemeral=True))
        migrate.upgrade(postgres.dsn)
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute(FILL)
            connection.execute("ANALYZE")
        database = await stack.enter_async_context(Database(postgres.dsn))
        history = OperatorWrites(database, cluster="bench")
        print(f"an acceptance at rest:          {shown(await accepts(history, 'rest'))}")
        retention = Retention(
            database,
            cluster="bench",
            namespaces=(),
            lives=lambda *_: False,
            keep_jobs=timedelta(days=90),
            keep_events=None,
            on_pruned=lambda _table, _rows: None,
            sleep=no_pause,
        )
        begun = time.perf_counter()
        sweeping = asyncio.create_task(retention.sweep())
        meanwhile = await accepts(history, "meanwhile")
        gone = await sweeping
        seconds = time.perf_counter() - begun
        rows = sum(gone.values())
        print(f"an acceptance during the sweep: {shown(meanwhile)}")
        print(f"deleted {gone['jobs']:,} of {JOBS:,} jobs, {rows:,} rows, in {seconds:.1f} s: {rows / seconds:,.0f}/s")
        begun = time.perf_counter()
        nothing = await retention.sweep()
        print(f"a sweep that finds {nothing or 'nothing'}: {(time.perf_counter() - begun) * 1000:.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
