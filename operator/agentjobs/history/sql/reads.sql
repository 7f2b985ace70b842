-- What `reads` asks. Parameters: %(name)s. `/* … */` is where it adds the conditions that a caller asks for.

-- name: jobs
SELECT
    jobs.uid,
    jobs.namespace,
    jobs.name,
    CASE WHEN jobs.finished_at IS NULL AND jobs.deleted_at IS NOT NULL THEN 'Deleted' ELSE jobs.phase END AS phase,
    jobs.reason,
    jobs.message,
    jobs.created_at AS created,
    jobs.changed_at AS changed,
    jobs.finished_at AS finished,
    jobs.deleted_at AS deleted,
    jobs.schedule,
    jobs.partition_key,
    coalesce(newest.attempt, 0) AS attempts,
    coalesce(newest.start, 0) AS starts
FROM agentjobs.jobs
LEFT JOIN LATERAL (
    SELECT start, attempt FROM agentjobs.starts WHERE starts.uid = jobs.uid ORDER BY start DESC LIMIT 1
) AS newest ON TRUE
WHERE jobs.cluster = %(cluster)s AND jobs.namespace = %(namespace)s
    /* conditions */
ORDER BY jobs.created_at DESC, jobs.uid DESC
LIMIT %(limit)s;

-- name: job
-- By uid, else the newest of that name.
SELECT
    jobs.uid,
    jobs.namespace,
    jobs.name,
    CASE WHEN jobs.finished_at IS NULL AND jobs.deleted_at IS NOT NULL THEN 'Deleted' ELSE jobs.phase END AS phase,
    jobs.reason,
    jobs.message,
    jobs.created_at AS created,
    jobs.changed_at AS changed,
    jobs.finished_at AS finished,
    jobs.deleted_at AS deleted,
    jobs.schedule,
    jobs.partition_key,
    coalesce(newest.attempt, 0) AS attempts,
    coalesce(newest.start, 0) AS starts,
    jobs.spec_hash
FROM agentjobs.jobs
LEFT JOIN LATERAL (
    SELECT start, attempt FROM agentjobs.starts WHERE starts.uid = jobs.uid ORDER BY start DESC LIMIT 1
) AS newest ON TRUE
WHERE jobs.cluster = %(cluster)s AND jobs.namespace = %(namespace)s
    AND (jobs.uid = %(name_or_uid)s OR jobs.name = %(name_or_uid)s)
ORDER BY jobs.uid = %(name_or_uid)s DESC, jobs.created_at DESC, jobs.uid DESC
LIMIT 1;

-- name: starts
SELECT
    start, attempt, pod, started_at AS started, claimed_at AS claimed, heartbeat_at AS heartbeat, ended_at AS ended,
    verdict, reason, charged, message, reported, usage
FROM agentjobs.starts
WHERE uid = %(uid)s
ORDER BY start DESC
LIMIT %(limit)s;

-- name: transitions
SELECT transition, time, phase, reason, message
FROM agentjobs.transitions
WHERE uid = %(uid)s
ORDER BY transition DESC
LIMIT %(limit)s;

-- name: events
-- `before` counts the bytes of the events before; data that a page has no room for is left out.
SELECT start, seq, time, kind, author, CASE WHEN before < %(most)s THEN data END AS data, before
FROM (
    SELECT
        page.*,
        coalesce(
            sum(octet_length(data)) OVER (ORDER BY start, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS before
    FROM (
        SELECT start, seq, time, kind, author, data::text AS data
        FROM agentjobs.events
        WHERE uid = %(uid)s
            /* conditions */
        ORDER BY start, seq
        LIMIT %(limit)s
    ) AS page
) AS sized
ORDER BY start, seq;

-- name: events_newest
SELECT start, seq, time, kind, author, CASE WHEN before < %(most)s THEN data END AS data, before
FROM (
    SELECT
        page.*,
        coalesce(
            sum(octet_length(data)) OVER (
                ORDER BY start DESC, seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            0
        ) AS before
    FROM (
        SELECT start, seq, time, kind, author, data::text AS data
        FROM agentjobs.events
        WHERE uid = %(uid)s
            /* conditions */
        ORDER BY start DESC, seq DESC
        LIMIT %(limit)s
    ) AS page
) AS sized
ORDER BY start DESC, seq DESC;

-- name: steps
SELECT
    n, run, start, key, kind, agent, name, began, ended, bytes, coalesce(usage, '{}') AS usage, void,
    ended IS NOT NULL AND NOT void AND EXISTS (
        SELECT FROM agentjobs.starts AS later
        WHERE later.uid = steps.uid AND later.run = steps.run AND later.start > steps.start
    ) AS replayed
FROM agentjobs.steps
WHERE uid = %(uid)s AND n > %(after)s
    /* conditions */
ORDER BY n
LIMIT %(limit)s;

-- name: result
SELECT result::text FROM agentjobs.results WHERE uid = %(uid)s;

-- name: spec
SELECT (resolved -> 'spec')::text AS spec FROM agentjobs.jobs WHERE uid = %(uid)s;
