-- What `retention` asks. Parameters: %(name)s.

-- name: page
-- Jobs that ended long enough ago for anything of them to go, in the order of their ends.
SELECT
    jobs.uid,
    jobs.namespace,
    jobs.name,
    coalesce(jobs.finished_at, jobs.deleted_at) AS ended,
    coalesce(coalesce(jobs.finished_at, jobs.deleted_at) < clock_timestamp() - %(keep_jobs)s::interval, FALSE)
        AS is_whole,
    EXISTS (SELECT FROM agentjobs.events WHERE events.uid = jobs.uid)
        OR EXISTS (SELECT FROM agentjobs.steps WHERE steps.uid = jobs.uid) AS has_details
FROM agentjobs.jobs
WHERE jobs.cluster = %(cluster)s
    AND (%(namespaces)s::text[] IS NULL OR jobs.namespace = ANY(%(namespaces)s::text[]))
    AND coalesce(jobs.finished_at, jobs.deleted_at) < clock_timestamp() - %(keep)s::interval
    AND (coalesce(jobs.finished_at, jobs.deleted_at), jobs.uid) > (%(after_end)s::timestamptz, %(after_uid)s)
ORDER BY coalesce(jobs.finished_at, jobs.deleted_at), jobs.uid
LIMIT %(limit)s;

-- name: delete_events
-- DELETE knows no LIMIT; its rows are chosen by their keys.
DELETE FROM agentjobs.events
WHERE (uid, start, seq) IN (
    SELECT uid, start, seq FROM agentjobs.events WHERE uid = ANY(%(uids)s) LIMIT %(batch)s
);

-- name: delete_steps
DELETE FROM agentjobs.steps
WHERE (uid, n) IN (SELECT uid, n FROM agentjobs.steps WHERE uid = ANY(%(uids)s) LIMIT %(batch)s);

-- name: delete_transitions
DELETE FROM agentjobs.transitions
WHERE (uid, transition) IN (
    SELECT uid, transition FROM agentjobs.transitions WHERE uid = ANY(%(uids)s) LIMIT %(batch)s
);

-- name: delete_starts
DELETE FROM agentjobs.starts
WHERE (uid, start) IN (SELECT uid, start FROM agentjobs.starts WHERE uid = ANY(%(uids)s) LIMIT %(batch)s);

-- name: delete_results
DELETE FROM agentjobs.results
WHERE uid IN (SELECT uid FROM agentjobs.results WHERE uid = ANY(%(uids)s) LIMIT %(batch)s);

-- name: delete_jobs
DELETE FROM agentjobs.jobs
WHERE uid IN (SELECT uid FROM agentjobs.jobs WHERE uid = ANY(%(uids)s) LIMIT %(batch)s);
