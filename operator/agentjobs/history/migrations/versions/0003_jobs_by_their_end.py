"""Which jobs ended long ago."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = "agentjobs"


def upgrade() -> None:
    op.create_index(
        "jobs_ended_idx",
        "jobs",
        ["cluster", sa.text("COALESCE(finished_at, deleted_at)"), "uid"],
        schema=SCHEMA,
    )
