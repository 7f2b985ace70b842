"""What the ledger costs a model call. `python -m tests.bench.ledger`, on the embedded PostgreSQL; with `--fsync`
it waits for the disk at each commit, as a production's does.

Reservations one after the other, of a job with a budget and none, and of one that made many calls before; batches of
ends; then reservations at the same time, of one job and of many. Figures of one machine; compare within a run only.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
from tests.integration.history.model_calls import a_call_of, the_end_of

from agentjobs.contract import Resolved
from agentjobs.history import migrate
from agentjobs.history.database import Database
from agentjobs.history.model_calls import ModelCalls
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.models.budget import Limits
from devcluster.postgres import EmbeddedPostgres

JOBS = 20
CALLS = 1000
BEFORE = 20_000
BATCH = 20
RESOLVED = Resolved(spec={"agent": {"inline": {"instruction": "x" * 2000}}, "retry": {"maxAttempts": 3}}, scripts={})
BUDGET = Limits(cost=Decimal(10**6), tokens=10**12, llm_calls=10**6)
FILL = f"""
INSERT INTO agentjobs.model_calls
    (id, uid, start, attempt, proxy, step, provider, key, asked, model, ended, outcome, reserved_tokens, reserved_cost)
SELECT gen_random_uuid(), 'job-0', 1, 1, 'proxy-a', 's' || n, 'google', 'k', 'm', 'm', now(), 'Answered', 10, 1
FROM generate_series(1, {BEFORE}) n;
"""


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await ask()
    return time.perf_counter() - begun


def shown(took: list[float]) -> str:
    took = sorted(took)
    return f"p50 {took[len(took) // 2] * 1000:.2f} ms, p99 {took[int(len(took) * 0.99)] * 1000:.2f} ms"


async def make_jobs(database: Database) -> None:
    history, runners = OperatorWrites(database, cluster="bench"), RunnerWrites(database, cluster="bench")
    for number in range(JOBS):
        key, now = JobKey(f"job-{number}", "default", f"job-{number}", datetime.now(UTC)), datetime.now(UTC)
        await history.accept(Acceptance(JobRecord(key, RESOLVED, "0"), StartRecord(key, 1, 1, f"job-{number}-1", now)))
        await runners.claim(key.uid, 1, "pod-1", namespace="default", job=key.name)


async def one_after_the_other(ledger: ModelCalls, uid: str, limits: Limits | None) -> tuple[list[float], list[float]]:
    """Return how long reservations took, and batches of ends."""
    reserving, settling = [], []
    for _ in range(CALLS // BATCH):
        calls = [a_call_of(uid, limits=limits) for _ in range(BATCH)]
        reserving += [await timed(lambda call=call: ledger.reserve(call)) for call in calls]  # type: ignore[misc]
        settling.append(await timed(lambda: ledger.settle([the_end_of(call) for call in calls])))  # noqa: B023  awaited
    return reserving, settling


async def at_once(ledger: ModelCalls, jobs: int) -> float:
    """Return how many reservations a second are made."""
    calls = [a_call_of(f"job-{number % jobs}", limits=BUDGET) for number in range(2 * CALLS)]
    return len(calls) / await timed(lambda: asyncio.gather(*(ledger.reserve(call) for call in calls)))


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        await measure(Path(folder))


async def measure(folder: Path) -> None:
    async with EmbeddedPostgres(folder, fsync="--fsync" in sys.argv) as postgres:
        migrate.upgrade(postgres.dsn)
        async with Database(postgres.dsn) as database:
            await make_jobs(database)
            ledger = ModelCalls(database, cluster="bench")
            await one_after_the_other(ledger, "job-3", BUDGET)  # prepares the statements
            for told, uid, limits in (
                ("no budget", "job-1", None),
                ("a budget", "job-2", BUDGET),
                (f"{BEFORE:,} calls before", "job-0", BUDGET),
            ):
                if uid == "job-0":
                    with psycopg.connect(postgres.dsn) as connection:
                        connection.execute(FILL)
                reserving, settling = await one_after_the_other(ledger, uid, limits)
                print(f"{told}: a reservation {shown(reserving)}; {BATCH} ends {shown(settling)}")
            for jobs in (1, JOBS):
                print(f"at once, of {jobs} jobs: {await at_once(ledger, jobs):,.0f} reservations a second")


if __name__ == "__main__":
    asyncio.run(main())
