-- The statements of `runner_writes` and `fence`. Parameters: %(name)s.

-- name: fence_alone
-- Every write of a pod counts as a heartbeat. One request body of a start is stored at a time, whichever gateway
-- receives it: a second one would hold a connection while it waits. The row's lock cannot ensure that, because
-- heartbeats and the operator lock the row as well. The advisory lock is in a subquery, so that it is taken before the
-- row's lock.
UPDATE agentjobs.starts
SET heartbeat_at = clock_timestamp()
WHERE uid = %(uid)s AND start = %(start)s AND pod_uid = %(pod)s AND fenced_at IS NULL
    AND (SELECT pg_try_advisory_xact_lock(hashtextextended(%(uid)s, %(start)s)))
RETURNING TRUE;

-- name: fence_in_turn
-- As `fence_alone`, for a write that waits for the lock.
UPDATE agentjobs.starts
SET heartbeat_at = clock_timestamp()
WHERE uid = %(uid)s AND start = %(start)s AND pod_uid = %(pod)s AND fenced_at IS NULL
    AND (SELECT pg_advisory_xact_lock(hashtextextended(%(uid)s, %(start)s)) IS NOT NULL)
RETURNING TRUE;

-- name: fence_shared
-- Together with other writers of the start; the write that fences the start waits for them.
SELECT TRUE
FROM agentjobs.starts
WHERE uid = %(uid)s AND start = %(start)s AND pod_uid = %(pod)s AND fenced_at IS NULL
FOR SHARE;

-- name: fence_state
SELECT pod_uid, fenced_at, attempt FROM agentjobs.starts WHERE uid = %(uid)s AND start = %(start)s;

-- name: heartbeat
UPDATE agentjobs.starts
SET heartbeat_at = clock_timestamp()
WHERE uid = %(uid)s AND start = %(start)s AND pod_uid = %(pod)s AND fenced_at IS NULL
RETURNING TRUE;

-- name: lock_start
SELECT pod_uid, fenced_at, attempt, run, versions::text AS versions
FROM agentjobs.starts
WHERE uid = %(uid)s AND start = %(start)s
FOR UPDATE;

-- name: journal_before
-- Which run the newest earlier start with a run continued, and which start began that run.
SELECT
    earlier.run,
    earlier.attempt,
    (
        SELECT first.versions::text
        FROM agentjobs.starts AS first
        WHERE first.uid = earlier.uid AND first.run = earlier.run AND first.versions IS NOT NULL
        ORDER BY first.start
        LIMIT 1
    ) AS versions
FROM agentjobs.starts AS earlier
WHERE earlier.uid = %(uid)s AND earlier.start < %(start)s AND earlier.run IS NOT NULL
ORDER BY earlier.start DESC
LIMIT 1;

-- name: journal_end
-- Runs follow each other, so no step of an older run is newer.
SELECT run, n FROM agentjobs.steps WHERE uid = %(uid)s ORDER BY n DESC LIMIT 1;

-- name: work
SELECT
    jobs.resolved::text AS resolved,
    (jobs.resolved #>> '{spec,retry,maxAttempts}')::integer AS max_attempts,
    jobs.resolved #>> '{spec,retry,resume}' AS resume,
    jobs.resolved #>> '{spec,steps,checkpoint}' AS checkpoint,
    results.result::text AS result,
    (
        SELECT kept.result ->> 'outcome'
        FROM agentjobs.starts AS kept
        WHERE kept.uid = jobs.uid AND kept.start = %(start)s
    ) AS undecided,
    -- The run of the answer: a start that only ends the job does so with the files of that run.
    (
        SELECT coalesce(answered.run, answered.start)
        FROM agentjobs.starts AS answered
        WHERE answered.uid = results.uid AND answered.start = results.start
    ) AS result_run,
    -- Whether there is session data to load: turns, if the job continues the session, or state.
    EXISTS (
        SELECT
        FROM agentjobs.scopes
        WHERE scopes.cluster = jobs.cluster AND scopes.namespace = jobs.namespace
            AND scopes.app = own.session ->> 'appName'
            AND scopes.user_id IN ('', own.session ->> 'userId')
            AND scopes.session_id IN (
                '', CASE own.session ->> 'mode' WHEN 'Continue' THEN own.session ->> 'sessionId' ELSE '' END
            )
    ) AS has_session
FROM agentjobs.jobs
CROSS JOIN LATERAL (SELECT jobs.resolved #> '{spec,session}' AS session OFFSET 0) AS own
LEFT JOIN agentjobs.results ON results.uid = jobs.uid
WHERE jobs.uid = %(uid)s AND jobs.cluster = %(cluster)s AND jobs.namespace = %(namespace)s AND jobs.name = %(name)s;

-- name: claim
UPDATE agentjobs.starts
SET pod_uid = %(pod)s, claimed_at = coalesce(claimed_at, clock_timestamp()), run = coalesce(run, %(run)s)
WHERE uid = %(uid)s AND start = %(start)s;

-- name: add_events
-- All events as one value: two thousand separate rows block the event loop for longer than the database takes.
WITH given AS (
    SELECT *
    FROM json_to_recordset(%(rows)s)
        AS event (seq bigint, time timestamptz, kind text, author text, data json, usage json)
), stored AS (
    INSERT INTO agentjobs.events (uid, start, seq, time, kind, author, data)
    SELECT %(uid)s::text, %(start)s::integer, seq, time, kind, author, data
    FROM given
    ON CONFLICT DO NOTHING
    RETURNING seq
), used AS (
    SELECT entry.key, entry.value::numeric AS count
    FROM stored JOIN given USING (seq), json_each_text(given.usage) AS entry
), total AS (
    SELECT key, least(sum(count), %(most)s) AS count
    FROM (
        SELECT key, count FROM used
        UNION ALL
        SELECT entry.key, entry.value::numeric
        FROM agentjobs.starts, json_each_text(starts.usage) AS entry
        WHERE starts.uid = %(uid)s AND starts.start = %(start)s
    ) AS counts
    GROUP BY key
    HAVING sum(count) > 0
), counted AS (
    UPDATE agentjobs.starts
    SET usage = (SELECT json_object_agg(key, count) FROM total)
    WHERE uid = %(uid)s AND start = %(start)s AND EXISTS (SELECT FROM used)
)
SELECT coalesce(array_agg(seq ORDER BY seq), '{}') AS seqs FROM stored;

-- name: report
-- The first report of a start is kept: if a runner repeats its request, the report is the same.
UPDATE agentjobs.starts
SET reported = %(reported)s, usage = coalesce(usage, %(usage)s)
WHERE uid = %(uid)s AND start = %(start)s AND reported IS NULL;

-- name: policy
-- Only if the job may continue.
SELECT resolved #> '{spec,resultPolicy}' AS rules
FROM agentjobs.jobs
WHERE uid = %(uid)s AND finished_at IS NULL AND deleted_at IS NULL;

-- name: insert_result
INSERT INTO agentjobs.results (uid, start, result)
VALUES (%(uid)s, %(start)s, %(result)s)
ON CONFLICT DO NOTHING;

-- name: keep_answer
UPDATE agentjobs.starts
SET result = %(result)s
WHERE uid = %(uid)s AND start = %(start)s AND result IS NULL;

-- name: final_result
SELECT result::text FROM agentjobs.results WHERE uid = %(uid)s;
