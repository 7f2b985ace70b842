"""What calls of models used by quarters of an hour and model; ends and starts by their time; processes that live."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

SCHEMA = "agentjobs"
_NOW = sa.text("clock_timestamp()")
_ZERO = sa.text("0")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def upgrade() -> None:
    # Not columns of `queue_spend`: a new key of it would fail what proxies of the release before write meanwhile.
    op.create_table(
        "queue_usage",
        *_texts("cluster", "namespace", "queue", "partition_key", "model"),
        sa.Column("slice", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default=_ZERO, nullable=False)
            for name in ("calls", "input", "output")
        ),
        sa.Column("cost", sa.Numeric(20, 10), server_default=_ZERO, nullable=False),
        sa.PrimaryKeyConstraint(
            "cluster", "namespace", "queue", "slice", "partition_key", "model", name="queue_usage_pkey"
        ),
        schema=SCHEMA,
    )
    op.create_index("queue_usage_slice_idx", "queue_usage", ["cluster", "slice"], schema=SCHEMA)
    op.create_index("starts_started_idx", "starts", ["started_at", "uid"], schema=SCHEMA)
    op.create_table(
        "processes",
        *_texts("id", "cluster", "kind", "version"),
        sa.Column("leads", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="processes_pkey"),
        schema=SCHEMA,
    )
