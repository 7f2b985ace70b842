-- The statements of `unique_keys`. Parameters: %(name)s; `keys` and `replaced` are JSON arrays of objects, one per
-- row.

-- name: lock_keys
-- Locked in a fixed order, so that two batches never deadlock.
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(%(names)s::text[]) AS name ORDER BY key) AS keys;

-- name: lock_equal_jobs
-- Creates or locks all jobs of the batch and all that may be replaced, in one pass and in the order in which all
-- statements lock jobs: see `lock_jobs`. Later statements see every start and every end that was committed before.
INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at, schedule, parent_uid)
SELECT uid, cluster, namespace, name, created_at, schedule, parent_uid
FROM (
    SELECT uid, cluster, namespace, name, created_at, schedule, parent_uid
    FROM json_to_recordset(%(rows)s)
        AS job (
            uid text, cluster text, namespace text, name text, created_at timestamptz, schedule text, parent_uid text
        )
    UNION ALL
    SELECT DISTINCT
        open.uid, open.cluster, open.namespace, open.name, open.created_at, open.schedule, open.parent_uid
    FROM json_to_recordset(%(keys)s) AS given (namespace text, key text)
    JOIN agentjobs.jobs AS open
        ON open.cluster = %(cluster)s AND open.namespace = given.namespace AND open.unique_key = given.key
        AND open.unique_key IS NOT NULL AND open.finished_at IS NULL AND open.deleted_at IS NULL
    WHERE open.uid <> ALL(%(batch)s)
) AS together
ORDER BY uid
ON CONFLICT (uid) DO UPDATE SET name = excluded.name WHERE FALSE;

-- name: own
-- Earlier decisions, with the name of the other job if history still has it.
SELECT
    own.uid,
    own.resolved IS NOT NULL AS accepted,
    own.duplicate_of,
    own.replaced_by,
    coalesce(other.name, '') AS other
FROM agentjobs.jobs AS own
LEFT JOIN agentjobs.jobs AS other
    ON other.uid = coalesce(nullif(own.duplicate_of, ''), nullif(own.replaced_by, ''))
WHERE own.uid = ANY(%(uids)s);

-- name: equal_jobs
-- For each key the jobs that have not ended, and of those that have, the newest that counts for the new job.
SELECT DISTINCT
    found.uid, found.name, found.namespace, found.unique_key AS key, found.created_at AS created,
    found.inserted_at AS stored, found.phase, found.ended,
    EXISTS (SELECT FROM agentjobs.starts WHERE starts.uid = found.uid) AS started
FROM json_to_recordset(%(keys)s)
    AS given (uid text, namespace text, key text, created_at timestamptz, period double precision, states text)
CROSS JOIN LATERAL (
    SELECT open.uid, open.name, open.namespace, open.unique_key, open.created_at,
        open.inserted_at, open.phase, FALSE AS ended
    FROM agentjobs.jobs AS open
    WHERE open.cluster = %(cluster)s AND open.namespace = given.namespace AND open.unique_key = given.key
        AND open.unique_key IS NOT NULL AND open.finished_at IS NULL AND open.deleted_at IS NULL
        AND open.uid <> given.uid
    UNION ALL
    SELECT newest.*
    FROM (
        SELECT over.uid, over.name, over.namespace, over.unique_key, over.created_at,
            over.inserted_at, over.phase, TRUE AS ended
        FROM agentjobs.jobs AS over
        WHERE over.cluster = %(cluster)s AND over.namespace = given.namespace AND over.unique_key = given.key
            AND over.unique_key IS NOT NULL AND (over.finished_at IS NOT NULL OR over.deleted_at IS NOT NULL)
            AND over.uid <> given.uid
            AND (given.states = 'All' OR (given.states = 'Successful' AND over.phase = 'Succeeded'))
            AND (
                given.period IS NULL
                OR over.created_at BETWEEN given.created_at - make_interval(secs => given.period)
                    AND given.created_at + make_interval(secs => given.period)
            )
        ORDER BY over.created_at DESC
        LIMIT 1
    ) AS newest
) AS found;

-- name: replace
-- They lose their key, so that they no longer count.
UPDATE agentjobs.jobs
SET replaced_by = given.by, unique_key = NULL
FROM json_to_recordset(%(replaced)s) AS given (uid text, by text)
WHERE jobs.uid = given.uid;
