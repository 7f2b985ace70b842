-- The statements of `operator_writes`. Parameters: %(name)s; `rows` is a JSON array of objects, one per row.

-- name: lock_jobs
-- The row of a job serializes its starts: while it is locked, no newer start can appear. Missing rows are created in
-- the same pass: everything that locks or creates rows of jobs does so in the order of their uids, to avoid deadlocks.
-- The condition never holds, so existing rows are only locked, not written.
INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at, schedule, parent_uid, labels)
SELECT uid, cluster, namespace, name, created_at, schedule, parent_uid, labels
FROM json_to_recordset(%(rows)s)
    AS job (
        uid text, cluster text, namespace text, name text, created_at timestamptz, schedule text, parent_uid text,
        labels text[]
    )
ORDER BY uid
ON CONFLICT (uid) DO UPDATE SET name = excluded.name WHERE FALSE;

-- name: accept
INSERT INTO agentjobs.jobs (
    uid, cluster, namespace, name, created_at, schedule, parent_uid, labels,
    resolved, spec_hash, partition_key, queue, template, notify, priority
)
SELECT
    uid, cluster, namespace, name, created_at, schedule, parent_uid, labels,
    resolved, spec_hash, partition_key, queue, template, notify, priority
FROM json_to_recordset(%(rows)s)
    AS job (
        uid text, cluster text, namespace text, name text, created_at timestamptz, schedule text, parent_uid text,
        labels text[], resolved json, spec_hash text, partition_key text, queue text, template text, notify json,
        priority integer
    )
ORDER BY uid
ON CONFLICT (uid) DO UPDATE
SET resolved = excluded.resolved,
    spec_hash = excluded.spec_hash,
    partition_key = excluded.partition_key,
    queue = excluded.queue,
    template = excluded.template,
    notify = excluded.notify,
    priority = excluded.priority,
    labels = excluded.labels
WHERE jobs.resolved IS NULL;

-- name: accept_now
-- Updates every row that exists, and so locks the job as `lock_jobs` does. Returns only the specs that differ from the
-- given ones: a spec has up to 96 KiB, and nearly all are stored as given.
WITH given AS (
    SELECT *
    FROM json_to_recordset(%(rows)s)
        AS job (
            uid text, cluster text, namespace text, name text, created_at timestamptz, schedule text, parent_uid text,
            labels text[], resolved json, spec_hash text, partition_key text, queue text, template text, notify json,
            priority integer, unique_key text, duplicate_of text, replaced_by text, cleaned boolean
        )
), stored AS (
    INSERT INTO agentjobs.jobs (
        uid, cluster, namespace, name, created_at, schedule, parent_uid, labels,
        resolved, spec_hash, partition_key, queue, template, notify, priority, unique_key, duplicate_of, replaced_by
    )
    SELECT
        uid, cluster, namespace, name, created_at, schedule, parent_uid, labels,
        resolved, spec_hash, partition_key, queue, template, notify, priority, unique_key, duplicate_of, replaced_by
    FROM given
    ORDER BY uid
    ON CONFLICT (uid) DO UPDATE
    SET resolved = coalesce(jobs.resolved, excluded.resolved),
        spec_hash = coalesce(jobs.spec_hash, excluded.spec_hash),
        partition_key = CASE WHEN jobs.resolved IS NULL THEN excluded.partition_key ELSE jobs.partition_key END,
        queue = excluded.queue,
        template = CASE WHEN jobs.resolved IS NULL THEN excluded.template ELSE jobs.template END,
        notify = CASE WHEN jobs.resolved IS NULL THEN excluded.notify ELSE jobs.notify END,
        priority = CASE WHEN jobs.resolved IS NULL THEN excluded.priority ELSE jobs.priority END,
        labels = CASE WHEN jobs.resolved IS NULL THEN excluded.labels ELSE jobs.labels END,
        unique_key = CASE WHEN jobs.resolved IS NULL THEN excluded.unique_key ELSE jobs.unique_key END,
        duplicate_of = CASE WHEN jobs.resolved IS NULL THEN excluded.duplicate_of ELSE jobs.duplicate_of END,
        replaced_by = CASE WHEN jobs.resolved IS NULL THEN excluded.replaced_by ELSE jobs.replaced_by END
    RETURNING uid, resolved
)
SELECT stored.uid, stored.resolved
FROM stored JOIN given USING (uid)
WHERE given.cleaned OR stored.resolved::text <> given.resolved::text;

-- name: steer
-- Of two edits the later generation counts, whichever is written first. A row that has it already is not written.
-- A job that is moved while it waits for a slot waits in the other queue from then on; its phase stays the same.
UPDATE agentjobs.jobs
SET priority = given.priority,
    queue = given.queue,
    steered_generation = given.generation,
    changed_at = CASE
        WHEN jobs.phase = 'Queued' AND jobs.queue <> given.queue THEN greatest(jobs.changed_at, given.time)
        ELSE jobs.changed_at
    END
FROM
    json_to_recordset(%(rows)s)
        AS given (uid text, generation bigint, priority integer, queue text, time timestamptz)
WHERE jobs.uid = given.uid
    AND coalesce(jobs.steered_generation, 0) <= given.generation
    AND (jobs.priority, jobs.queue, jobs.steered_generation)
        IS DISTINCT FROM (given.priority, given.queue, given.generation);

-- name: insert_starts
-- A start that needs a slot and did not get one is not stored, here and in `fence_older`.
INSERT INTO agentjobs.starts (uid, start, attempt, pod, started_at, run, fenced_at)
SELECT
    uid, start, attempt, pod, started_at, run,
    CASE
        WHEN EXISTS (
            SELECT FROM agentjobs.starts AS newer WHERE newer.uid = given.uid AND newer.start > given.start
        ) THEN clock_timestamp()
    END
FROM json_to_recordset(%(rows)s)
    AS given (
        uid text, start integer, attempt integer, pod text, started_at timestamptz, run integer, slotted boolean
    )
WHERE NOT slotted
    OR EXISTS (SELECT FROM agentjobs.slots WHERE slots.uid = given.uid AND slots.start = given.start)
ORDER BY uid, start
ON CONFLICT (uid, start) DO UPDATE
SET started_at = least(starts.started_at, excluded.started_at);

-- name: end_starts
INSERT INTO agentjobs.starts
    (uid, start, attempt, pod, started_at, ended_at, verdict, reason, charged, message, fenced_at)
SELECT uid, start, attempt, pod, started_at, ended_at, verdict, reason, charged, message, clock_timestamp()
FROM json_to_recordset(%(rows)s)
    AS given (
        uid text, start integer, attempt integer, pod text, started_at timestamptz, ended_at timestamptz,
        verdict text, reason text, charged boolean, message text
    )
ORDER BY uid, start
ON CONFLICT (uid, start) DO UPDATE
SET started_at = least(starts.started_at, excluded.started_at),
    fenced_at = coalesce(starts.fenced_at, excluded.fenced_at),
    ended_at = excluded.ended_at,
    verdict = excluded.verdict,
    reason = excluded.reason,
    charged = excluded.charged,
    message = excluded.message
WHERE starts.ended_at IS NULL;

-- name: fence_older
UPDATE agentjobs.starts
SET fenced_at = clock_timestamp()
FROM (
    SELECT uid, max(start) AS start
    FROM json_to_recordset(%(rows)s) AS given (uid text, start integer, slotted boolean)
    WHERE NOT slotted
        OR EXISTS (SELECT FROM agentjobs.slots WHERE slots.uid = given.uid AND slots.start = given.start)
    GROUP BY uid
) AS newest
WHERE starts.uid = newest.uid AND starts.start < newest.start AND starts.fenced_at IS NULL;

-- name: insert_transitions
-- New transitions are added to the outbox of each sink that subscribes to their event; the job was accepted before, or
-- no sink is notified. Behind a notification that waits for its next try, a new one waits as long; but not behind one
-- that is being tried for the first time: the transaction that marks it does not see the new row, which would wait for
-- the end of the lease. Rows are found by their keys, whatever statistics the planner had while the tables were small:
-- OFFSET keeps it from joins, COALESCE from the index of due notifications.
WITH given AS (
    SELECT *
    FROM json_to_recordset(%(rows)s)
        AS given (
            uid text, transition integer, time timestamptz, phase text, reason text, message text, finished boolean,
            event text, details json
        )
), inserted AS (
    INSERT INTO agentjobs.transitions (uid, transition, time, phase, reason, message, finished)
    SELECT uid, transition, time, phase, reason, message, finished
    FROM given
    ORDER BY uid, transition
    ON CONFLICT DO NOTHING
    RETURNING uid, transition, phase
)
INSERT INTO agentjobs.notifications (uid, sink, transition, cluster, namespace, event, time, data, due_at)
SELECT
    jobs.uid,
    wanted ->> 'sink',
    given.transition,
    jobs.cluster,
    jobs.namespace,
    given.event,
    given.time,
    json_strip_nulls(json_build_object(
        'namespace', jobs.namespace,
        'name', jobs.name,
        'uid', jobs.uid,
        'template', nullif(jobs.template, ''),
        'partition', nullif(jobs.partition_key, ''),
        'phase', given.phase,
        'reason', given.details -> 'reason',
        'message', given.details -> 'message',
        'outcome', given.details -> 'outcome',
        'summary', given.details -> 'summary',
        'attempts', given.details -> 'attempts',
        'costUSD', given.details -> 'costUSD'
    )),
    greatest(
        clock_timestamp(),
        (
            SELECT max(before.due_at)
            FROM agentjobs.notifications AS before
            WHERE before.uid = jobs.uid AND before.sink = wanted ->> 'sink' AND before.error <> ''
                AND coalesce(before.sent_at, before.given_up_at) IS NULL
        )
    )
FROM inserted
JOIN given USING (uid, transition, phase)
CROSS JOIN LATERAL (
    SELECT * FROM agentjobs.jobs AS own WHERE own.uid = inserted.uid AND own.notify IS NOT NULL OFFSET 0
) AS jobs
CROSS JOIN LATERAL json_array_elements(jobs.notify) AS wanted
WHERE (wanted -> 'events')::jsonb ? given.event
ON CONFLICT DO NOTHING;

-- name: move
-- Reads the stored rows, not the records: of two records with one number the first is kept, here too. For jobs that
-- end, outcome and cost are stored in the job's row, where lists find them. The row was locked before, also against
-- `settle` of `model_calls`: a call is counted either here or there.
UPDATE agentjobs.jobs
SET transition = newest.transition,
    phase = newest.phase,
    reason = newest.reason,
    message = newest.message,
    changed_at = newest.time,
    finished_at = CASE WHEN newest.finished THEN newest.time END,
    outcome = CASE
        WHEN newest.finished THEN (SELECT result ->> 'outcome' FROM agentjobs.results WHERE results.uid = jobs.uid)
        ELSE jobs.outcome
    END,
    cost = CASE
        WHEN newest.finished THEN (
            SELECT least(sum(spend.cost), 9999999999)
            FROM agentjobs.model_spend AS spend
            WHERE spend.uid = jobs.uid
            HAVING count(*) > 0
        )
        ELSE jobs.cost
    END
FROM (
    SELECT DISTINCT ON (transitions.uid) transitions.*
    FROM json_to_recordset(%(rows)s) AS given (uid text, transition integer)
    JOIN agentjobs.transitions ON transitions.uid = given.uid AND transitions.transition = given.transition
    ORDER BY transitions.uid, transitions.finished DESC, transitions.transition DESC
) AS newest
WHERE jobs.uid = newest.uid
    AND (
        jobs.transition IS NULL
        OR (newest.finished, newest.transition) > (jobs.finished_at IS NOT NULL, jobs.transition)
    );

-- name: published
UPDATE agentjobs.jobs
SET workspace = given.workspace
FROM json_to_recordset(%(rows)s) AS given (uid text, workspace json)
WHERE jobs.uid = given.uid AND jobs.workspace IS NULL;

-- name: finalize_results
-- The answer of a job's last start is final once the job has ended, unless another answer is final.
INSERT INTO agentjobs.results (uid, start, result)
SELECT starts.uid, starts.start, starts.result
FROM agentjobs.starts
WHERE starts.uid = ANY(%(uids)s)
    AND starts.result IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM agentjobs.starts AS later WHERE later.uid = starts.uid AND later.start > starts.start
    )
ON CONFLICT DO NOTHING;

-- name: delete
-- A deleted job that had not ended ends now, as in `move`.
UPDATE agentjobs.jobs
SET deleted_at = given.time,
    outcome = CASE
        WHEN jobs.finished_at IS NULL
            THEN (SELECT result ->> 'outcome' FROM agentjobs.results WHERE results.uid = jobs.uid)
        ELSE jobs.outcome
    END,
    cost = CASE
        WHEN jobs.finished_at IS NULL THEN (
            SELECT least(sum(spend.cost), 9999999999)
            FROM agentjobs.model_spend AS spend
            WHERE spend.uid = jobs.uid
            HAVING count(*) > 0
        )
        ELSE jobs.cost
    END
FROM (
    SELECT uid, min(time) AS time FROM json_to_recordset(%(rows)s) AS given (uid text, time timestamptz) GROUP BY uid
) AS given
WHERE jobs.uid = given.uid AND (jobs.deleted_at IS NULL OR jobs.deleted_at > given.time);

-- name: resolved
SELECT resolved FROM agentjobs.jobs WHERE uid = %(uid)s;

-- name: outcomes
-- A large answer is cut to what a status shows: it has up to 4 MiB, and as Python objects up to 25 times that.
-- `structured` is then a text, not null, so that a status shows that it was cut.
SELECT
    uid,
    is_final,
    CASE WHEN octet_length(answer::text) > 32768 THEN json_build_object(
        'text', left(answer ->> 'text', 32768),
        'structured',
        CASE
            WHEN octet_length((answer -> 'structured')::text) > 32768 THEN to_json('too large'::text)
            ELSE answer -> 'structured'
        END,
        'outcome', answer -> 'outcome',
        'usage', answer -> 'usage',
        'cutFrom', answer -> 'cutFrom'
    ) ELSE answer END AS answer,
    used,
    calls,
    input,
    output,
    cost
FROM (
    SELECT
        jobs.uid,
        results.uid IS NOT NULL AS is_final,
        coalesce(
            results.result,
            (SELECT last.result FROM agentjobs.starts AS last WHERE last.uid = jobs.uid ORDER BY last.start DESC LIMIT 1)
        ) AS answer,
        (
            SELECT json_agg(starts.usage)
            FROM agentjobs.starts
            WHERE starts.uid = jobs.uid AND starts.usage IS NOT NULL
        ) AS used,
        spent.*
    FROM agentjobs.jobs
    LEFT JOIN agentjobs.results ON results.uid = jobs.uid
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(calls), 0) AS calls, coalesce(sum(input), 0) AS input, coalesce(sum(output), 0) AS output,
            sum(cost) AS cost
        FROM agentjobs.model_spend
        WHERE model_spend.uid = jobs.uid
    ) AS spent
    WHERE jobs.uid = ANY(%(uids)s)
) AS outcome;

-- name: progress
-- For a start without a number: the job's last start. A start that was never claimed would continue the run before it.
SELECT
    own.uid,
    own.start,
    coalesce(
        (
            SELECT max(earlier.n)
            FROM agentjobs.steps AS earlier
            WHERE earlier.uid = own.uid AND earlier.run = own.run AND earlier.start < own.start
                AND earlier.ended IS NOT NULL AND NOT earlier.void
        ),
        0
    ) AS before,
    newest.n,
    newest.name,
    newest.ended,
    EXISTS (
        SELECT
        FROM agentjobs.steps AS new
        WHERE new.uid = own.uid AND new.run = own.run AND new.start = own.start
            AND new.ended IS NOT NULL AND NOT new.void
    ) AS advanced
FROM json_to_recordset(%(rows)s) AS given (uid text, start integer)
CROSS JOIN LATERAL (
    SELECT
        starts.uid,
        starts.start,
        coalesce(
            starts.run,
            (
                SELECT before.run
                FROM agentjobs.starts AS before
                WHERE before.uid = starts.uid AND before.start < starts.start AND before.run IS NOT NULL
                ORDER BY before.start DESC
                LIMIT 1
            )
        ) AS run
    FROM agentjobs.starts
    WHERE starts.uid = given.uid AND (given.start IS NULL OR starts.start = given.start)
    ORDER BY starts.start DESC
    LIMIT 1
) AS own
LEFT JOIN LATERAL (
    SELECT steps.n, steps.name, steps.ended
    FROM agentjobs.steps
    WHERE steps.uid = own.uid AND steps.run = own.run AND steps.ended IS NOT NULL AND NOT steps.void
    ORDER BY steps.n DESC
    LIMIT 1
) AS newest ON TRUE;

-- name: silence
SELECT clock_timestamp() - greatest(heartbeat_at, claimed_at) AS silence
FROM agentjobs.starts
WHERE uid = %(uid)s AND start = %(start)s;

-- name: recorded
SELECT CASE WHEN finished_at IS NOT NULL THEN phase ELSE 'Deleted' END AS phase
FROM agentjobs.jobs
WHERE uid = %(uid)s AND (finished_at IS NOT NULL OR deleted_at IS NOT NULL);

-- name: lacking
SELECT 'transition' AS kind, given.uid, given.number
FROM json_to_recordset(%(transitions)s) AS given (uid text, number integer)
WHERE NOT EXISTS (
    SELECT FROM agentjobs.transitions WHERE transitions.uid = given.uid AND transitions.transition = given.number
)
UNION ALL
SELECT 'start' AS kind, given.uid, given.number
FROM json_to_recordset(%(starts)s) AS given (uid text, number integer)
WHERE NOT EXISTS (
    SELECT FROM agentjobs.starts
    WHERE starts.uid = given.uid AND starts.start = given.number AND starts.ended_at IS NOT NULL
);

-- name: job_of
SELECT uid
FROM agentjobs.jobs
WHERE cluster = %(cluster)s AND namespace = %(namespace)s AND name = %(name)s AND schedule = %(schedule)s
    AND created_at >= %(since)s
LIMIT 1;

-- name: newest
SELECT DISTINCT ON (name)
    name,
    uid,
    CASE WHEN finished_at IS NULL AND deleted_at IS NOT NULL THEN 'Deleted' ELSE phase END AS phase,
    reason,
    coalesce(finished_at, deleted_at) AS ended_at
FROM agentjobs.jobs
WHERE cluster = %(cluster)s AND namespace = %(namespace)s AND name = ANY(%(names)s)
ORDER BY name, created_at DESC, uid DESC;

-- name: answers
SELECT uid, result::text FROM agentjobs.results WHERE uid = ANY(%(uids)s);

-- name: parent
SELECT
    jobs.resolved,
    coalesce(
        (SELECT result FROM agentjobs.results WHERE results.uid = jobs.uid),
        (SELECT last.result FROM agentjobs.starts AS last WHERE last.uid = jobs.uid ORDER BY last.start DESC LIMIT 1)
    )::text AS answer,
    (
        SELECT json_object_agg(child.name, child.uid)
        FROM agentjobs.jobs AS child
        WHERE child.parent_uid = %(uid)s AND child.parent_uid <> '' AND child.namespace = jobs.namespace
    ) AS children
FROM agentjobs.jobs
WHERE jobs.uid = %(uid)s;

-- name: clock
SELECT clock_timestamp() AS now;

-- name: open_jobs
SELECT uid, namespace, name
FROM agentjobs.jobs
WHERE cluster = %(cluster)s AND deleted_at IS NULL AND finished_at IS NULL AND inserted_at < %(listed_at)s
    AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
    AND uid > %(after)s
ORDER BY uid
LIMIT %(limit)s;

-- name: lock_open
SELECT uid
FROM agentjobs.jobs
WHERE uid = ANY(%(uids)s) AND deleted_at IS NULL AND finished_at IS NULL
ORDER BY uid
FOR NO KEY UPDATE;

-- name: vanish
UPDATE agentjobs.jobs
SET deleted_at = %(time)s,
    outcome = (SELECT result ->> 'outcome' FROM agentjobs.results WHERE results.uid = jobs.uid),
    cost = (
        SELECT least(sum(spend.cost), 9999999999)
        FROM agentjobs.model_spend AS spend
        WHERE spend.uid = jobs.uid
        HAVING count(*) > 0
    )
WHERE uid = ANY(%(uids)s);

-- name: end_vanished
-- The same values as the operator writes for a deletion that it observes.
UPDATE agentjobs.starts
SET ended_at = %(time)s,
    fenced_at = coalesce(fenced_at, clock_timestamp()),
    verdict = 'Cancel',
    reason = 'JobDeleted',
    charged = FALSE,
    message = 'the job was deleted'
WHERE uid = ANY(%(uids)s) AND ended_at IS NULL;
