-- The statements of `outbox`. Parameters: %(name)s; `rows` is a JSON array of objects, one per row.

-- name: take
-- For each sink as many as it has room for, the longest due first. Notifications that another notifier is taking are
-- skipped. Until the lease ends no other notifier takes them, and later ones of the same job are not sent before them.
-- Earlier ones are found by their keys: OFFSET keeps the planner from a join, COALESCE from the index of due ones.
WITH heads AS (
    SELECT chosen.*
    FROM json_to_recordset(%(rows)s) AS wanted (sink text, room integer)
    CROSS JOIN LATERAL (
        SELECT head.uid, head.sink, head.transition
        FROM agentjobs.notifications AS head
        WHERE head.cluster = %(cluster)s AND head.sink = wanted.sink
            AND head.sent_at IS NULL AND head.given_up_at IS NULL
            AND head.due_at <= statement_timestamp()
            AND NOT EXISTS (
                SELECT
                FROM agentjobs.notifications AS before
                WHERE before.uid = head.uid AND before.sink = head.sink AND before.transition < head.transition
                    AND coalesce(before.sent_at, before.given_up_at) IS NULL
                OFFSET 0
            )
        ORDER BY head.due_at
        LIMIT wanted.room
        FOR UPDATE SKIP LOCKED
    ) AS chosen
)
UPDATE agentjobs.notifications
SET tries = notifications.tries + 1, due_at = clock_timestamp() + %(lease)s::interval
FROM heads
WHERE notifications.uid = heads.uid
    AND notifications.sink = heads.sink
    AND notifications.transition = heads.transition
RETURNING
    notifications.uid,
    notifications.sink,
    notifications.transition,
    notifications.event,
    notifications.time,
    notifications.data,
    notifications.tries,
    clock_timestamp() - notifications.inserted_at AS waited;

-- name: mark
-- A notification that a sink accepted was sent, whichever notifier sent it. A failure counts only from the notifier
-- that took it last. Later ones of the job become due when it is due again, or now.
WITH marked AS (
    UPDATE agentjobs.notifications
    SET sent_at = CASE WHEN given.outcome = 'Sent' THEN clock_timestamp() END,
        given_up_at = CASE WHEN given.outcome = 'GivenUp' THEN clock_timestamp() END,
        due_at = clock_timestamp() + given.seconds * interval '1 second',
        error = given.error
    FROM json_to_recordset(%(rows)s)
        AS given (
            uid text, sink text, transition integer, tries integer, outcome text, seconds double precision, error text
        )
    WHERE notifications.uid = given.uid
        AND notifications.sink = given.sink
        AND notifications.transition = given.transition
        AND notifications.sent_at IS NULL
        AND (given.outcome = 'Sent' OR (notifications.tries = given.tries AND notifications.given_up_at IS NULL))
    RETURNING notifications.uid, notifications.sink, notifications.transition, notifications.due_at
)
UPDATE agentjobs.notifications AS later
SET due_at = marked.due_at
FROM marked
WHERE later.uid = marked.uid
    AND later.sink = marked.sink
    AND later.transition > marked.transition
    AND coalesce(later.sent_at, later.given_up_at) IS NULL;

-- name: give_up
-- Of sinks that no longer exist, and of those that are down. A notification that is being sent at this moment and is
-- accepted counts as sent: see `mark`.
UPDATE agentjobs.notifications
SET given_up_at = clock_timestamp(),
    error = CASE
        WHEN sink <> ALL(%(sinks)s) THEN %(no_sink)s ELSE coalesce(nullif(error, ''), %(sink_down)s)
    END
WHERE cluster = %(cluster)s
    AND sent_at IS NULL
    AND given_up_at IS NULL
    AND sink <> ALL(%(available)s)
    AND inserted_at < clock_timestamp() - %(after)s::interval
RETURNING sink;

-- name: backlog
SELECT count(*) AS pending, clock_timestamp() - min(inserted_at) AS oldest
FROM agentjobs.notifications
WHERE cluster = %(cluster)s AND sent_at IS NULL AND given_up_at IS NULL;

-- name: notifications
SELECT
    one.uid,
    one.namespace,
    jobs.name,
    one.sink,
    one.transition,
    one.event,
    one.time,
    one.inserted_at AS since,
    one.tries,
    CASE
        WHEN one.sent_at IS NOT NULL THEN 'Sent'
        WHEN one.given_up_at IS NOT NULL THEN 'GivenUp'
        WHEN one.error <> '' THEN 'Retrying'
        ELSE 'Waiting'
    END AS state,
    CASE WHEN one.sent_at IS NULL AND one.given_up_at IS NULL THEN one.due_at END AS due,
    coalesce(one.sent_at, one.given_up_at) AS ended,
    one.error
FROM agentjobs.notifications AS one
JOIN agentjobs.jobs ON jobs.uid = one.uid
WHERE one.cluster = %(cluster)s AND one.namespace = %(namespace)s
/* conditions */
ORDER BY one.inserted_at DESC, one.uid DESC, one.sink DESC, one.transition DESC
LIMIT %(limit)s;

-- name: again
-- A notification that waits for its next try is tried now; one that was given up is treated as new. If it is being sent
-- at this moment, the sink may receive it twice.
UPDATE agentjobs.notifications AS one
SET given_up_at = NULL,
    inserted_at = CASE WHEN one.given_up_at IS NULL THEN one.inserted_at ELSE clock_timestamp() END,
    due_at = clock_timestamp()
WHERE one.uid = %(uid)s
    AND one.sent_at IS NULL
    AND (one.given_up_at IS NOT NULL OR one.error <> '')
    AND (%(sink)s::text IS NULL OR one.sink = %(sink)s);
