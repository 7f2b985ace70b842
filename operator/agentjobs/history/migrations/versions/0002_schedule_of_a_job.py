"""Which schedule made a job."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = "agentjobs"


def upgrade() -> None:
    # A constant default costs no rewrite of the table.
    schedule = sa.Column("schedule", sa.Text(), server_default=sa.text("''"), nullable=False)
    op.add_column("jobs", schedule, schema=SCHEMA)
    op.create_index(
        "jobs_schedule_idx",
        "jobs",
        ["cluster", "namespace", "schedule", sa.text("created_at DESC"), sa.text("uid DESC")],
        schema=SCHEMA,
        postgresql_where=sa.text("schedule <> ''"),
    )
