"""Usage of a job: from its steps, as recorded by runners, and from its model calls, as recorded by the proxies.

Neither is complete: calls by the user's own code are not steps, and scripted models bypass the proxy. So the larger of
both counts is used. Only the proxies record costs.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from psycopg.types.json import Json

from agentjobs.history.database import Connection
from agentjobs.history.statements import load
from agentjobs.models.budget import NOTHING, Spend

_SQL: Final = load("spending")


async def query_spending(connection: Connection, of: Sequence[Mapping[str, Any]]) -> Any:
    """Query the usage of starts of jobs; `used` reads each row.

    Args:
        of: `uid` each, with `attempt` for that attempt alone, and with `before` only starts of lower numbers.
    """
    return await connection.execute(_SQL["spent"], {"rows": Json(of, msgspec.json.encode)})


async def count_turns(connection: Connection, of: Mapping[str, Any]) -> int:
    """Return how many turns starts of a job took, of all its runs.

    Args:
        of: `uid`, the `attempt` whose turns count or None, and `before`: only starts of lower numbers.
    """
    row = await (await connection.execute(_SQL["turns"], of)).fetchone()
    return int(row.turns) if row is not None else 0


def is_turn(request: Any, attempt: int | None = None) -> bool:
    """Whether an answer counts as a turn, by its request; with `attempt`, whether as one of that attempt."""
    return isinstance(request, Mapping) and request.get("turn") is True and attempt in (None, request.get("attempt"))


def usage(usages: Iterable[Mapping[str, int]] | None, calls: Mapping[str, int]) -> dict[str, int]:
    """Return what starts used, by the names of `contract.USAGE`.

    Args:
        usages: what the steps of each start used.
        calls: what its model calls used, by the same names.
    """
    total: dict[str, int] = {}
    for each in usages or ():
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total | {name: count for name, count in calls.items() if count > total.get(name, 0)}


def used(usage: Mapping[str, int], cost: Decimal | None) -> Spend:
    """Return a usage as budgets count it."""
    return Spend(
        cost=NOTHING if cost is None else cost,
        tokens=usage.get("inputTokens", 0) + usage.get("outputTokens", 0),
        llm_calls=usage.get("llmCalls", 0),
        tool_calls=usage.get("toolCalls", 0),
    )


def usage_of(row: Any) -> dict[str, int]:
    """Return the usage in a row: `used` of the starts, `calls`, `input` and `output` of model calls."""
    calls = {"llmCalls": int(row.calls), "inputTokens": int(row.input), "outputTokens": int(row.output)}
    return usage(row.used, calls)
