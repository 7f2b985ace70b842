-- The statements of `changes`. Parameters: %(name)s.

-- name: mark
SELECT pg_current_snapshot()::text AS mark;

-- name: jobs
-- Rows that are visible now and were not at the mark, however late their transactions committed: `touched` is the
-- transaction that last wrote the row. If a dump was restored in another database, rows may have transaction ids that
-- are still in the future there; they are ignored. There is always one row, which has the next mark.
WITH present AS (
    SELECT pg_current_snapshot() AS mark
), changed AS (
    SELECT jobs.uid, jobs.namespace, jobs.name, jobs.touched
    FROM agentjobs.jobs
    WHERE jobs.cluster = %(cluster)s
        AND jobs.touched >= pg_snapshot_xmin(%(mark)s::pg_snapshot)::text::bigint
        AND jobs.touched < pg_snapshot_xmax((SELECT mark FROM present))::text::bigint
        AND NOT pg_visible_in_snapshot(jobs.touched::text::xid8, %(mark)s::pg_snapshot)
    ORDER BY jobs.touched DESC
    LIMIT %(limit)s
)
SELECT present.mark::text AS mark, changed.uid, changed.namespace, changed.name
FROM present LEFT JOIN changed ON TRUE
ORDER BY changed.touched DESC;

-- name: progress
-- The progress of each job as one text, which differs if anything of its newest start does.
SELECT
    requested.uid,
    concat_ws(
        ' ', newest.start, newest.claimed_at, newest.heartbeat_at, newest.steps_bytes, newest.ended_at,
        (SELECT max(n) FROM agentjobs.steps WHERE steps.uid = requested.uid),
        (SELECT max(seq) FROM agentjobs.events WHERE events.uid = requested.uid AND events.start = newest.start)
    ) AS progress
FROM unnest(%(uids)s::text[]) AS requested (uid)
CROSS JOIN LATERAL (
    SELECT starts.start, starts.claimed_at, starts.heartbeat_at, starts.steps_bytes, starts.ended_at
    FROM agentjobs.starts
    WHERE starts.uid = requested.uid
    ORDER BY starts.start DESC
    LIMIT 1
) AS newest;
