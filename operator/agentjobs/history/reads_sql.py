"""What the reads of people ask PostgreSQL, as SQLAlchemy's values. `reads` runs it.

Parameters end in an underscore, so that none has the name of a column.
"""

from typing import Final

from sqlalchemy import (
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    true,
)

from agentjobs.history.tables import events, jobs, results, starts, transitions

MAX_ROWS: Final = 500
"""Of one page, and of the starts and transitions of one job."""

SPEC = select(cast(jobs.c.resolved["spec"], Text)).where(jobs.c.uid == bindparam("uid_"))
RESULT = select(cast(results.c.result, Text)).where(results.c.uid == bindparam("uid_"))
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
