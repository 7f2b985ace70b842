"""What the writes of runners ask PostgreSQL, as SQLAlchemy's values. `runner_writes` runs it.

Parameters end in an underscore, so that none has the name of a column.
"""

from sqlalchemy import JSON, Text, bindparam, cast, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from agentjobs.history.tables import events, jobs, results, starts

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
