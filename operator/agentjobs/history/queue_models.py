"""Limits of queues on model calls, published by the operator, and costs of calls, published by the proxies."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import AsyncCursor

from agentjobs.history.database import Database, as_json
from agentjobs.history.model_records import SpendSince
from agentjobs.history.statements import load
from agentjobs.models.budget import Spend

_SQL: Final = load("queue_models")


class QueueModels:
    """What `QueueModels` promises, for one cluster; its methods raise `errors.Unavailable` as `Database.autocommit`."""

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster

    async def model_limits(self) -> dict[tuple[str, str], Any]:
        """Return `modelLimits` of the queues that have some."""
        rows = await (await self._run("model_limits", {})).fetchall()
        return {(namespace, queue): limits for namespace, queue, limits in rows}

    async def set_model_limits(self, queue: tuple[str, str], limits: Sequence[Mapping[str, Any]]) -> None:
        """Set a queue's `spec.modelLimits`; an empty list removes them."""
        parameters = {"namespace": queue[0], "queue": queue[1]}
        if limits:
            await self._run("set_model_limits", {**parameters, "limits": as_json(list(limits))})
        else:
            await self._run("drop_model_limits", parameters)

    async def spent(self, since: Sequence[SpendSince]) -> list[dict[str, Spend]]:
        """Return usage of each queue's calls since then, by partition."""
        rows = [
            {"n": n, "namespace": each.namespace, "queue": each.queue, "slice": each.slice}
            for n, each in enumerate(since)
        ]
        found: list[dict[str, Spend]] = [{} for _ in since]
        for n, partition, cost, tokens in await (await self._run("spent", {"rows": as_json(rows)})).fetchall():
            found[n][partition] = Spend(cost, tokens)
        return found

    async def _run(self, statement: str, parameters: Mapping[str, Any]) -> AsyncCursor[Any]:
        given = {"cluster": self._cluster, **parameters}
        return await self._database.autocommit(lambda connection: connection.execute(_SQL[statement], given))
