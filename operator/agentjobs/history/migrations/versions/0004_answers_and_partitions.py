"""Answers that are not final yet, and the partition of a job."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0004"
down_revision = "0003"

SCHEMA = "agentjobs"


def upgrade() -> None:
    op.add_column("starts", sa.Column("result", JSON()), schema=SCHEMA)
    # A constant default costs no rewrite of the table.
    partition = sa.Column("partition_key", sa.Text(), server_default=sa.text("''"), nullable=False)
    op.add_column("jobs", partition, schema=SCHEMA)
    op.create_index(
        "jobs_partition_key_idx",
        "jobs",
        ["cluster", "namespace", "partition_key", sa.text("created_at DESC"), sa.text("uid DESC")],
        schema=SCHEMA,
        postgresql_where=sa.text("partition_key <> ''"),
    )
