"""How fast history takes what the operator writes. `python tests/bench/history.py`, on the embedded PostgreSQL.

Prints accepted jobs a second (each with its first start and its slot, one at a time and 16 at the same time), records a
second through the writer, the CPU that this process spends on one job's history as operator and as gateway, and what
the embedded server and the migration cost at start. Figures of one machine; compare within a run only.
"""

import asyncio
import contextlib
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentjobs.contract import Resolved, Result, ResultDocument, TimelineEntry
from agentjobs.core.queues.policy import Rate
from agentjobs.history import migrate
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.reads import Reads
from agentjobs.history.records import (
    Acceptance,
    Accepted,
    JobKey,
    JobRecord,
    SlotRequest,
    StartEnd,
    StartRecord,
    TransitionRecord,
)
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.writer import HistoryWriter
from devcluster.postgres import EmbeddedPostgres

JOBS = 1000
HELD = 50
AT_ONCE = 16
NOW = datetime.now(UTC)
# About the size of a job with a tool and a page of instructions.
RESOLVED = Resolved(spec={"agent": {"inline": {"instruction": "x" * 2000}}, "retry": {"maxAttempts": 3}}, scripts={})

RESULT = ResultDocument(
    verdict="Succeed",
    reason="Done",
    message="",
    delaySeconds=None,
    result=Result(text="z" * 500, structured=None, usage={"llmCalls": 2}),
)


def a_job(number: int) -> JobRecord:
    return JobRecord(JobKey(f"uid-{number}", "default", f"job-{number}", NOW), RESOLVED, "0badcafe")


def a_start(number: int) -> StartRecord:
    return StartRecord(a_job(number).job, 1, 1, f"job-{number}-1", NOW)


def put_end(writer: HistoryWriter, number: int) -> None:
    """Put the records of a job that has run and ended."""
    job = a_job(number).job
    for transition, phase in enumerate(("Queued", "Running", "Succeeded"), 1):
        writer.put(TransitionRecord(job, transition, NOW, phase, "Because", "", phase == "Succeeded"))
    writer.put(StartEnd(job, 1, 1, f"job-{number}-1", NOW, NOW, "Succeed", "Done", True))


def an_event(seq: int) -> TimelineEntry:
    return TimelineEntry(
        seq=seq, time=NOW.isoformat(), kind="model", author="agent", data={"text": "y" * 300}, usage={"llmCalls": 1}
    )


async def accept_all(history: OperatorWrites, numbers: range, at_once: int, rate: Rate | None = None) -> float:
    """Each with its start and its slot; of 50 slots, the oldest is free for each further start."""
    waiting = iter(numbers)

    async def accept_some() -> None:
        for number in waiting:
            ended = ((f"uid-{number - HELD}", 1),) if number - HELD in numbers else ()
            slot = SlotRequest(f"queue-{numbers.start}", "", 10 * HELD, rate=rate, released=ended)
            answer = await history.accept(Acceptance(a_job(number), a_start(number), slot))
            assert isinstance(answer, Accepted), answer

    begun = time.perf_counter()
    await asyncio.gather(*(accept_some() for _ in range(at_once)))
    return len(numbers) / (time.perf_counter() - begun)


async def write_all(history: OperatorWrites) -> float:
    writer = HistoryWriter(history)
    task = asyncio.create_task(writer.run())
    begun = time.perf_counter()
    for number in range(JOBS):
        put_end(writer, number)
    assert await writer.flush(60)
    rate = 4 * JOBS / (time.perf_counter() - begun)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return rate


async def operator_cpu(history: OperatorWrites, numbers: range, at_once: int) -> float:
    """Milliseconds of CPU a job: it is accepted, four records of it are written, its outcome is read."""
    waiting = iter(numbers)
    writer = HistoryWriter(history)
    task = asyncio.create_task(writer.run())

    async def run_some() -> None:
        for number in waiting:
            slot = SlotRequest("agents", "", 10 * JOBS)
            await history.accept(Acceptance(a_job(number), a_start(number), slot))
            put_end(writer, number)
            await history.final_result(f"uid-{number}")

    begun = time.process_time()
    await asyncio.gather(*(run_some() for _ in range(at_once)))
    assert await writer.flush(60)
    spent = time.process_time() - begun
    task.cancel()
    await asyncio.wait([task])
    return 1000 * spent / len(numbers)


async def gateway_cpu(history: OperatorWrites, gateway: RunnerWrites, numbers: range, at_once: int) -> float:
    """Milliseconds of CPU a job: a claim, two bodies of events, three heartbeats and a result."""
    await accept_all(history, numbers, AT_ONCE)
    waiting = iter(numbers)

    async def run_some() -> None:
        for number in waiting:
            uid, pod = f"uid-{number}", f"pod-{number}"
            await gateway.claim(uid, 1, pod, namespace="default", job=f"job-{number}")
            for body in range(2):
                await gateway.add_events(uid, 1, pod, [an_event(2 * body + entry) for entry in (1, 2)])
            for _ in range(3):
                await gateway.heartbeat(uid, 1, pod)
            await gateway.put_result(uid, 1, pod, RESULT)

    begun = time.process_time()
    await asyncio.gather(*(run_some() for _ in range(at_once)))
    return 1000 * (time.process_time() - begun) / len(numbers)


async def median_page(gateway: Reads) -> float:
    times = []
    for _ in range(21):
        begun = time.perf_counter()
        await gateway.jobs(("default",), limit=100)
        times.append(time.perf_counter() - begun)
    return sorted(times)[10]


async def measure(folder: Path) -> None:
    begun = time.perf_counter()
    server = EmbeddedPostgres(folder)
    async with server:
        started = time.perf_counter()
        await asyncio.to_thread(migrate.upgrade, server.dsn)
        migrated = time.perf_counter()
        await server.stop()
        stopped = time.perf_counter()
        await server.start()
        print(f"embedded PostgreSQL, first start   {1000 * (started - begun):8.0f} ms")
        print(f"embedded PostgreSQL, later starts  {1000 * (time.perf_counter() - stopped):8.0f} ms")
        print(f"first migration, with imports      {1000 * (migrated - started):8.0f} ms")
        async with Database(server.dsn) as database:
            history = OperatorWrites(database, cluster="bench")
            gateway, reads = RunnerWrites(database, cluster="bench"), Reads(database, cluster="bench")
            await history.recorded("warm-up")
            print(f"jobs accepted, one at a time       {await accept_all(history, range(JOBS), 1):8.0f} /s")
            rate = await accept_all(history, range(JOBS, 2 * JOBS), AT_ONCE)
            print(f"jobs accepted, {AT_ONCE} at once          {rate:8.0f} /s")
            rate = await accept_all(history, range(10 * JOBS, 11 * JOBS), AT_ONCE, Rate(JOBS, timedelta(hours=1)))
            print(f"the same, of a queue with a rate   {rate:8.0f} /s")
            print(f"records through the writer         {await write_all(history):8.0f} /s")
            for at_once in (1, AT_ONCE):
                numbers = range((2 + at_once) * JOBS, (2 + at_once) * JOBS + JOBS)
                spent = await operator_cpu(history, numbers, at_once)
                print(f"operator's CPU a job, {at_once:2} at once    {spent:8.2f} ms")
                numbers = range(numbers.stop, numbers.stop + JOBS)
                spent = await gateway_cpu(history, gateway, numbers, at_once)
                print(f"gateway's CPU a job, {at_once:2} at once     {spent:8.2f} ms")
            print(f"a page of 100 of {2 * JOBS} jobs         {1000 * await median_page(reads):8.1f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as name:
        asyncio.run(measure(Path(name)))
