"""What sessions cost in history. `python tests/bench/sessions.py`, on the embedded PostgreSQL.

Prints what storing a job's turn takes (alone, and 16 jobs at the same time), how many bytes of PostgreSQL a turn has,
what the next job waits for its session, what an artifact of 16 MiB takes and holds, and what memory finds among 100,000
events. Figures of one machine; compare within a run only.
"""

import asyncio
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from agentjobs.contract import MAX_ARTIFACT_BYTES, Resolved
from agentjobs.history import migrate
from agentjobs.history.artifacts import Artifacts
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.history.runner_writes import RunnerWrites
from agentjobs.history.sessions import Sessions
from agentjobs.history.turns import TurnParts
from agentjobs.history.versions import CHUNK_BYTES, Piece, Saving
from devcluster.postgres import EmbeddedPostgres

JOBS = 500
AT_ONCE = 16
WORDS = 100_000
NOW = datetime.now(UTC)


def _event(text: str) -> Raw:
    """About what ADK's Event of a short answer is."""
    usage = {"promptTokenCount": 512, "candidatesTokenCount": 64, "totalTokenCount": 576}
    event = {
        "content": {"parts": [{"text": text}], "role": "model"},
        "partial": False,
        "usageMetadata": usage,
        "invocationId": "e-0b6f2a10-0000-0000-0000-000000000000",
        "author": "support",
        "actions": {"stateDelta": {}, "artifactDelta": {}, "requestedAuthConfigs": {}},
        "id": "c4b7c1f0-0000-0000-0000-000000000000",
        "timestamp": 1.8e9,
    }
    return Raw(msgspec.json.encode(event))


def _turn(number: int) -> TurnParts:
    """A question, a tool call with its answer, and an answer."""
    texts = (f"Where is order {number}?", "find_order", "In the van", f"Order {number} is in the van, " * 8)
    return TurnParts([_event(text) for text in texts], Raw(b'{"order":1}'), {}, {})


class Jobs:
    """Makes jobs that hold their first start."""

    def __init__(self, database: Database) -> None:
        self.operator = OperatorWrites(database, cluster="bench")
        self.writes = RunnerWrites(database, cluster="bench")

    async def begin(self, number: int, *, session: str | None = None, user: str = "ann") -> tuple[str, int, str]:
        key = JobKey(f"uid-{number}", "default", f"job-{number}", NOW)
        own = {"appName": "shop", "userId": user, "sessionId": session or key.uid, "mode": "Continue"}
        spec: dict[str, Any] = {"retry": {"maxAttempts": 3}, "session": own}
        record = JobRecord(key, Resolved(spec=spec, scripts={}), "0badcafe")
        await self.operator.accept(Acceptance(record, StartRecord(key, 1, 1, f"job-{number}-1", NOW)))
        await self.writes.claim(key.uid, 1, "pod", namespace="default", job=key.name)
        return key.uid, 1, "pod"


async def _timed(call: Any) -> float:
    begun = time.perf_counter()
    await call
    return 1000 * (time.perf_counter() - begun)


async def _turns(jobs: Jobs, sessions: Sessions, numbers: range, at_once: int) -> list[float]:
    runners = [(await jobs.begin(number), number) for number in numbers]
    waiting, took = iter(runners), []

    async def store_some() -> None:
        for runner, number in waiting:
            took.append(await _timed(sessions.put_turn(*runner, _turn(number))))

    await asyncio.gather(*(store_some() for _ in range(at_once)))
    return sorted(took)


async def _bytes(database: Database) -> int:
    tables = ("scopes", "turns", "turn_events")
    statement = " + ".join(f"pg_total_relation_size('agentjobs.{table}')" for table in tables)

    async def work(connection: Any) -> Any:
        return await (await connection.execute(f"SELECT {statement}")).fetchone()

    return int((await database.autocommit(work))[0])


async def _pieces() -> AsyncIterator[Piece]:
    for number in range(MAX_ARTIFACT_BYTES // CHUNK_BYTES):
        yield Piece(bytes([number]) * CHUNK_BYTES, is_last=(number + 1) * CHUNK_BYTES == MAX_ARTIFACT_BYTES)


async def _long_session(jobs: Jobs, sessions: Sessions) -> None:
    for number in range(10_000, 10_020):
        runner = await jobs.begin(number, session="long")
        events = [_event(f"Event {place} of {number}") for place in range(50)]
        await sessions.put_turn(*runner, TurnParts(events, Raw(b"{}"), {}, {}))
    runner, took = await jobs.begin(10_999, session="long"), []
    for _ in range(21):
        begun, after = time.perf_counter(), None
        while True:
            page = await sessions.session(*runner, after=after)
            if (after := page["next"]) is None:
                break
        took.append(1000 * (time.perf_counter() - begun))
    print(f"a session of 20 turns, 1,000 events {statistics.median(took):8.1f} ms")


async def _memory(jobs: Jobs, sessions: Sessions) -> None:
    for number in range(20_000, 20_000 + WORDS // 1000):
        runner = await jobs.begin(number, user="ann" if number % 10 == 0 else "bob")
        events = [_event(f"The order {number}x{place} is in the van of driver {place % 97}") for place in range(1000)]
        await sessions.put_turn(*runner, TurnParts(events, Raw(b"{}"), {}, {}))
    runner = await jobs.begin(30_000)
    for words in ("driver", "where is the order 20010x17", "zebra"):
        took = [await _timed(sessions.search(*runner, words, 10)) for _ in range(11)]
        print(f"memory of {WORDS // 10:,} of {WORDS:,} events   {statistics.median(took):8.1f} ms for {words!r}")


async def measure(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await asyncio.to_thread(migrate.upgrade, server.dsn)
        async with Database(server.dsn) as database:
            jobs, sessions = Jobs(database), Sessions(database, cluster="bench")
            artifacts = Artifacts(database, cluster="bench")
            before = await _bytes(database)
            for round_, at_once in enumerate((1, AT_ONCE)):
                took = await _turns(jobs, sessions, range(round_ * JOBS, (round_ + 1) * JOBS), at_once)
                print(f"a turn, {at_once:2} at once               {took[len(took) // 2]:8.1f} ms, p99 {took[-5]:.1f}")
            size = (await _bytes(database) - before) / (2 * JOBS)
            sent = sum(len(bytes(event)) for event in _turn(1).events)
            print(f"a turn of 4 events, {sent:,} bytes    {size:8.0f} bytes in PostgreSQL")
            empty = [await _timed(sessions.session(*await jobs.begin(9000 + number))) for number in range(101)]
            print(f"a session without turns             {statistics.median(empty):8.1f} ms, with accepting its job")
            runner = await jobs.begin(9500)
            tracemalloc.start()
            saving = Saving("film", "a", "data", "video/mp4", Raw(b"{}"))
            took_ms = await _timed(artifacts.save(*runner, saving, _pieces()))
            held = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            print(f"an artifact of 16 MiB               {took_ms:8.0f} ms, at most {held:.1f} MiB held")
            await _long_session(jobs, sessions)
            await _memory(jobs, sessions)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as name:
        asyncio.run(measure(Path(name)))
