"""What the operator's history asks PostgreSQL, as SQLAlchemy's values. `operator_writes` runs it.

Parameters end in an underscore, so that none has the name of a column, but for `uids` and the two pairs of `LACKING`.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from agentjobs.contract import ErrorClass
from agentjobs.history.heads import head_of
from agentjobs.history.tables import jobs, results, starts, transitions

IDENTIFY = insert(jobs).on_conflict_do_nothing()

_accepting = insert(jobs)
ACCEPT = _accepting.on_conflict_do_update(
    index_elements=[jobs.c.uid],
    set_={name: _accepting.excluded[name] for name in ("resolved", "spec_hash", "partition_key")},
    where=jobs.c.resolved.is_(None),
)
ACCEPT_NOW = _accepting.on_conflict_do_update(
    index_elements=[jobs.c.uid],
    set_={
        "resolved": func.coalesce(jobs.c.resolved, _accepting.excluded.resolved),
        "spec_hash": func.coalesce(jobs.c.spec_hash, _accepting.excluded.spec_hash),
        "partition_key": case(
            (jobs.c.resolved.is_(None), _accepting.excluded.partition_key), else_=jobs.c.partition_key
        ),
    },
).returning(jobs.c.uid, jobs.c.resolved)

_of_job = jobs.c.uid == bindparam("uid_")
_all_jobs = jobs.c.uid == func.any(bindparam("uids", type_=ARRAY(Text)))
_of_jobs_start = starts.c.uid == bindparam("uid_")

# The job's row is what serialises its starts: with it locked, "is there a newer start?" cannot change underneath.
# `ACCEPT_NOW` locks it too, because it always updates what it meets.
LOCK_ALL = select(jobs.c.uid).where(_all_jobs).order_by(jobs.c.uid).with_for_update(key_share=True)

_newer = starts.alias("newer")
_has_newer = exists(select(_newer.c.uid).where(_newer.c.uid == bindparam("uid_"), _newer.c.start > bindparam("start_")))
_starting = insert(starts).values(fenced_at=case((_has_newer, func.clock_timestamp())))
INSERT_START = _starting.on_conflict_do_update(
    index_elements=[starts.c.uid, starts.c.start],
    set_={"started_at": func.least(starts.c.started_at, _starting.excluded.started_at)},
)
FENCE_OLDER = (
    update(starts)
    .where(_of_jobs_start, starts.c.start < bindparam("start_"), starts.c.fenced_at.is_(None))
    .values(fenced_at=func.clock_timestamp())
)
_ending = insert(starts).values(fenced_at=func.clock_timestamp())
END_START = _ending.on_conflict_do_update(
    index_elements=[starts.c.uid, starts.c.start],
    set_={
        "started_at": func.least(starts.c.started_at, _ending.excluded.started_at),
        "fenced_at": func.coalesce(starts.c.fenced_at, _ending.excluded.fenced_at),
        **{name: _ending.excluded[name] for name in ("ended_at", "verdict", "reason", "charged", "message")},
    },
    where=starts.c.ended_at.is_(None),
)

INSERT_TRANSITION = insert(transitions).on_conflict_do_nothing()
# From the row that is stored, not from the record: of two records with one number the first stands, here as well.
MOVE = (
    update(jobs)
    .where(
        _of_job,
        transitions.c.uid == jobs.c.uid,
        transitions.c.transition == bindparam("transition_"),
        or_(
            jobs.c.transition.is_(None),
            tuple_(transitions.c.finished, transitions.c.transition)
            > tuple_(jobs.c.finished_at.is_not(None), jobs.c.transition),
        ),
    )
    .values(
        transition=transitions.c.transition,
        phase=transitions.c.phase,
        reason=transitions.c.reason,
        message=transitions.c.message,
        changed_at=transitions.c.time,
        finished_at=case((transitions.c.finished, transitions.c.time)),
    )
)
DELETE = (
    update(jobs)
    .where(_of_job, or_(jobs.c.deleted_at.is_(None), jobs.c.deleted_at > bindparam("time_")))
    .values(deleted_at=bindparam("time_"))
)
OPEN = (jobs.c.deleted_at.is_(None), jobs.c.finished_at.is_(None))
LOCK_OPEN = LOCK_ALL.where(*OPEN)
VANISH = update(jobs).where(_all_jobs).values(deleted_at=bindparam("time_"))
# What the operator writes of a deletion that it sees.
END_VANISHED = (
    update(starts)
    .where(starts.c.uid == func.any(bindparam("uids", type_=ARRAY(Text))), starts.c.ended_at.is_(None))
    .values(
        ended_at=bindparam("time_"),
        fenced_at=func.coalesce(starts.c.fenced_at, func.clock_timestamp()),
        verdict="Cancel",
        reason=ErrorClass.JOB_DELETED.value,
        charged=False,
        message="the job was deleted",
    )
)


def _lacking(table: Table, number: Column[int], stored: ColumnElement[bool]) -> Select[Any]:
    """Pairs of uid and number, given as two arrays, that a table has no such row for."""
    uids, numbers = (
        bindparam(f"{number.name}_uids", type_=ARRAY(Text)),
        bindparam(f"{number.name}_numbers", type_=ARRAY(Integer)),
    )
    given = func.unnest(uids, numbers).table_valued("uid", "number").render_derived(name="given")
    there = exists(select(table.c.uid).where(table.c.uid == given.c.uid, number == given.c.number, stored))
    return select(literal(number.name), given.c.uid, given.c.number).where(~there)


LACKING = union_all(
    _lacking(transitions, transitions.c.transition, true()),
    _lacking(starts, starts.c.start, starts.c.ended_at.is_not(None)),
)

RESOLVED = select(jobs.c.resolved).where(jobs.c.uid == bindparam("uid_"))
_used = (
    select(func.json_agg(starts.c.usage, type_=JSON))
    .where(starts.c.uid == jobs.c.uid, starts.c.usage.is_not(None))
    .scalar_subquery()
)
_last = starts.alias("last")
# The answer of a job's last start: final once the job has ended, if nothing else is.
_answer = (
    select(_last.c.result).where(_last.c.uid == jobs.c.uid).order_by(_last.c.start.desc()).limit(1).scalar_subquery()
)
_later = starts.alias("later")
SETTLE = (
    insert(results)
    .from_select(
        ["uid", "start", "result"],
        select(starts.c.uid, starts.c.start, starts.c.result).where(
            starts.c.uid == func.any(bindparam("uids", type_=ARRAY(Text))),
            starts.c.result.is_not(None),
            ~exists(select(_later.c.uid).where(_later.c.uid == starts.c.uid, _later.c.start > starts.c.start)),
        ),
    )
    .on_conflict_do_nothing()
)

YIELDS = (
    select(
        jobs.c.uid,
        head_of(results.c.result).label("result"),
        head_of(_answer).label("answer"),
        _used.label("used"),
    )
    .select_from(jobs.outerjoin(results, results.c.uid == jobs.c.uid))
    .where(_all_jobs)
)
SILENCE = select(func.clock_timestamp() - func.greatest(starts.c.heartbeat_at, starts.c.claimed_at)).where(
    _of_jobs_start, starts.c.start == bindparam("start_")
)
END = select(case((jobs.c.finished_at.is_not(None), jobs.c.phase), else_="Deleted")).where(
    _of_job, or_(jobs.c.finished_at.is_not(None), jobs.c.deleted_at.is_not(None))
)
