-- The namespaces that have jobs, for `reads`, `overview` and `listing`. Parameters: %(name)s.

-- name: known
-- Skips from one namespace to the next in the index, however many jobs each has.
WITH RECURSIVE known AS (
    (
        SELECT namespace FROM agentjobs.jobs WHERE cluster = %(cluster)s ORDER BY namespace LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT jobs.namespace
        FROM agentjobs.jobs
        WHERE jobs.cluster = %(cluster)s AND jobs.namespace > known.namespace
        ORDER BY jobs.namespace
        LIMIT 1
    )
    FROM known
    WHERE known.namespace IS NOT NULL
)
SELECT namespace FROM known WHERE namespace IS NOT NULL;
