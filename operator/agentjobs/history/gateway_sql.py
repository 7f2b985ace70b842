"""What the gateway's history asks PostgreSQL, as SQLAlchemy's values. `gateway_history` runs it.

Parameters end in an underscore, so that none has the name of a column.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from agentjobs.history.tables import events, jobs, results, starts, transitions

MAX_ROWS: Final = 500
"""Of one page, and of the starts and transitions of one job."""

_this_start = (starts.c.uid == bindparam("uid_"), starts.c.start == bindparam("start_"))
FENCE = select(starts.c.pod_uid, starts.c.fenced_at, starts.c.attempt).where(*_this_start)
LOCK_START = FENCE.with_for_update()
# Whatever a pod writes is a sign of life.
PASS = (
    update(starts)
    .where(*_this_start, starts.c.pod_uid == bindparam("pod_uid_"), starts.c.fenced_at.is_(None))
    .values(heartbeat_at=func.clock_timestamp())
    .returning(starts.c.usage)
)
# One body of a start at a time, whichever gateway has it: a second would hold a connection for as long as it waits.
# Not by the row's lock, which heartbeats and the operator take as well. As a subquery it is asked before the row is.
PASS_ALONE = PASS.where(
    select(
        func.pg_try_advisory_xact_lock(func.hashtextextended(bindparam("uid_"), bindparam("start_")))
    ).scalar_subquery()
)
CLAIM = update(starts).where(*_this_start).values(pod_uid=bindparam("pod_uid_"), claimed_at=func.clock_timestamp())
# Its first word stays: a runner that repeats itself says the same.
REPORT = (
    update(starts)
    .where(*_this_start, starts.c.reported.is_(None))
    .values(
        reported=bindparam("reported_"),
        usage=func.coalesce(starts.c.usage, bindparam("usage_", type_=starts.c.usage.type)),
    )
)
USE = update(starts).where(*_this_start).values(usage=bindparam("usage_"))
# All rows in one value: two thousand of them, one by one, hold up the loop for longer than the database.
INSERT_EVENTS = text(
    f"""
    INSERT INTO {events.fullname} (uid, start, seq, time, kind, author, data)
    SELECT :uid_, :start_, seq, time, kind, author, data
    FROM json_to_recordset(:rows_) AS given (seq bigint, time timestamptz, kind text, author text, data json)
    ON CONFLICT DO NOTHING RETURNING seq
    """  # noqa: S608  the name of our own table
).bindparams(bindparam("rows_", type_=JSON))
INSERT_RESULT = insert(results).on_conflict_do_nothing()
KEEP_ANSWER = update(starts).where(*_this_start, starts.c.result.is_(None)).values(result=bindparam("result_"))
# Of a job that may go on at all.
POLICY = select(jobs.c.resolved[("spec", "resultPolicy")]).where(
    jobs.c.uid == bindparam("uid_"), jobs.c.finished_at.is_(None), jobs.c.deleted_at.is_(None)
)
SPEC = select(cast(jobs.c.resolved["spec"], Text)).where(jobs.c.uid == bindparam("uid_"))
RESULT = select(cast(results.c.result, Text)).where(results.c.uid == bindparam("uid_"))
WORK = (
    select(
        cast(jobs.c.resolved, Text).label("resolved"),
        jobs.c.resolved[("spec", "retry", "maxAttempts")].as_integer().label("max_attempts"),
        cast(results.c.result, Text).label("result"),
    )
    .select_from(jobs.outerjoin(results, results.c.uid == jobs.c.uid))
    .where(
        jobs.c.uid == bindparam("uid_"),
        jobs.c.cluster == bindparam("cluster_"),
        jobs.c.namespace == bindparam("namespace_"),
        jobs.c.name == bindparam("name_"),
    )
)

# In these words, or the planner cannot see that the index of schedules fits.
HAS_SCHEDULE = jobs.c.schedule != literal_column("''")
HAS_PARTITION = jobs.c.partition_key != literal_column("''")
_newest = (
    select(starts.c.start.label("starts"), starts.c.attempt.label("attempts"))
    .where(starts.c.uid == jobs.c.uid)
    .order_by(starts.c.start.desc())
    .limit(1)
    .lateral("newest")
)
_vanished = jobs.c.finished_at.is_(None) & jobs.c.deleted_at.is_not(None)
_job_columns = (
    jobs.c.uid,
    jobs.c.namespace,
    jobs.c.name,
    case((_vanished, "Deleted"), else_=jobs.c.phase).label("phase"),
    jobs.c.reason,
    jobs.c.message,
    jobs.c.created_at.label("created"),
    jobs.c.changed_at.label("changed"),
    jobs.c.finished_at.label("finished"),
    jobs.c.deleted_at.label("deleted"),
    jobs.c.schedule,
    jobs.c.partition_key,
    func.coalesce(_newest.c.attempts, 0).label("attempts"),
    func.coalesce(_newest.c.starts, 0).label("starts"),
)
_with_newest = jobs.outerjoin(_newest, true())
JOBS = select(*_job_columns).select_from(_with_newest).order_by(jobs.c.created_at.desc(), jobs.c.uid.desc())
DETAIL = select(*_job_columns, jobs.c.spec_hash).select_from(_with_newest)

STARTS = (
    select(
        starts.c.start,
        starts.c.attempt,
        starts.c.pod,
        starts.c.started_at.label("started"),
        starts.c.claimed_at.label("claimed"),
        starts.c.heartbeat_at.label("heartbeat"),
        starts.c.ended_at.label("ended"),
        starts.c.verdict,
        starts.c.reason,
        starts.c.charged,
        starts.c.message,
        starts.c.reported,
        starts.c.usage,
    )
    .where(starts.c.uid == bindparam("uid_"))
    .order_by(starts.c.start.desc())
    .limit(MAX_ROWS)
)
TRANSITIONS = (
    select(
        transitions.c.transition,
        transitions.c.time,
        transitions.c.phase,
        transitions.c.reason,
        transitions.c.message,
    )
    .where(transitions.c.uid == bindparam("uid_"))
    .order_by(transitions.c.transition.desc())
    .limit(MAX_ROWS)
)
EVENTS = select(
    events.c.start,
    events.c.seq,
    events.c.time,
    events.c.kind,
    events.c.author,
    cast(events.c.data, Text).label("data"),
).where(events.c.uid == bindparam("uid_"))
