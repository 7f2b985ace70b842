"""Fills the columns by which lists are filtered, for jobs that were written before migration 0013 added these columns.

In small transactions, because history may hold millions of jobs and must stay available. It continues where an
interrupted one stopped: a filled job has a model, which may be empty.
"""

import logging
import time
from typing import Final

from sqlalchemy import Engine, text

logger = logging.getLogger(__name__)

_BATCH: Final = 500
_LOG_SECONDS: Final = 30.0

# The trigger does not count what this transaction writes as changes of jobs.
_FILLING: Final = text("SET LOCAL agentjobs.filling = 'on'")

# A walk along the primary key, without further conditions: the planner has no statistics of the new columns.
_NEXT: Final = text("SELECT uid FROM agentjobs.jobs WHERE uid > :after ORDER BY uid LIMIT :batch")
# Locked first, in the order of all writers, so that the update reads results and costs that are not older than the row.
_LOCK: Final = text("""
SELECT uid FROM agentjobs.jobs WHERE uid = ANY(:uids) AND model IS NULL ORDER BY uid FOR NO KEY UPDATE
""")
# A trigger sets the columns that follow from others.
_FILL: Final = text("""
UPDATE agentjobs.jobs
SET model = coalesce(resolved #>> '{spec,agent,model}', ''),
    outcome = CASE
        WHEN coalesce(finished_at, deleted_at) IS NOT NULL
            THEN (SELECT result ->> 'outcome' FROM agentjobs.results WHERE results.uid = jobs.uid)
    END,
    cost = CASE
        WHEN coalesce(finished_at, deleted_at) IS NOT NULL THEN (
            SELECT least(sum(spend.cost), 9999999999)
            FROM agentjobs.model_spend AS spend
            WHERE spend.uid = jobs.uid
            HAVING count(*) > 0
        )
    END
WHERE uid = ANY(:uids)
""")


def fill_jobs(engine: Engine, batch: int = _BATCH) -> None:
    """Fill all jobs, `batch` of them in each transaction, and log twice a minute how many."""
    after, filled, logged = "", 0, time.monotonic()
    with engine.connect() as connection:
        while True:
            with connection.begin():
                uids = list(connection.execute(_NEXT, {"after": after, "batch": batch}).scalars())
                if not uids:
                    return
                if unfilled := list(connection.execute(_LOCK, {"uids": uids}).scalars()):
                    connection.execute(_FILLING)
                    connection.execute(_FILL, {"uids": unfilled})
            after, filled = uids[-1], filled + len(unfilled)
            if time.monotonic() - logged >= _LOG_SECONDS:
                logged = time.monotonic()
                logger.info("history.filling", extra={"jobs": filled})
