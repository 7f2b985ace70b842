"""Slots and starts of queues, unique jobs, lineage, notifications."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0008"
down_revision = "0007"

SCHEMA = "agentjobs"
_NOW = sa.text("clock_timestamp()")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _empty(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False) for name in names]


def upgrade() -> None:
    _add_to_jobs()
    _add_slots()
    _add_limits_of_queues()
    _add_notifications()


def _add_to_jobs() -> None:
    for column in _empty("queue", "template", "parent_uid", "duplicate_of", "replaced_by"):
        op.add_column("jobs", column, schema=SCHEMA)
    op.add_column("jobs", sa.Column("unique_key", sa.Text()), schema=SCHEMA)
    op.add_column("jobs", sa.Column("notify", JSON()), schema=SCHEMA)
    op.create_index(
        "jobs_template_idx",
        "jobs",
        ["cluster", "namespace", "template", sa.text("created_at DESC"), sa.text("uid DESC")],
        schema=SCHEMA,
        postgresql_where=sa.text("template <> ''"),
    )
    op.create_index(
        "jobs_unique_key_idx",
        "jobs",
        ["cluster", "namespace", "unique_key", sa.text("created_at DESC")],
        schema=SCHEMA,
        postgresql_where=sa.text("unique_key IS NOT NULL"),
    )
    op.create_index(
        "jobs_unique_open_idx",
        "jobs",
        ["cluster", "namespace", "unique_key"],
        schema=SCHEMA,
        postgresql_where=sa.text("unique_key IS NOT NULL AND finished_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "jobs_parent_uid_idx",
        "jobs",
        ["parent_uid", "created_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("parent_uid <> ''"),
    )


def _add_slots() -> None:
    op.create_table(
        "slots",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        *_texts("cluster", "namespace", "queue", "partition_key"),
        sa.Column("claimed_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="slots_pkey"),
        sa.ForeignKeyConstraint(["uid"], [f"{SCHEMA}.jobs.uid"], name="slots_uid_fkey", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_index("slots_queue_idx", "slots", ["cluster", "namespace", "queue", "partition_key"], schema=SCHEMA)
    op.create_table(
        "queue_starts",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        *_texts("cluster", "namespace", "queue", "partition_key"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("uid", "start", name="queue_starts_pkey"),
        schema=SCHEMA,
    )
    op.create_index("queue_starts_at_idx", "queue_starts", ["cluster", "namespace", "queue", "at"], schema=SCHEMA)


def _add_limits_of_queues() -> None:
    op.create_table(
        "queue_limits",
        *_texts("cluster", "namespace", "queue"),
        sa.Column("limits", JSON(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("cluster", "namespace", "queue", name="queue_limits_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "queue_spend",
        *_texts("cluster", "namespace", "queue", "partition_key"),
        sa.Column("slice", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost", sa.Numeric(20, 10), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "namespace", "queue", "slice", "partition_key", name="queue_spend_pkey"),
        schema=SCHEMA,
    )


def _add_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("transition", sa.Integer(), nullable=False),
        *_texts("sink", "cluster", "namespace", "event"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", JSON(), nullable=False),
        sa.Column("inserted_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("given_up_at", sa.DateTime(timezone=True)),
        *_empty("error"),
        sa.PrimaryKeyConstraint("uid", "sink", "transition", name="notifications_pkey"),
        sa.ForeignKeyConstraint(["uid"], [f"{SCHEMA}.jobs.uid"], name="notifications_uid_fkey", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_index(
        "notifications_due_idx",
        "notifications",
        ["cluster", "sink", "due_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("sent_at IS NULL AND given_up_at IS NULL"),
    )
    op.create_index(
        "notifications_inserted_idx",
        "notifications",
        ["cluster", "namespace", *(sa.text(f"{name} DESC") for name in ("inserted_at", "uid", "sink", "transition"))],
        schema=SCHEMA,
    )
