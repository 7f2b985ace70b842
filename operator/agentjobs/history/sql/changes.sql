-- What `changes` asks. Parameters: %(name)s.

-- name: mark
SELECT pg_current_snapshot()::text AS mark;

-- name: jobs
-- What is seen now and was not at the mark, however late its transaction committed: `touched` is the transaction that
-- wrote the row last. From a dump that was restored elsewhere rows may have transactions that are still to come there;
-- these lie beyond the present and are left alone. There is always a row, which has the next mark.
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
-- How far jobs are: one word of each, which differs when anything of its newest start does.
SELECT
    asked.uid,
    concat_ws(
        ' ', newest.start, newest.claimed_at, newest.heartbeat_at, newest.steps_bytes, newest.ended_at,
        (SELECT max(n) FROM agentjobs.steps WHERE steps.uid = asked.uid),
        (SELECT max(seq) FROM agentjobs.events WHERE events.uid = asked.uid AND events.start = newest.start)
    ) AS progress
FROM unnest(%(uids)s::text[]) AS asked (uid)
CROSS JOIN LATERAL (
    SELECT starts.start, starts.claimed_at, starts.heartbeat_at, starts.steps_bytes, starts.ended_at
    FROM agentjobs.starts
    WHERE starts.uid = asked.uid
    ORDER BY starts.start DESC
    LIMIT 1
) AS newest;
