"""How long lists of jobs take. `PYTHONPATH=. python tests/bench/lists.py [--jobs N] [--plans]`.

On the embedded PostgreSQL, so many jobs (100,000) in 20 namespaces, of which one has more than half, made by
statements: nine of ten succeeded, 300 continue. Each filter is asked for what most jobs have and for what few have, the
first page and one far behind, by `Reads`; told is the median of 9. Then how fast the operator's writes are next to
those jobs. Figures of one machine; compare within a run only.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import psycopg
from tests.bench.history import AT_ONCE, accept_all, write_all

from agentjobs.api.job_filter import EVERY_JOB, JobFilter, JobOrder
from agentjobs.history import migrate
from agentjobs.history.database import Database
from agentjobs.history.listing import Listing
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.reads import Reads
from devcluster.postgres import EmbeddedPostgres

CLUSTER: Final = "bench"
BIG: Final = "n0"
TRIES: Final = 9
LATE_PAGE: Final = 100
OPEN: Final = 300

# In three statements, so that each column follows from the number of the job alone.
_JOBS: Final = """
INSERT INTO agentjobs.jobs (
    uid, cluster, namespace, name, created_at, resolved, transition, phase, reason, message, changed_at, finished_at,
    partition_key, queue, template, schedule, labels, outcome, cost
)
SELECT
    md5(n::text), 'bench', CASE WHEN n %% 100 < 55 THEN 'n0' ELSE 'n' || (1 + n %% 19) END,
    (ARRAY['triage', 'review', 'nightly-report', 'answer-mail'])[1 + n %% 4] || '-' || n,
    timestamptz '2026-01-01' + n * interval '20 s',
    json_build_object('spec', json_build_object(
        'agent', json_build_object(
            'model', CASE
                WHEN n %% 20011 = 0 THEN 'openai/o9' ELSE (ARRAY['gemini-2.5-flash', 'anthropic/claude-5'])[1 + n %% 2]
            END,
            'inline', json_build_object('instruction', (
                SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 40) AS i
            ))
        )
    )),
    3, phase, reason,
    CASE phase
        WHEN 'Failed' THEN
            'The tool search_orders failed with status ' || n %% 600 || ': order ' || md5(n::text) || ' was not found'
        ELSE ''
    END || CASE WHEN n %% 20011 = 1 THEN ' pneumonia' ELSE '' END,
    timestamptz '2026-01-01' + n * interval '20 s' + interval '5 min',
    CASE
        WHEN phase NOT IN ('Running', 'Queued') THEN
            timestamptz '2026-01-01' + n * interval '20 s' + n %% 997 * interval '1 s'
    END,
    CASE WHEN n %% 3 = 0 THEN 'customer-' || n %% 500 ELSE '' END,
    CASE WHEN n %% 10007 = 0 THEN 'rare' ELSE (ARRAY['agents', 'slow', 'mail'])[1 + n %% 3] END,
    CASE WHEN n %% 2 = 0 THEN 'template-' || n %% 30 ELSE '' END,
    CASE WHEN n %% 5 = 0 THEN 'schedule-' || n %% 40 ELSE '' END,
    CASE WHEN n %% 20011 = 2 THEN ARRAY['customer', 'customer=acme'] ELSE '{}' END
        || ARRAY['env', 'env=prod', 'team', 'team=' || n %% 12],
    CASE WHEN phase = 'Succeeded' AND n %% 4 = 0 THEN (ARRAY['approve', 'reject'])[1 + (n %% 4000 = 0)::int] END,
    CASE WHEN phase NOT IN ('Running', 'Queued') THEN (n %% 9973) / 5000.0 END
FROM (
    SELECT
        n,
        CASE
            WHEN n > %(jobs)s - %(open)s THEN (ARRAY['Running', 'Queued'])[1 + n %% 2]
            WHEN luck < 90 OR n %% 19 = 3 THEN 'Succeeded' WHEN luck < 97 THEN 'Failed'
            WHEN luck < 99 THEN 'Cancelled' ELSE 'Skipped'
        END AS phase,
        CASE
            WHEN n > %(jobs)s - %(open)s THEN (ARRAY['Claimed', 'QueueFull'])[1 + n %% 2]
            WHEN luck < 90 OR n %% 19 = 3 THEN 'Completed'
            WHEN luck < 97 AND n %% 900 = 94 THEN 'OOMKilled'
            WHEN luck < 97 THEN (ARRAY['ToolError', 'ModelError'])[1 + n %% 2]
            WHEN luck < 99 THEN 'CancelRequested' ELSE 'Duplicate'
        END AS reason
    FROM (SELECT n, (hashint4(n) & 65535) %% 100 AS luck FROM generate_series(1, %(jobs)s) AS n) AS drawn
) AS made
"""
_STARTS: Final = "INSERT INTO agentjobs.starts (uid, start, attempt, pod) SELECT uid, 1, 1, name FROM agentjobs.jobs"
_SPEND: Final = """
INSERT INTO agentjobs.model_spend (uid, attempt, calls, cost) SELECT uid, 1, 1, coalesce(cost, 0.01) FROM agentjobs.jobs
"""

FILTERS: Final[Mapping[str, JobFilter]] = {
    "all": EVERY_JOB,
    "the oldest first": JobFilter(order=JobOrder.OLDEST),
    "phase Succeeded": JobFilter(phase=("Succeeded",)),
    "phase Failed": JobFilter(phase=("Failed",)),
    "phase Running": JobFilter(phase=("Running",)),
    "Failed, ended last first": JobFilter(phase=("Failed",), order=JobOrder.ENDED),
    "reason Completed": JobFilter(reason=("Completed",)),
    "reason OOMKilled": JobFilter(reason=("OOMKilled",)),
    "reasons ToolError, ModelError": JobFilter(reason=("ToolError", "ModelError")),
    "outcome approve": JobFilter(outcome=("approve",)),
    "outcome reject": JobFilter(outcome=("reject",)),
    "queue agents": JobFilter(queue=("agents",)),
    "queue rare": JobFilter(queue=("rare",)),
    "model of half of them": JobFilter(model=("gemini-2.5-flash",)),
    "model of few": JobFilter(model=("openai/o9",)),
    "label of all": JobFilter(label=("env=prod",)),
    "label of one in 12": JobFilter(label=("team=3",)),
    "label of few": JobFilter(label=("customer=acme",)),
    "schedule": JobFilter(schedule=("schedule-5",)),
    "partition": JobFilter(partition=("customer-3",)),
    "template": JobFilter(template=("template-4",)),
    "a word of all names of a kind": JobFilter(text="triage"),
    "words of the failed": JobFilter(text="search orders failed"),
    "a word of few": JobFilter(text="pneumonia"),
    "the beginning of a word": JobFilter(text="pneu"),
    "a job's number": JobFilter(text="4711"),
    "the costliest first": JobFilter(order=JobOrder.COST),
    "cost 1.9 or more": JobFilter(min_cost=Decimal("1.9")),
    "Failed, OOMKilled, of few labels": JobFilter(phase=("Failed",), reason=("OOMKilled",), label=("customer",)),
    "nothing has it": JobFilter(queue=("none",)),
    "Failed with a word of few": JobFilter(phase=("Failed",), text="pneumonia"),
}


def fill(dsn: str, jobs: int) -> None:
    """Write so many jobs, and let the planner know them."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_JOBS, {"jobs": jobs, "open": OPEN})
        connection.execute(_STARTS)
        connection.execute(_SPEND)
        connection.execute("VACUUM ANALYZE")


async def milliseconds(reads: Reads, scope: tuple[str, ...] | None, chosen: JobFilter, cursor: str | None) -> float:
    """The median time of a page of 50, as a page of the dashboard has."""
    took = []
    for _ in range(TRIES):
        began = time.perf_counter()
        await reads.jobs(scope, chosen, limit=50, cursor=cursor)
        took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


async def late(reads: Reads, scope: tuple[str, ...] | None, chosen: JobFilter) -> str | None:
    """Return the cursor of a page far behind, None where there is no second one."""
    cursor = None
    for _ in range(LATE_PAGE // 10):
        page = await reads.jobs(scope, chosen, limit=500, cursor=cursor)
        if page.cursor is None:
            break
        cursor = page.cursor
    return cursor


async def measure(jobs: int, plans: bool) -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with EmbeddedPostgres(Path(folder)) as server:
            await asyncio.to_thread(migrate.upgrade, server.dsn)
            began = time.perf_counter()
            await asyncio.to_thread(fill, server.dsn, jobs)
            print(f"{jobs:,} jobs written in {time.perf_counter() - began:.0f} s")
            async with Database(server.dsn) as database:
                await _lists(Reads(database, cluster=CLUSTER), server.dsn, plans)
                await _writes(OperatorWrites(database, cluster=CLUSTER))
            _sizes(server.dsn)


async def _lists(reads: Reads, dsn: str, plans: bool) -> None:
    scopes: Mapping[str, tuple[str, ...] | None] = {"big": (BIG,), "small": ("n7",), "all": None}
    print(f"{'milliseconds, first/late page':36}" + "".join(f"{name:>16}" for name in scopes))
    for what, chosen in FILTERS.items():
        row = f"{what:36}"
        for scope in scopes.values():
            first, cursor = await milliseconds(reads, scope, chosen, None), await late(reads, scope, chosen)
            behind = f"{await milliseconds(reads, scope, chosen, cursor):.1f}" if cursor else "-"
            row += f"{first:9.1f} /{behind:>5}"
            if plans and first > 30:
                _explain(dsn, scope, chosen)
        print(row, flush=True)


async def _writes(history: OperatorWrites) -> None:
    await history.recorded("warm-up")
    rate = await accept_all(history, range(100_000_000, 100_002_000), AT_ONCE)
    print(f"jobs accepted, {AT_ONCE} at once {rate:8.0f} /s")
    print(f"records through the writer {await write_all(history):8.0f} /s")


def _sizes(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT indexrelname, pg_relation_size(indexrelid) / 1e6 FROM pg_stat_user_indexes WHERE relname = 'jobs'"
            " UNION ALL SELECT 'the table', pg_table_size('agentjobs.jobs') / 1e6 ORDER BY 2 DESC"
        )
        print("megabytes: " + ", ".join(f"{name} {size:.0f}" for name, size in found))


def _explain(dsn: str, scope: tuple[str, ...] | None, chosen: JobFilter) -> None:
    listing = Listing(scope, chosen, None)
    with psycopg.connect(dsn) as connection:
        asked = {"cluster": CLUSTER, "limit": 51}
        statement = listing.statement()
        for (line,) in connection.execute(f"EXPLAIN ANALYZE {statement}", {**listing.values, **asked}):
            print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--plans", action="store_true", help="tell the plans of what takes more than 30 ms")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.jobs, arguments.plans))
