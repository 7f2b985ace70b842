"""The priority of waiting jobs, which may be edited.

The columns of existing jobs stay empty: they have the priority of their accepted spec, until it is edited. The same
holds for jobs that a process of the previous version accepts. Adding columns without a default locks the table for a
moment and rewrites nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer()), schema="agentjobs")
    op.add_column("jobs", sa.Column("steered_generation", sa.BigInteger()), schema="agentjobs")
