"""What open pages cost: streams of changes, each of which asks for its page again when it is told, as htmx does.

Half are the overview and the list of jobs, half pages of jobs that continue, and one job changes each second. All have
gzip, as browsers do. The load is another process than the dashboard, whose CPU is measured.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import psycopg

STREAMS: Final = 200
SETTLING_SECONDS: Final = 25.0
SECONDS: Final = 40.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CHANGE: Final = "UPDATE agentjobs.jobs SET changed_at = clock_timestamp(), message = %s WHERE uid = %s"
_COMMITS: Final = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
_OPEN: Final = """
SELECT namespace, uid FROM agentjobs.jobs WHERE phase = 'Running' AND finished_at IS NULL ORDER BY uid LIMIT %s
"""

Metrics = Callable[[aiohttp.ClientSession], Awaitable[dict[str, float]]]


@dataclass(slots=True)
class Seen:
    """What all open pages saw."""

    told: int = 0
    asked: int = 0
    bytes: int = 0
    refused: list[int] = field(default_factory=list)


class OpenPage:
    """A page that someone has open."""

    def __init__(self, browser: aiohttp.ClientSession, page: str, stream: str, seen: Seen) -> None:
        self._browser = browser
        self._page = page
        self._stream = stream
        self._seen = seen
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Listen, and ask again, forever."""
        asking = asyncio.create_task(self._ask())
        try:
            while True:
                async with self._browser.get(self._stream, headers={"Accept": "text/event-stream"}) as answer:
                    if answer.status != 200:
                        self._seen.refused.append(answer.status)
                    async for line in answer.content:
                        if line.startswith(b"event: change"):
                            self._seen.told += 1
                            self._wanted.set()
                await asyncio.sleep(1)
        finally:
            asking.cancel()

    async def _ask(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            async with self._browser.get(self._page, headers={"HX-Request": "true", "HX-Target": "main"}) as answer:
                self._seen.bytes += len(await answer.read())
                self._seen.asked += 1
                if answer.status != 200:
                    self._seen.refused.append(answer.status)


def cpu(pid: int) -> float:
    """Processor seconds of a process since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def live(dsn: str, pid: int, browsers: Sequence[aiohttp.ClientSession], metrics: Metrics) -> None:
    """Print what so many open pages cost."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        jobs = await (await connection.execute(_OPEN, [STREAMS // 2])).fetchall()
        seen = Seen()
        pages = []
        for number, (namespace, uid) in enumerate(jobs):
            browser = browsers[number % len(browsers)]
            address = "/" if number % 2 else "/jobs"
            pages.append(OpenPage(browser, address, "/v1/changes", seen))
            pages.append(OpenPage(browser, f"/jobs/{namespace}/{uid}", f"/v1/changes?job={namespace}/{uid}", seen))
        work = [_change(connection, [uid for _, uid in jobs]), *(page.run() for page in pages)]
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.sleep(SETTLING_SECONDS)
            await _watched(dsn, pid, browsers[0], metrics, seen, len(pages))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _change(connection: psycopg.AsyncConnection, uids: Sequence[str]) -> None:
    number = 0
    while True:
        await connection.execute(_CHANGE, [f"Change {number}", uids[number % len(uids)]])
        number += 1
        await asyncio.sleep(1)


async def _watched(
    dsn: str, pid: int, browser: aiohttp.ClientSession, metrics: Metrics, seen: Seen, pages: int
) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as watching:

        async def commits() -> int:
            return int((await (await watching.execute(_COMMITS)).fetchone() or [0])[0])

        loop = asyncio.get_running_loop()
        before, used, asked, told, volume = await metrics(browser), cpu(pid), seen.asked, seen.told, seen.bytes
        began, committed = loop.time(), await commits()
        await asyncio.sleep(SECONDS)
        seconds, after = loop.time() - began, await metrics(browser)
        share = (cpu(pid) - used) / seconds
        rate = (after["questions"] - before["questions"]) / seconds
        all_of_it = (await commits() - committed) / seconds - 1
    refreshed = (seen.asked - asked) / seconds
    print(f"{pages} open pages, one job changes a second, {seconds:.0f} s")
    print(f"  the dashboard's CPU             {100 * share:8.1f} % of a core")
    print(f"  its requests to PostgreSQL      {rate:8.1f} /s; transactions there of all processes {all_of_it:.1f} /s")
    print(f"  events; pages asked for again   {(seen.told - told) / seconds:8.1f} /s; {refreshed:.1f} /s")
    print(f"  bytes sent, compressed          {(seen.bytes - volume) / seconds / 1000:8.0f} kB/s")
    print(f"  answers other than 200          {len(seen.refused):8} {sorted(set(seen.refused))}")
