"""The ledger of model calls in PostgreSQL: each call is written before it is made, and its usage after its end.

A call is reserved in its own transaction, which takes one round trip and is durable: with `synchronous_commit` off, a
crashed server would lose calls that were made. Reservations of one job are serialized; nothing else waits for them.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec
from msgspec import Raw
from psycopg.types.json import Json

from agentjobs import errors
from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.model_records import MAX_CONTENT_BYTES, MISSED, EndedCall, NewCall, Reserved
from agentjobs.history.ownership import check, start_key
from agentjobs.history.sanitize import dump_json
from agentjobs.history.statements import load
from agentjobs.models.budget import Fits, Judgement, Scope, Spend
from agentjobs.models.tokens import Tokens

_SQL: Final = load("model_calls")

# Ends in one transaction: some ten milliseconds; and the bytes of their contents.
BATCH: Final = 200
BATCH_BYTES: Final = 4 * MAX_CONTENT_BYTES


class ModelCalls:
    """The model calls of one cluster's jobs, as `ModelLedger` promises.

    Args:
        cluster: uid of the namespace kube-system; only calls of its jobs can be made.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        # A job with many concurrent calls uses one connection here, not all.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def reserve(self, call: NewCall) -> Reserved:
        """Record a call before it is made, if its job's budget allows it; the same call twice is one.

        If this raises `errors.Unavailable`, or is cancelled, the call may still be recorded some seconds later.

        Raises:
            errors.NotFound, errors.Fenced: there is no such start, or it is not this pod's.
            errors.Conflict: the call has ended.
            errors.Invalid: its cost is not a number.
        """
        parameters = {**start_key(call.uid, call.start), **_reservation(call), "cluster": self._cluster}

        async def work(tx: Connection) -> Any:
            await tx.execute(_SQL["in_turn"], {"uid": call.uid})
            return await tx.execute(_SQL["reserve"], parameters)

        async with self._turns.setdefault(call.uid, asyncio.Lock()):
            row: Any = await (await self._database.run(work)).fetchone()
        if row is None:
            raise errors.NotFound(f"job {call.uid} has no start {call.start}")
        check(row.pod_uid, row.fenced_at, uid=call.uid, start=call.start, pod=call.pod_uid)
        if row.is_over:
            raise errors.Conflict(f"model call {call.id} has ended")
        return Reserved(_judgement(row), Spend(row.cost, int(row.tokens), int(row.calls)))

    async def settle(self, ends: Sequence[EndedCall]) -> None:
        """Record what calls used and cost: at the call, for its job's budget, and in the usage by day.

        Ended and unknown calls are skipped, so a batch may be repeated.

        Raises:
            errors.Invalid: the content of a call is not JSON; nothing of its batch is stored.
        """
        for batch in _batches([_end_row(end) for end in {end.id: end for end in reversed(ends)}.values()]):
            given = {"ids": [row["id"] for row in batch], "rows": Json(batch, msgspec.json.encode)}
            await self._database.run(lambda tx: tx.execute(_SQL["settle"], given))  # noqa: B023  awaited

    async def heartbeat(self, proxy: str, report: Mapping[str, Any]) -> None:
        """Record that a proxy is alive, and what people may see of it; end calls of proxies that are missed as Lost.

        Only a proxy that was alive for as long itself declares others dead: after an outage of history all would seem
        dead.
        """
        parameters = {"proxy": proxy, "cluster": self._cluster, "report": as_json(dict(report)), "missed": MISSED}

        async def note(connection: Connection) -> Any:
            return await (await connection.execute(_SQL["heartbeat"], parameters)).fetchone()

        row: Any = await self._database.autocommit(note)
        while row.is_steady:
            lost = await self._lost()
            await self.settle([EndedCall.lost(**call) for call in lost])
            if len(lost) < BATCH:
                break

    async def _lost(self) -> list[dict[str, Any]]:
        async def work(connection: Connection) -> list[dict[str, Any]]:
            parameters = {"cluster": self._cluster, "missed": MISSED, "limit": BATCH}
            return [row._asdict() for row in await (await connection.execute(_SQL["lost"], parameters)).fetchall()]

        return await self._database.autocommit(work)


def _reservation(call: NewCall) -> dict[str, Any]:
    try:
        stored = call.storable()
    except ValueError as error:
        raise errors.Invalid(str(error)) from None
    limits = stored.limits
    return {
        "id": stored.id,
        "pod": stored.pod_uid,
        "proxy": stored.proxy,
        "step": stored.step,
        "provider": stored.provider,
        "requested": stored.requested,
        "model": stored.model or stored.requested,
        "tokens": stored.tokens,
        "cost": stored.cost,
        "most_cost": limits.cost,
        "most_tokens": limits.tokens,
        "most_calls": limits.llm_calls,
        "by_attempt": limits.scope is Scope.ATTEMPT,
    }


def _judgement(row: Any) -> Judgement:
    if row.is_known or not (row.reached or row.needed):
        return Judgement(Fits.YES)
    return Judgement(Fits.NO, row.reached) if row.reached else Judgement(Fits.NOT_YET, row.needed)


def _end_row(end: EndedCall) -> dict[str, Any]:
    stored = end.storable()
    names = ("id", "outcome", "status", "provider", "key", "model", "estimated", "queue")
    return {
        **{name: getattr(stored, name) for name in names},
        **{name: getattr(stored.tokens, name) for name in Tokens.__slots__},
        "cost": None if stored.cost.is_nan() else stored.cost,
        "content": None if stored.content is None else content(stored.content),
    }


def content(given: Any) -> Raw:
    """Return the stored request and answer of a call.

    Raises:
        errors.Invalid: it is not JSON.
    """
    try:
        text = dump_json(given)
    except ValueError as error:
        raise errors.Invalid(f"the content of a model call is not JSON: {error}") from error
    raw = text if isinstance(text, bytes) else text.encode()
    return Raw(raw if len(raw) <= MAX_CONTENT_BYTES else b'{"bytes":%d}' % len(raw))


def _batches(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        if batch and (len(batch) == BATCH or size >= BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += 0 if row["content"] is None else len(memoryview(row["content"]))
    if batch:
        yield batch
