"""What was published of a job's workspace, and files that starts keep for later ones."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON

revision = "0009"
down_revision = "0008"

SCHEMA = "agentjobs"

# As of the bodies of steps: lz4, where the server was built with it.
COMPRESSION = """
DO $do$
BEGIN
    EXECUTE 'ALTER TABLE agentjobs.kept_parts ALTER COLUMN data SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value THEN NULL;
END
$do$
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("workspace", JSON()), schema=SCHEMA)
    op.create_table(
        "kept_files",
        *_names(),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("write", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "run", "name", name="kept_files_pkey"),
        sa.ForeignKeyConstraint(["uid"], [f"{SCHEMA}.jobs.uid"], name="kept_files_uid_fkey", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_table(
        "kept_parts",
        *_names(),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "run", "name", "at", name="kept_parts_pkey"),
        sa.ForeignKeyConstraint(
            ["uid", "run", "name"],
            [f"{SCHEMA}.kept_files.{column}" for column in ("uid", "run", "name")],
            name="kept_parts_uid_fkey",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.execute(COMPRESSION)


def _names() -> list[sa.Column[object]]:
    return [
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
    ]
