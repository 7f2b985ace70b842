"""What lists of jobs are filtered by.

The columns of jobs from before are empty, and so are most indexes, which makes them quick to build; `fill` fills them
afterwards, without a lock on the table. Code from before knows nothing of the new columns; what it writes gets those
that follow from others, and lacks labels, outcome and cost.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

revision = "0013"
down_revision = "0012"

SCHEMA = "agentjobs"
_OPEN = "deleted_at IS NULL AND finished_at IS NULL"
_ENDED = "coalesce(finished_at, deleted_at) IS NOT NULL"
_NEWEST = (sa.text("created_at DESC"), sa.text("uid DESC"))

# A trigger and not generated columns, for which the table would be written again under a lock. It does this for every
# process that writes a job, also for one that is older than this migration. `resolved` is written once, so that its
# JSON is parsed once. An older job has no model until `fill` was there, whatever is written before: that is how `fill`
# finds it. What `fill` writes is no change that open pages should show.
TOUCH = """
CREATE OR REPLACE FUNCTION agentjobs.touch_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('agentjobs.filling', true) IS DISTINCT FROM 'on' THEN
        NEW.touched := pg_current_xact_id()::text::bigint;
    END IF;
    IF TG_OP = 'INSERT' OR (OLD.resolved IS NULL AND NEW.resolved IS NOT NULL) THEN
        NEW.model := coalesce(NEW.resolved #>> '{spec,agent,model}', '');
    END IF;
    NEW.ended_phase := CASE
        WHEN NEW.finished_at IS NOT NULL THEN NEW.phase WHEN NEW.deleted_at IS NOT NULL THEN 'Deleted'
    END;
    NEW.ended_reason := NULL;
    NEW.words := NULL;
    IF NEW.ended_phase IS NOT NULL THEN
        NEW.ended_reason := NEW.reason;
        NEW.words := to_tsvector(
            'simple'::regconfig,
            regexp_replace(
                NEW.name || ' ' || NEW.reason || ' ' || left(NEW.message, 2000), '[!-/:-@[-`{-~]+', ' ', 'g'
            )
        );
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    labels: sa.Column[list[str]] = sa.Column("labels", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("jobs", labels, schema=SCHEMA)
    for name in ("outcome", "model", "ended_phase", "ended_reason"):
        op.add_column("jobs", sa.Column(name, sa.Text()), schema=SCHEMA)
    op.add_column("jobs", sa.Column("cost", sa.Numeric(20, 10)), schema=SCHEMA)
    op.add_column("jobs", sa.Column("words", TSVECTOR()), schema=SCHEMA)
    op.execute(TOUCH)
    op.drop_index("jobs_open_idx", table_name="jobs", schema=SCHEMA)
    _add_index("open", *_NEWEST, where=_OPEN)
    _add_index("queue", "queue", *_NEWEST, where="queue <> ''")
    _add_index("model", "model", *_NEWEST, where="model <> ''")
    _add_index("ended_phase", "ended_phase", *_NEWEST, where="ended_phase IS NOT NULL")
    _add_index("ended_reason", "ended_reason", *_NEWEST, where="ended_reason IS NOT NULL")
    _add_index("outcome", "outcome", *_NEWEST, where="outcome IS NOT NULL")
    _add_index("cost", sa.text("cost DESC"), sa.text("uid DESC"), where="cost IS NOT NULL")
    ended = (sa.text("coalesce(finished_at, deleted_at) DESC"), sa.text("uid DESC"))
    _add_index("ended_at", *ended, where=_ENDED)
    _add_index("unsuccessful", "ended_phase", *ended, where="ended_phase <> 'Succeeded'")
    # Of 0012, in databases of unreleased versions.
    op.drop_index("jobs_ends_idx", table_name="jobs", schema=SCHEMA, if_exists=True)
    op.create_index(
        "jobs_ends_idx",
        "jobs",
        ["cluster", "namespace", "finished_at"],
        schema=SCHEMA,
        postgresql_include=["ended_phase", "ended_reason"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index("jobs_created_idx", "jobs", ["cluster", *_NEWEST], schema=SCHEMA)
    _add_gin("labels", where="labels <> '{}'")
    _add_gin("words")
    # Room on each page for the next versions of its rows: PostgreSQL 16 and newer then do not write the indexes.
    op.execute("ALTER TABLE agentjobs.jobs SET (fillfactor = 80)")


def _add_index(name: str, *columns: str | sa.TextClause, where: str) -> None:
    op.create_index(
        f"jobs_{name}_idx",
        "jobs",
        ["cluster", "namespace", *columns],
        schema=SCHEMA,
        postgresql_where=sa.text(where),
    )


def _add_gin(column: str, where: str | None = None) -> None:
    op.create_index(
        f"jobs_{column}_idx",
        "jobs",
        [column],
        schema=SCHEMA,
        postgresql_using="gin",
        postgresql_where=None if where is None else sa.text(where),
    )
