"""The journal of steps in PostgreSQL, read and appended by runners.

The rules are in `steps`; this module reads and writes rows. Bodies are JSON text that is not parsed here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from agentjobs.contract import StepsBody, StepsPage
from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.entries import total_usage
from agentjobs.history.fence import Fence
from agentjobs.history.ownership import start_key
from agentjobs.history.statements import load
from agentjobs.history.steps import (
    MAX_PAGE_BYTES,
    Appended,
    StepRow,
    append,
    check_run,
    keys_of,
    page_of_steps,
    recorded,
)

_SQL: Final = load("journal")

# Columns that are written unchanged; usage and body are converted.
_COLUMNS: Final = ("n", "run", "start", "key", "kind", "agent", "name", "began", "ended", "request", "bytes", "void")
_KNOWN: Final = ("n", "start", "key", "kind", "began", "ended", "bytes", "void")


class Journal:
    """The journal for runners."""

    def __init__(self, database: Database, fence: Fence) -> None:
        self._database = database
        self._fence = fence

    async def read(self, uid: str, start: int, pod_uid: str, *, after: int, limit: int) -> StepsPage:
        """Return a page of the steps of a start's run, as `RunnerHistory.read_steps`."""
        parameters = {**start_key(uid, start), "after": after, "limit": limit + 1, "most": MAX_PAGE_BYTES}

        async def work(connection: Connection) -> list[Any]:
            async with connection.pipeline():
                state = await self._fence.state(connection, uid, start)
                page = await connection.execute(_SQL["page"], parameters)
            self._fence.check(await state.fetchone(), uid, start, pod_uid)
            return await page.fetchall()

        rows = await self._database.autocommit(work)
        steps = [recorded(_read(row)) for row in rows[:limit] if row.before < MAX_PAGE_BYTES]
        return page_of_steps(steps, more=len(steps) < len(rows))

    async def append(self, uid: str, start: int, pod_uid: str, body: StepsBody) -> Appended:
        """Record steps, as `RunnerHistory.append_steps`, in two round trips."""
        parameters = {**start_key(uid, start), "run": body["run"], "keys": keys_of(body)}
        async with self._fence.querying(uid, start, pod_uid, _SQL["look"], parameters) as (tx, answer):
            rows: list[Any] = await answer.fetchall()
            head = rows[0]
            check_run(body["run"], start=start, of_start=head.of_start)
            known = [_known(row, body["run"]) for row in rows if row.n is not None]
            changes = append(body, known, start=start, last=head.last, stored=head.stored)
            await _store(tx, parameters, changes, head, None if head.has_versions else body.get("versions"))
        return changes


async def _store(tx: Connection, parameters: Mapping[str, Any], changes: Appended, head: Any, versions: Any) -> None:
    """Store what changed, and the usage in the start's row, whose current values are in `head`."""
    used = total_usage([head.used or {}, changes.usage]) if changes.usage else None
    noted = {**parameters, "versions": as_json(versions), "usage": as_json(used), "bytes": changes.bytes}
    statements = [(name, rows) for name, rows in (("change", changes.changed), ("insert", changes.inserted)) if rows]
    if not statements and (versions is not None or head.of_start != parameters["run"]):
        await tx.execute(_SQL["note"], noted)
    for name, rows in statements:
        await tx.execute(_SQL[name], {**noted, **_given(rows)})
        noted["bytes"] = 0


def _given(rows: Sequence[StepRow]) -> dict[str, Any]:
    """Return rows as parameters: their bodies apart, in one piece."""
    bodies, entries, at = [], [], 1
    for row in rows:
        size = None if row.body is None else len(memoryview(row.body))
        columns = {name: getattr(row, name) for name in _COLUMNS}
        entries.append({**columns, "usage": row.usage or None, "at": at, "size": size})
        if row.body is not None:
            bodies.append(memoryview(row.body))
            at += size or 0
    return {"rows": as_json(Raw(msgspec.json.encode(entries))), "bodies": b"".join(bodies)}


def _known(row: Any, run: int) -> StepRow:
    found = {name: getattr(row, name) for name in _KNOWN}
    return StepRow(**found, run=run, usage=row.usage or {})


def _read(row: Any) -> StepRow:
    found = row._asdict()
    del found["before"]
    texts = {name: None if found[name] is None else Raw(found[name].encode()) for name in ("request", "body")}
    return StepRow(**found | texts, usage={})
