"""Jobs, their starts and transitions, the events of starts, results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0001"
down_revision = None

SCHEMA = "agentjobs"


def _time(name: str, *, nullable: bool = True) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _clock(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False)


def _of_a_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["uid"], [f"{SCHEMA}.jobs.uid"], name=f"{table}_uid_fkey", ondelete="CASCADE")


def upgrade() -> None:
    _make_jobs()
    _make_starts()
    _make_what_happened()


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _time("created_at", nullable=False),
        _clock("inserted_at"),
        sa.Column("resolved", JSON()),
        sa.Column("spec_hash", sa.Text()),
        sa.Column("transition", sa.Integer()),
        sa.Column("phase", sa.Text(), server_default=sa.text("'Pending'"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("message", sa.Text(), server_default=sa.text("''"), nullable=False),
        _time("changed_at"),
        _time("finished_at"),
        _time("deleted_at"),
        sa.PrimaryKeyConstraint("uid", name="jobs_pkey"),
        schema=SCHEMA,
    )
    newest_first = [sa.text("created_at DESC"), sa.text("uid DESC")]
    op.create_index(
        "jobs_cluster_namespace_created_at_uid_idx", "jobs", ["cluster", "namespace", *newest_first], schema=SCHEMA
    )
    op.create_index(
        "jobs_cluster_namespace_name_created_at_idx",
        "jobs",
        ["cluster", "namespace", "name", sa.text("created_at DESC")],
        schema=SCHEMA,
    )
    op.create_index(
        "jobs_open_idx",
        "jobs",
        ["cluster", "namespace"],
        schema=SCHEMA,
        postgresql_where=sa.text("deleted_at IS NULL AND finished_at IS NULL"),
    )


def _make_starts() -> None:
    op.create_table(
        "starts",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("pod", sa.Text(), nullable=False),
        _time("started_at"),
        _clock("inserted_at"),
        sa.Column("pod_uid", sa.Text()),
        _time("claimed_at"),
        _time("heartbeat_at"),
        _time("fenced_at"),
        sa.Column("reported", JSON()),
        sa.Column("usage", JSON()),
        _time("ended_at"),
        sa.Column("verdict", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("charged", sa.Boolean()),
        sa.Column("message", sa.Text()),
        sa.PrimaryKeyConstraint("uid", "start", name="starts_pkey"),
        _of_a_job("starts"),
        schema=SCHEMA,
    )


def _make_what_happened() -> None:
    op.create_table(
        "transitions",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("transition", sa.Integer(), autoincrement=False, nullable=False),
        _time("time", nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "transition", name="transitions_pkey"),
        _of_a_job("transitions"),
        schema=SCHEMA,
    )
    op.create_table(
        "events",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        _time("time", nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("data", JSON(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "start", "seq", name="events_pkey"),
        sa.ForeignKeyConstraint(
            ["uid", "start"],
            [f"{SCHEMA}.starts.uid", f"{SCHEMA}.starts.start"],
            name="events_uid_fkey",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "results",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("result", JSON(), nullable=False),
        _clock("stored_at"),
        sa.PrimaryKeyConstraint("uid", name="results_pkey"),
        _of_a_job("results"),
        schema=SCHEMA,
    )
