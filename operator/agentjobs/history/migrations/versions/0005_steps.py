"""The journal: recorded steps, and the run that a start belongs to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0005"
down_revision = "0004"

SCHEMA = "agentjobs"

# Bodies are read again by every later start: lz4 is some four times as fast as PostgreSQL's own compression, and packs
# nearly as well. A server may be built without it.
COMPRESSION = """
DO $do$
BEGIN
    EXECUTE 'ALTER TABLE agentjobs.steps ALTER COLUMN body SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value THEN NULL;
END
$do$
"""


def upgrade() -> None:
    op.add_column("starts", sa.Column("run", sa.Integer()), schema=SCHEMA)
    op.add_column("starts", sa.Column("versions", JSON()), schema=SCHEMA)
    op.add_column("starts", sa.Column("steps_bytes", sa.BigInteger()), schema=SCHEMA)
    op.create_table(
        "steps",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("request", JSON(), nullable=False),
        sa.Column("body", sa.Text()),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("usage", JSON()),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "n", name="steps_pkey"),
        sa.ForeignKeyConstraint(
            ["uid", "start"],
            [f"{SCHEMA}.starts.uid", f"{SCHEMA}.starts.start"],
            name="steps_uid_fkey",
            ondelete="CASCADE",
        ),
        sa.Index("steps_key_idx", "uid", "run", "key", unique=True, postgresql_where=sa.text("NOT void")),
        sa.Index("steps_void_idx", "uid", "run", "key", postgresql_where=sa.text("void")),
        schema=SCHEMA,
    )
    op.execute(COMPRESSION)
