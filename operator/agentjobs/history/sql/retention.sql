-- The statements of `retention`. Parameters: %(name)s.

-- name: page
-- Jobs that ended so long ago that something of them is deleted, in the order of their ends.
SELECT
    jobs.uid,
    jobs.namespace,
    jobs.name,
    coalesce(jobs.finished_at, jobs.deleted_at) AS ended,
    coalesce(coalesce(jobs.finished_at, jobs.deleted_at) < clock_timestamp() - %(keep_jobs)s::interval, FALSE)
        AS is_whole,
    EXISTS (SELECT FROM agentjobs.events WHERE events.uid = jobs.uid)
        OR EXISTS (SELECT FROM agentjobs.steps WHERE steps.uid = jobs.uid)
        OR EXISTS (SELECT FROM agentjobs.model_calls AS calls WHERE calls.uid = jobs.uid AND calls.content IS NOT NULL)
        OR EXISTS (
            SELECT FROM agentjobs.notifications AS sent WHERE sent.uid = jobs.uid AND sent.sent_at IS NOT NULL
        )
        AS has_details
FROM agentjobs.jobs
WHERE jobs.cluster = %(cluster)s
    AND (%(namespaces)s::text[] IS NULL OR jobs.namespace = ANY(%(namespaces)s::text[]))
    AND coalesce(jobs.finished_at, jobs.deleted_at) < clock_timestamp() - %(keep)s::interval
    AND (coalesce(jobs.finished_at, jobs.deleted_at), jobs.uid) > (%(after_end)s::timestamptz, %(after_uid)s)
ORDER BY coalesce(jobs.finished_at, jobs.deleted_at), jobs.uid
LIMIT %(limit)s;

-- name: delete_events
-- DELETE has no LIMIT; rows are selected by their keys.
DELETE FROM agentjobs.events
WHERE (uid, start, seq) IN (
    SELECT uid, start, seq FROM agentjobs.events WHERE uid = ANY(%(uids)s) LIMIT %(batch)s
);

-- name: delete_steps
DELETE FROM agentjobs.steps
WHERE (uid, n) IN (SELECT uid, n FROM agentjobs.steps WHERE uid = ANY(%(uids)s) LIMIT %(batch)s);

-- name: delete_contents
UPDATE agentjobs.model_calls
SET content = NULL
WHERE id IN (
    SELECT id FROM agentjobs.model_calls WHERE uid = ANY(%(uids)s) AND content IS NOT NULL LIMIT %(batch)s
);

-- name: delete_sent_notifications
DELETE FROM agentjobs.notifications
WHERE (uid, sink, transition) IN (
    SELECT uid, sink, transition
    FROM agentjobs.notifications
    WHERE uid = ANY(%(uids)s) AND sent_at IS NOT NULL
    LIMIT %(batch)s
);

-- name: delete_notifications
DELETE FROM agentjobs.notifications
WHERE (uid, sink, transition) IN (
    SELECT uid, sink, transition FROM agentjobs.notifications WHERE uid = ANY(%(uids)s) LIMIT %(batch)s
);

-- name: delete_model_calls
DELETE FROM agentjobs.model_calls
WHERE id IN (SELECT id FROM agentjobs.model_calls WHERE uid = ANY(%(uids)s) LIMIT %(batch)s);

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

-- name: delete_kept_parts
-- Parts of files that no start can read any more: their job has ended, or continues in a newer run.
DELETE FROM agentjobs.kept_parts
WHERE ctid = ANY(ARRAY(
    SELECT parts.ctid
    FROM agentjobs.kept_files AS files
    JOIN agentjobs.jobs ON jobs.uid = files.uid
    JOIN agentjobs.kept_parts AS parts
        ON parts.uid = files.uid AND parts.run = files.run AND parts.name = files.name
    WHERE jobs.cluster = %(cluster)s
        AND (%(namespaces)s::text[] IS NULL OR jobs.namespace = ANY(%(namespaces)s::text[]))
        AND (
            coalesce(jobs.finished_at, jobs.deleted_at) IS NOT NULL
            OR files.run < (SELECT max(starts.run) FROM agentjobs.starts WHERE starts.uid = files.uid)
        )
    LIMIT %(batch)s
));

-- name: delete_kept_files
DELETE FROM agentjobs.kept_files
WHERE ctid = ANY(ARRAY(
    SELECT files.ctid
    FROM agentjobs.kept_files AS files
    JOIN agentjobs.jobs ON jobs.uid = files.uid
    WHERE jobs.cluster = %(cluster)s
        AND (%(namespaces)s::text[] IS NULL OR jobs.namespace = ANY(%(namespaces)s::text[]))
        AND (
            coalesce(jobs.finished_at, jobs.deleted_at) IS NOT NULL
            OR files.run < (SELECT max(starts.run) FROM agentjobs.starts WHERE starts.uid = files.uid)
        )
    LIMIT %(batch)s
));

-- name: delete_actions
-- By the age of the action, as jobs by the time since their end. A null interval keeps all.
DELETE FROM agentjobs.actions
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.actions
    WHERE cluster = %(cluster)s AND time < clock_timestamp() - %(keep_jobs)s::interval
        AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
    LIMIT %(batch)s
));

-- name: delete_model_usage
DELETE FROM agentjobs.model_usage
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.model_usage
    WHERE cluster = %(cluster)s AND day < (clock_timestamp() AT TIME ZONE 'UTC')::date - %(days)s::integer
        AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
    LIMIT %(batch)s
));

-- name: delete_queue_usage
-- The longest period of a budget is a month, and no chart of quarters of an hour is longer.
DELETE FROM agentjobs.queue_usage
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.queue_usage
    WHERE cluster = %(cluster)s
        AND slice < floor((extract(epoch FROM clock_timestamp()) - 40 * 86400) / 900)
        AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
    LIMIT %(batch)s
));

-- name: delete_queue_spend
DELETE FROM agentjobs.queue_spend
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.queue_spend
    WHERE cluster = %(cluster)s
        AND slice < floor((extract(epoch FROM clock_timestamp()) - 40 * 86400) / 900)
        AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
    LIMIT %(batch)s
));

-- name: delete_limit_slices
-- Of limits that no proxy uses any more; proxies delete those of limits they use. A slice is a day or a second.
DELETE FROM agentjobs.limit_slices
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.limit_slices
    WHERE cluster = %(cluster)s
        AND slice < CASE
            WHEN slice < 1000000 THEN extract(epoch FROM clock_timestamp()) / 86400 - 3
            ELSE extract(epoch FROM clock_timestamp()) - 2 * 86400
        END
    LIMIT %(batch)s
));

-- name: delete_queue_starts
-- Of queues that have no rate any more; queues with a rate delete theirs sooner. No period is longer than a day.
DELETE FROM agentjobs.queue_starts
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM agentjobs.queue_starts WHERE cluster = %(cluster)s AND at < clock_timestamp() - interval '1 day'
    LIMIT %(batch)s
));

-- name: delete_limit_running
DELETE FROM agentjobs.limit_running
WHERE ctid = ANY(ARRAY(
    SELECT running.ctid
    FROM agentjobs.limit_running AS running
    WHERE running.cluster = %(cluster)s
        AND running.since < clock_timestamp() - interval '1 hour'
        AND NOT EXISTS (
            SELECT FROM agentjobs.proxies
            WHERE proxies.id = running.proxy AND proxies.seen_at > clock_timestamp() - interval '1 hour'
        )
    LIMIT %(batch)s
));

-- name: delete_closed_keys
DELETE FROM agentjobs.closed_keys
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.closed_keys
    WHERE cluster = %(cluster)s AND greatest(until, probe) < clock_timestamp() - interval '1 hour'
    LIMIT %(batch)s
));

-- name: delete_exhausted_models
DELETE FROM agentjobs.exhausted_models
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.exhausted_models
    WHERE cluster = %(cluster)s AND until < clock_timestamp() - interval '1 hour'
    LIMIT %(batch)s
));

-- name: delete_proxies
DELETE FROM agentjobs.proxies
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.proxies
    WHERE cluster = %(cluster)s AND seen_at < clock_timestamp() - interval '1 hour'
    LIMIT %(batch)s
));

-- name: delete_processes
DELETE FROM agentjobs.processes
WHERE ctid = ANY(ARRAY(
    SELECT ctid
    FROM agentjobs.processes
    WHERE cluster = %(cluster)s AND seen_at < clock_timestamp() - interval '1 hour'
    LIMIT %(batch)s
));
