"""Slots of queues, in PostgreSQL: claimed in the transaction that inserts the start.

Claims of a queue are serialized by an advisory lock of its name, so that each counts the previous ones. The statements
are sent with those of the start, so a claim costs no round trip. Details of refusals are read afterwards.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import AsyncCursor

from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.records import Acceptance, Holder, NoSlot, SlotRequest
from agentjobs.history.sanitize import clean_text
from agentjobs.history.statements import load

_SQL: Final = load("slots")

LEFT_SECONDS: Final = 60
"""Age of a slot that a crashed operator may have left: four times as long as a paused leader may still write."""
_ALL: Final = 2**31 - 1


async def claim(tx: Connection, batch: Sequence[Acceptance], *, cluster: str) -> AsyncCursor[Any] | None:
    """Claim slots for the starts of a batch, in its order; the cursor has each one's answer.

        A batch has at most one start per job. Slots of starts that its claims report as ended are free for all of
        them; the
    last claim of a queue determines its limits and starts.
    """
    requests = [(n, *claimed) for n, each in enumerate(batch) if (claimed := _claim_of(each)) is not None]
    if not requests:
        return None
    claims = [claim for _, claim, _ in requests]
    queues = {(claim["namespace"], claim["queue"]): slot for _, claim, slot in requests}
    names = sorted(f"queue/{cluster}/{namespace}/{queue}" for namespace, queue in queues)
    await tx.execute(_SQL["lock_queues"], {"names": names})
    earlier = [(claim["uid"], claim["start"] - 1) for claim in claims if claim["start"] > 1]
    # Concurrent claims share this data.
    released_by_queue = {id(slot.released): slot.released for _, _, slot in requests}
    await release(tx, [*earlier, *(ended for released in released_by_queue.values() for ended in released)])
    if held := _held(queues):
        await tx.execute(_SQL["hold"], {"cluster": cluster, "held": as_json(held)})
    limits = [_limits(namespace, queue, slot) for (namespace, queue), slot in queues.items()]
    rows = [{"n": n, **claim} for n, claim, _ in requests]
    answers = await tx.execute(_SQL["claim"], {"cluster": cluster, "claims": as_json(rows), "queues": as_json(limits)})
    if rated := [each for each in limits if each["starts"] is not None]:
        await tx.execute(_SQL["forget_starts"], {"cluster": cluster, "queues": as_json(rated)})
    return answers


async def release(tx: Connection, ended: Iterable[tuple[str, int]] = (), all_of: Iterable[str] = ()) -> None:
    """Free the slots of starts that have ended, and of earlier ones of the same jobs; of the jobs `all_of` any slot.

    In one pass, in a fixed order, to avoid deadlocks with other releases.
    """
    over = [*ended, *((uid, _ALL) for uid in all_of)]
    if over:
        await tx.execute(_SQL["release"], {"ended": as_json([{"uid": uid, "start": start} for uid, start in over])})


async def refusals(
    database: Database, batch: Sequence[Acceptance], reasons: Mapping[int, Any], *, cluster: str
) -> dict[int, NoSlot]:
    """Return the details of refusals, by index in the batch."""

    async def work(connection: Connection) -> dict[int, tuple[Any, Any]]:
        found = {}
        async with connection.pipeline():
            for n, reason in reasons.items():
                question = _question(batch[n], cluster=cluster)
                room = await connection.execute(_SQL["rate_room"], question) if reason == "Rate" else None
                found[n] = await connection.execute(_SQL["holders"], question), room
        return {
            n: (await held.fetchall(), await room.fetchone() if room else None) for n, (held, room) in found.items()
        }

    found = await database.autocommit(work)
    return {
        n: NoSlot(
            batch[n].job.resolved,
            reasons[n],
            room.retry_in if room else timedelta() if reasons[n] == "Rate" else None,
            tuple(Holder(*row) for row in held),
        )
        for n, (held, room) in found.items()
    }


async def give_back(database: Database, left: Collection[tuple[str, int, datetime]]) -> None:
    """Free slots, each unless it was claimed again since it was claimed at that time."""
    rows = as_json([{"uid": uid, "start": start, "claimed": claimed.isoformat()} for uid, start, claimed in left])
    await database.run(lambda tx: tx.execute(_SQL["give_back"], {"left": rows}))


def _claim_of(acceptance: Acceptance) -> tuple[dict[str, Any], SlotRequest] | None:
    start, slot = acceptance.start, acceptance.slot
    if start is None or slot is None:
        return None
    return {
        "uid": start.job.uid,
        "start": start.start,
        "namespace": start.job.namespace,
        "queue": slot.queue,
        "partition_key": clean_text(slot.partition),
    }, slot


def _held(queues: Mapping[tuple[str, str], SlotRequest]) -> list[dict[str, Any]]:
    return [
        {"namespace": namespace, "queue": queue, "uid": uid, "start": start, "partition_key": clean_text(partition)}
        for (namespace, queue), slot in queues.items()
        for uid, start, partition in slot.held
    ]


def _limits(namespace: str, queue: str, slot: SlotRequest) -> dict[str, Any]:
    rate = slot.rate
    return {
        "namespace": namespace,
        "queue": queue,
        "most": slot.limit,
        "per_partition": slot.per_partition,
        "starts": rate.starts if rate else None,
        "period": rate.period.total_seconds() if rate else None,
        "by_partition": bool(rate and rate.by_partition),
    }


def _question(acceptance: Acceptance, *, cluster: str) -> dict[str, Any]:
    assert acceptance.slot is not None
    slot, rate = acceptance.slot, acceptance.slot.rate
    return {
        "cluster": cluster,
        "uid": acceptance.job.job.uid,
        "namespace": acceptance.job.job.namespace,
        "queue": slot.queue,
        "partition": clean_text(slot.partition) if rate and rate.by_partition else None,
        "starts": rate.starts if rate else None,
        "period": rate.period.total_seconds() if rate else None,
        "age": LEFT_SECONDS,
    }
