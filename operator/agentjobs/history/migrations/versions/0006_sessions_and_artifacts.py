"""Sessions, turn by turn, with state, artifacts and what memory finds."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, TSVECTOR

revision = "0006"
down_revision = "0005"

SCHEMA = "agentjobs"


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()"))


def _scope(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["scope"], [f"{SCHEMA}.scopes.id"], name=f"{table}_scope_fkey")


def upgrade() -> None:
    _add_scopes()
    _add_turns()
    _add_states()
    _add_artifacts()


def _add_scopes() -> None:
    op.create_table(
        "scopes",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("cluster", "namespace", "app", "user_id")),
        sa.Column("session_id", sa.Text(), nullable=False),
        _time("created_at"),
        _time("used_at"),
        sa.Column("artifacts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("artifact_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="scopes_pkey"),
        sa.UniqueConstraint("cluster", "namespace", "user_id", "app", "session_id", name="scopes_names_key"),
        schema=SCHEMA,
    )
    newest = [sa.text("used_at DESC"), sa.text("id DESC")]
    op.create_index("scopes_used_idx", "scopes", ["cluster", "namespace", *newest], schema=SCHEMA)


def _add_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        _time("stored_at"),
        sa.Column("state", JSON(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="turns_pkey"),
        sa.UniqueConstraint("scope", "number", name="turns_place_key"),
        _scope("turns"),
        schema=SCHEMA,
    )
    op.create_table(
        "turn_events",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", JSON(), nullable=False),
        sa.Column("words", TSVECTOR()),
        sa.PrimaryKeyConstraint("uid", "n", name="turn_events_pkey"),
        sa.ForeignKeyConstraint(["uid"], [f"{SCHEMA}.turns.uid"], name="turn_events_uid_fkey", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_index("turn_events_words_idx", "turn_events", ["words"], schema=SCHEMA, postgresql_using="gin")


def _add_states() -> None:
    op.create_table(
        "states",
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("value", JSON(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name="states_pkey"),
        _scope("states"),
        schema=SCHEMA,
    )


def _add_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("save", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("uid", "kind", "mime")),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("metadata", JSON(), nullable=False),
        _time("stored_at"),
        sa.PrimaryKeyConstraint("scope", "name", "version", name="artifacts_pkey"),
        sa.UniqueConstraint("scope", "name", "save", name="artifacts_save_key"),
        sa.UniqueConstraint("id", name="artifacts_id_key"),
        _scope("artifacts"),
        schema=SCHEMA,
    )
    op.create_table(
        "artifact_chunks",
        sa.Column("artifact", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        _time("stored_at"),
        sa.PrimaryKeyConstraint("artifact", "n", name="artifact_chunks_pkey"),
        schema=SCHEMA,
    )
