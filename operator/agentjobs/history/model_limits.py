"""The proxies' shared limits of providers' keys, in PostgreSQL.

A take is one round trip: locks, query and COMMIT are sent together. Takes with a common limit or key are serialized, so
that each sees the previous ones. Durability is not needed: a crash of the server loses only takes of its last second.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.types.json import Json

from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.model_records import (
    GRACE_SECONDS,
    MISSED,
    PROBE_SECONDS,
    WAITING,
    BucketState,
    Correction,
    Limit,
    Take,
    Taken,
)
from agentjobs.history.sanitize import clean_text
from agentjobs.history.statements import load

_SQL: Final = load("model_limits")


class ModelLimits:
    """`model_protocols.ModelLimits` for one cluster; every method raises `errors.Unavailable` as `Database.run`."""

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def take(self, proxy: str, model: str, requests: Sequence[Take], others: Sequence[Take] = ()) -> Taken:
        """Take from limits for calls in a given order: see `model_protocols.ModelLimits`."""
        every = [*requests, *others]
        limits = {limit.bucket: limit for take in every for limit, _ in take.amounts}
        calls = [take.id for take in requests]
        question = {
            "cluster": self._cluster,
            "proxy": proxy,
            "model": model,
            "requests": len(requests),
            "calls": calls,
            "probe": PROBE_SECONDS,
            "grace": GRACE_SECONDS,
            "missed": MISSED,
            "waiting": WAITING,
            **_rows(requests, others, limits.values()),
        }
        runs = any(limit.window == 0 for limit in limits.values())

        async def work(tx: Connection) -> AsyncCursor[Any]:
            await self._lock(tx, [*limits, *(take.key for take in every)])
            if runs:
                await tx.execute(_SQL["end_calls"], {"calls": calls})
            return await tx.execute(_SQL["take"], question)

        row: Any = await (await self._database.run(work)).fetchone()
        return _taken(requests, limits, row)

    async def give_back(self, amounts: Sequence[Correction], ended: Collection[UUID] = ()) -> None:
        """Correct what was taken: see `model_protocols.ModelLimits`.

        A correction may be applied twice if the connection breaks at COMMIT; the error disappears with the slice's
        window.
        """
        corrections = [{"bucket": amount.bucket, "slice": amount.slice, "amount": amount.amount} for amount in amounts]

        async def work(tx: Connection) -> None:
            if corrections:
                await self._lock(tx, {amount.bucket for amount in amounts})
                await tx.execute(_SQL["correct"], {"cluster": self._cluster, "corrections": as_json(corrections)})
            if ended:
                await tx.execute(_SQL["end_calls"], {"calls": list(ended)})

        await self._database.run(work)

    async def close(self, key: str, model: str, *, seconds: float, reason: str) -> None:
        """Let no proxy use a key, for one model or all, for this long."""
        parameters = {"key": key, "model": model, "seconds": seconds, "reason": clean_text(reason)}
        await self._run("close_key", parameters)

    async def opened(self, key: str, model: str) -> None:
        """Record that a provider accepted the first call of a closed key."""
        await self._run("open_key", {"key": key, "model": model})

    async def closed_keys(self) -> dict[tuple[str, str], float]:
        """Return for how many seconds keys are closed, by key and model (empty: all of them)."""
        rows = await (await self._run("closed_keys", {})).fetchall()
        return {(key, model): seconds for key, model, seconds in rows}

    async def exhausted(self, model: str, *, seconds: float, reason: str) -> None:
        """Record that a model cannot be called for this long; 0: it can again."""
        if seconds > 0:
            await self._run("exhaust", {"model": model, "seconds": seconds, "reason": clean_text(reason)})
        else:
            await self._run("replenish", {"model": model})

    async def exhausted_models(self) -> dict[str, datetime]:
        """Return the models that cannot be called now, and until when, by the database's clock."""
        return dict(await (await self._run("exhausted_models", {})).fetchall())

    async def _lock(self, tx: Connection, names: Iterable[str]) -> None:
        await tx.execute(_SQL["lock"], {"names": [f"{self._cluster}/{name}" for name in names]})

    async def _run(self, statement: str, parameters: Mapping[str, Any]) -> AsyncCursor[Any]:
        given = {"cluster": self._cluster, **parameters}
        return await self._database.autocommit(lambda connection: connection.execute(_SQL[statement], given))


def _rows(requests: Sequence[Take], others: Sequence[Take], limits: Iterable[Limit]) -> dict[str, Json | None]:
    """Return the rows that `take` reads: limits, amounts and keys. `n` is a request's place in the order, from 1."""
    return {
        "limits": as_json(
            [
                {"bucket": limit.bucket, "span": limit.window, "most": limit.most, "time_zone": limit.time_zone}
                for limit in limits
            ]
        ),
        "amounts": as_json(
            [
                {"n": n, "bucket": limit.bucket, "amount": amount, "most": limit.most}
                for n, take in enumerate(requests, 1)
                for limit, amount in take.amounts
            ]
        ),
        "keys": as_json(
            [{"n": n, "key": take.key} for n, take in enumerate(requests, 1)]
            + [{"n": None, "key": take.key} for take in others]
        ),
    }


def _taken(requests: Sequence[Take], limits: Mapping[str, Limit], row: Any) -> Taken:
    """Return what the row of `take` says about the requests."""
    frees: dict[str, list[tuple[float, int]]] = {}
    for bucket, seconds, used in row.frees or ():
        frees.setdefault(bucket, []).append((seconds, used))
    states = {
        bucket: BucketState(limits[bucket], number, rest, used, tuple(frees.get(bucket, ())))
        for bucket, number, rest, used in row.buckets or ()
    }
    closed: dict[str, float] = {}
    for key, seconds in row.closed or ():
        closed[key] = max(seconds, closed.get(key, 0.0))
    return Taken.after(requests[: row.granted], states, closed, frozenset(row.probes or ()))
