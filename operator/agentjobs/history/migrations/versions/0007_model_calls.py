"""Model calls, what they cost, and the limits that the proxies share."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0007"
down_revision = "0006"

SCHEMA = "agentjobs"
_NOW = sa.text("clock_timestamp()")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in names]


def _money(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric(20, 10), server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    _add_calls()
    _add_limits()


def _add_calls() -> None:
    op.create_table(
        "proxies",
        *_texts("id", "cluster"),
        sa.Column("since", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("told", JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="proxies_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "model_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_texts("uid"),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *_texts("proxy", "step", "provider", "key", "asked", "model"),
        sa.Column("began", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("status", sa.Integer()),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=False),
        _money("reserved_cost"),
        *_counts("input", "output", "cached", "cache_written", "thinking"),
        _money("cost"),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("content", JSON()),
        sa.PrimaryKeyConstraint("id", name="model_calls_pkey"),
        sa.ForeignKeyConstraint(
            ["uid", "start"],
            [f"{SCHEMA}.starts.uid", f"{SCHEMA}.starts.start"],
            name="model_calls_uid_fkey",
            ondelete="CASCADE",
        ),
        sa.Index("model_calls_uid_step_idx", "uid", "step"),
        sa.Index("model_calls_open_idx", sa.text("(uid || '')"), postgresql_where=sa.text("ended IS NULL")),
        schema=SCHEMA,
    )
    op.create_table(
        "model_spend",
        *_texts("uid"),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        *_counts("calls", "input", "output", "cached", "cache_written", "thinking"),
        _money("cost"),
        sa.PrimaryKeyConstraint("uid", "attempt", name="model_spend_pkey"),
        sa.ForeignKeyConstraint(["uid"], [f"{SCHEMA}.jobs.uid"], name="model_spend_uid_fkey", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_table(
        "model_usage",
        *_texts("cluster"),
        sa.Column("day", sa.Date(), nullable=False),
        *_texts("namespace", "queue", "partition_key", "user_id", "provider", "model"),
        *_counts("calls", "input", "output", "cached", "cache_written", "thinking"),
        _money("cost"),
        sa.PrimaryKeyConstraint(
            "cluster",
            "day",
            "namespace",
            "queue",
            "partition_key",
            "user_id",
            "provider",
            "model",
            name="model_usage_pkey",
        ),
        schema=SCHEMA,
    )


def _add_limits() -> None:
    op.create_table(
        "limit_slices",
        *_texts("cluster", "bucket"),
        sa.Column("slice", sa.BigInteger(), autoincrement=False, nullable=False),
        *_counts("used"),
        sa.PrimaryKeyConstraint("cluster", "bucket", "slice", name="limit_slices_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "limit_running",
        sa.Column("call", sa.Uuid(), nullable=False),
        *_texts("bucket", "cluster", "proxy"),
        sa.Column("since", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("call", "bucket", name="limit_running_pkey"),
        sa.Index("limit_running_bucket_idx", "cluster", "bucket"),
        schema=SCHEMA,
    )
    op.create_table(
        "closed_keys",
        *_texts("cluster", "key", "model", "reason"),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("cluster", "key", "model", name="closed_keys_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "exhausted_models",
        *_texts("cluster", "model", "reason"),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "model", name="exhausted_models_pkey"),
        schema=SCHEMA,
    )
