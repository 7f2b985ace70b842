"""Which transaction wrote the row of a job last, so that one question finds what has changed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

SCHEMA = "agentjobs"

# A trigger, so that processes that are older than this migration set it too.
TOUCH = """
CREATE FUNCTION agentjobs.touch_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.touched := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
$$
"""
TRIGGER = """
CREATE TRIGGER jobs_touched BEFORE INSERT OR UPDATE ON agentjobs.jobs
FOR EACH ROW EXECUTE FUNCTION agentjobs.touch_job()
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("touched", sa.BigInteger()), schema=SCHEMA)
    # Of ranges of pages, not of rows: every write changes the column. PostgreSQL 16 and newer then do not write the
    # other indexes of the row.
    op.create_index(
        "jobs_touched_idx",
        "jobs",
        ["touched"],
        schema=SCHEMA,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 16, "autosummarize": True},
    )
    op.execute(TOUCH)
    op.execute(TRIGGER)
