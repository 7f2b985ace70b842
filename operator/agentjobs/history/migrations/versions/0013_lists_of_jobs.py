"""What lists of jobs are filtered by.

Jobs from before are filled in: the table is written anew, while nobody reads or writes it. Code from before knows
nothing of the new columns; what it writes gets those that follow from others, and lacks labels, outcome and cost.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0013"
down_revision = "0012"

SCHEMA = "agentjobs"
_OPEN = "deleted_at IS NULL AND finished_at IS NULL"
_ENDED = "coalesce(finished_at, deleted_at) IS NOT NULL"
_NEWEST = (sa.text("created_at DESC"), sa.text("uid DESC"))

# Before the table is written anew, which leaves out the rows as they were.
FILL = (
    f"""
    UPDATE agentjobs.jobs
    SET outcome = results.result ->> 'outcome'
    FROM agentjobs.results
    WHERE results.uid = jobs.uid AND {_ENDED} AND results.result ->> 'outcome' IS NOT NULL
    """,  # noqa: S608  a constant
    f"""
    UPDATE agentjobs.jobs
    SET cost = least(spent.cost, 9999999999)
    FROM (SELECT uid, sum(cost) AS cost FROM agentjobs.model_spend GROUP BY uid) AS spent
    WHERE spent.uid = jobs.uid AND {_ENDED}
    """,  # noqa: S608  a constant
)

# In one statement, or the table would be written anew for each column.
GENERATED = f"""
ALTER TABLE agentjobs.jobs
    ADD COLUMN model text GENERATED ALWAYS AS (coalesce(resolved #>> '{{spec,agent,model}}', '')) STORED,
    ADD COLUMN ended_phase text GENERATED ALWAYS AS (
        CASE WHEN finished_at IS NOT NULL THEN phase WHEN deleted_at IS NOT NULL THEN 'Deleted' END
    ) STORED,
    ADD COLUMN ended_reason text GENERATED ALWAYS AS (CASE WHEN {_ENDED} THEN reason END) STORED,
    ADD COLUMN words tsvector GENERATED ALWAYS AS (
        CASE WHEN {_ENDED} THEN to_tsvector(
            'simple'::regconfig,
            regexp_replace(
                name || ' ' || reason || ' ' || left(message, 2000), '[!-/:-@[-`{{-~]+', ' ', 'g'
            )
        ) END
    ) STORED
"""


def upgrade() -> None:
    labels: sa.Column[list[str]] = sa.Column("labels", ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    for column in (labels, sa.Column("outcome", sa.Text()), sa.Column("cost", sa.Numeric(20, 10))):
        op.add_column("jobs", column, schema=SCHEMA)
    op.drop_index("jobs_open_idx", table_name="jobs", schema=SCHEMA)
    for statement in (*FILL, GENERATED):
        op.execute(statement)
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
    op.create_index("jobs_created_idx", "jobs", ["cluster", *_NEWEST], schema=SCHEMA)
    _add_gin("labels", where="labels <> '{}'")
    _add_gin("words")
    # The planner knows nothing of new columns before.
    op.execute("ANALYZE agentjobs.jobs")


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
