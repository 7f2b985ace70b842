"""Jobs from before 0013 are filled.

`fill` does it before this migration. Gateways of this version are not ready until then, so older jobs are found by
everything except labels.
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    # The planner has no statistics of what was filled. If the table is locked, autovacuum is about to collect them.
    op.execute("ANALYZE (SKIP_LOCKED) agentjobs.jobs")
