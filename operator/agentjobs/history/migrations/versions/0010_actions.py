"""What people did through REST and dashboard."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

SCHEMA = "agentjobs"


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("impersonated_by", sa.Text()),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("namespace", "kind", "name", "uid", "action")],
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="actions_pkey"),
        schema=SCHEMA,
    )
    newest = [sa.text("time DESC"), sa.text("id DESC")]
    op.create_index("actions_time_idx", "actions", ["cluster", *newest], schema=SCHEMA)
    op.create_index("actions_namespace_idx", "actions", ["cluster", "namespace", *newest], schema=SCHEMA)
    op.create_index(
        "actions_uid_idx", "actions", ["uid", *newest], schema=SCHEMA, postgresql_where=sa.text("uid <> ''")
    )
