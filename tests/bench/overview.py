"""How long the numbers of the overview take. `python tests/bench/overview.py [--jobs 100000]`.

Jobs of 90 days in 20 namespaces, a tenth of them with two starts, two in a hundred still open; their usage by quarters
of an hour and by days, of 50 partitions and 5 models. Prints the shortest and the median of nine questions each, for
all namespaces and for one, on the embedded PostgreSQL. Figures of one machine; compare within a run only.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from agentjobs.history import migrate
from agentjobs.history.database import Database
from agentjobs.history.overview import Overview
from agentjobs.history.processes import Processes
from devcluster.postgres import EmbeddedPostgres

TIMES: Final = 9
FILL: Final = """
INSERT INTO agentjobs.jobs (
    uid, cluster, namespace, name, created_at, resolved, queue, partition_key, template, schedule,
    transition, phase, reason, message, changed_at, finished_at
)
SELECT
    gen_random_uuid()::text, 'bench', 'team-' || trunc(20 * random() * random()), 'job-' || n, created,
    json_build_object('spec', md5(n::text) || repeat('x', 900)), 'queue-' || n %% 3, 'customer-' || n %% 50,
    CASE WHEN n %% 3 = 0 THEN 'report' ELSE '' END, CASE WHEN n %% 5 = 0 THEN 'nightly' ELSE '' END,
    3, phase, CASE phase WHEN 'Failed' THEN 'Reason' || trunc(12 * random() * random()) ELSE phase END, 'It said so.',
    created + interval '5 minutes', CASE WHEN phase NOT IN ('Queued', 'Running') THEN created + interval '5 minutes' END
FROM (
    SELECT
        n, now() - interval '90 days' * (1 - n::float / %(jobs)s::int) AS created,
        CASE
            WHEN n > %(jobs)s::int * 0.98 THEN (ARRAY['Queued', 'Running'])[1 + n %% 2]
            ELSE (ARRAY['Succeeded', 'Succeeded', 'Succeeded', 'Failed', 'Cancelled', 'Skipped'])[1 + n %% 6]
        END AS phase
    FROM generate_series(1, %(jobs)s::int) AS n
) AS made;
INSERT INTO agentjobs.starts (uid, start, attempt, pod, started_at)
SELECT uid, start, start, name || '-' || start, created_at + start * interval '1 minute'
FROM agentjobs.jobs, generate_series(1, CASE WHEN hashtext(uid) %% 10 = 0 THEN 2 ELSE 1 END) AS start;
INSERT INTO agentjobs.queue_usage (cluster, namespace, queue, slice, partition_key, model, calls, input, output, cost)
SELECT
    'bench', 'team-' || n %% 20, 'queue-' || n %% 3, floor(extract(epoch FROM now()) / 900)::bigint - ago,
    'customer-' || n %% 50, 'model-' || n %% 5, 7, 1000, 100, 0.0123
FROM generate_series(0, 40 * 96) AS ago, generate_series(0, 29) AS step,
    LATERAL (SELECT ago * 7 + step * 11 AS n) AS mixed
ON CONFLICT DO NOTHING;
INSERT INTO agentjobs.model_usage (
    cluster, day, namespace, queue, partition_key, user_id, provider, model, calls, input, output, cost
)
SELECT
    'bench', now()::date - ago, 'team-' || n %% 20, 'queue-' || n %% 3, 'customer-' || n %% 50, 'system', 'p',
    'model-' || n %% 5, 700, 100000, 10000, 1.23
FROM generate_series(0, 399) AS ago, generate_series(0, 999) AS n
ON CONFLICT DO NOTHING;
"""
RANGES: Final = {"1 hour": 1, "1 day": 24, "7 days": 7 * 24, "24 days": 24 * 24, "90 days": 90 * 24}


async def took(ask: Callable[[], Awaitable[object]]) -> str:
    """Milliseconds of the shortest, which others disturb least, and of the median."""
    seconds = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - begun)
    seconds.sort()
    return f"{seconds[0] * 1000:8.1f} {seconds[TIMES // 2] * 1000:8.1f}"


async def measure(database: Database) -> None:
    overview, processes = Overview(database, cluster="bench"), Processes(database, cluster="bench")
    until = datetime.now(UTC)
    for places in (None, ["team-0"], ["team-19"]):
        print(f"\n{'all' if places is None else places[0]:24}  least   median, ms")
        print(f"{'open':20}{await took(lambda: overview.open_jobs(places))}")  # noqa: B023  awaited
        for name, hours in RANGES.items():
            since = until - timedelta(hours=hours)
            print(f"activity {name:11}{await took(lambda: overview.activity(since, until, places))}")  # noqa: B023  awaited
        for name, hours in RANGES.items():
            since = until - timedelta(hours=hours)
            print(f"usage {name:14}{await took(lambda: overview.usage_series('partition', since, until, places))}")  # noqa: B023  awaited
    print(f"{'database':20}{await took(processes.database)}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--no-vacuum", action="store_true", help="as between two visits of autovacuum")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="agentjobs-bench-"))
    async with contextlib.AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(EmbeddedPostgres(folder, ephemeral=True))
        migrate.upgrade(postgres.dsn)
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            for statement in FILL.split(";\n"):
                if statement.strip():
                    connection.execute(statement, {"jobs": asked.jobs}, prepare=False)
            connection.execute("ANALYZE" if asked.no_vacuum else "VACUUM ANALYZE")
        await measure(await stack.enter_async_context(Database(postgres.dsn)))


if __name__ == "__main__":
    asyncio.run(main())
