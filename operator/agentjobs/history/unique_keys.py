"""Keys of jobs with `unique`, in PostgreSQL: decided in the transaction that accepts the job.

Acceptances with the same key are serialized by an advisory lock, so each sees the previous decision. The locks of keys
are taken first, then rows of jobs by uid, then the locks of queues. A batch without such jobs sends no query.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg.types.json import Json

from agentjobs.history.database import Connection, as_json
from agentjobs.history.equal_jobs import Decisions, Keyed
from agentjobs.history.records import Acceptance, UniqueRequest
from agentjobs.history.sanitize import clean_text
from agentjobs.history.statements import load

_SQL: Final = load("unique_keys")


async def decide(
    tx: Connection, batch: Sequence[Acceptance], jobs: Sequence[Mapping[str, Any]], *, cluster: str
) -> Decisions:
    """Decide about the jobs of a batch that have a key, and take theirs from those that are replaced.

    `jobs` are the rows of all jobs of the batch, also of those without a key.
    """
    acceptances = {
        acceptance.job.job.uid: acceptance for acceptance in reversed(batch) if acceptance.unique is not None
    }
    decisions = Decisions()
    if not acceptances:
        return decisions
    rows = [_row(acceptance, acceptance.unique) for acceptance in acceptances.values() if acceptance.unique is not None]
    names = sorted({f"unique/{cluster}/{row['namespace']}/{row['key']}" for row in rows})
    parameters = {"cluster": cluster, "uids": sorted(acceptances), "keys": as_json(rows)}
    locked = {"rows": Json(jobs, msgspec.json.encode), "batch": [job["uid"] for job in jobs]}
    await tx.execute(_SQL["lock_keys"], {"names": names})
    await tx.execute(_SQL["lock_equal_jobs"], {**parameters, **locked})
    own, others = await tx.execute(_SQL["own"], parameters), await tx.execute(_SQL["equal_jobs"], parameters)
    for row in await own.fetchall():
        decisions.remember(row.uid, row.accepted, row.duplicate_of, row.replaced_by, row.other)
    for row in await others.fetchall():
        keyed = Keyed(row.uid, row.name, row.created, row.stored, row.started, row.ended, row.phase)
        decisions.know(row.namespace, row.key, keyed)
    decisions.decide(acceptances.values())
    if replaced := [{"uid": uid, "by": by.uid} for uid, by in decisions.replaced.items()]:
        await tx.execute(_SQL["replace"], {"replaced": as_json(replaced)})
    return decisions


def _row(acceptance: Acceptance, unique: UniqueRequest) -> dict[str, Any]:
    job = acceptance.job.job
    return {
        "uid": job.uid,
        "namespace": job.namespace,
        "key": clean_text(unique.key),
        "created_at": job.created.isoformat(),
        "period": None if unique.period is None else unique.period.total_seconds(),
        "states": unique.states,
    }
