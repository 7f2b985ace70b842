-- The statements of `slots`. Parameters: %(name)s; `claims`, `queues`, `held`, `left` and `ended` are JSON arrays of
-- objects, one per row.

-- name: lock_queues
-- Locked in a fixed order, so that two batches never deadlock. Rows are looked up by their index: a plan that is made
-- while a table is nearly empty would scan all of it, also after it has grown.
SELECT pg_advisory_xact_lock(key), set_config('enable_seqscan', 'off', TRUE)
FROM (SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(%(names)s::text[]) AS name ORDER BY key) AS queues;

-- name: release
-- A start that has ended holds no slot, and neither does any start before it. In a fixed order, as in other statements.
WITH over AS (
    SELECT slots.uid, slots.start
    FROM agentjobs.slots
    JOIN (
        SELECT uid, max(start) AS start FROM json_to_recordset(%(ended)s) AS given (uid text, start integer) GROUP BY uid
    ) AS given ON given.uid = slots.uid AND slots.start <= given.start
    ORDER BY slots.uid
    FOR UPDATE OF slots
)
DELETE FROM agentjobs.slots USING over WHERE slots.uid = over.uid AND slots.start = over.start;

-- name: hold
-- For starts that have run since before there were slots, or that a restored older copy of the database does not have.
-- An earlier start that still has a slot has ended: a version without slots did not release it.
INSERT INTO agentjobs.slots (uid, start, cluster, namespace, queue, partition_key)
SELECT DISTINCT ON (given.uid) given.uid, given.start, %(cluster)s, given.namespace, given.queue, given.partition_key
FROM json_to_recordset(%(held)s)
    AS given (uid text, start integer, namespace text, queue text, partition_key text)
JOIN agentjobs.jobs USING (uid)
WHERE jobs.finished_at IS NULL AND jobs.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT FROM agentjobs.starts
        WHERE starts.uid = given.uid AND starts.start >= given.start AND starts.ended_at IS NOT NULL
    )
ORDER BY given.uid, given.start DESC
ON CONFLICT (uid) DO UPDATE
SET start = excluded.start,
    cluster = excluded.cluster,
    namespace = excluded.namespace,
    queue = excluded.queue,
    partition_key = excluded.partition_key,
    claimed_at = excluded.claimed_at
WHERE slots.start < excluded.start;

-- name: claim
-- As if the claims were processed one after the other, by `n`: a claim first needs room in its partition; of the claims
-- that have it, the first ones get the queue's slots. The same start in the same queue keeps its slot. Returns when
-- each was claimed, null for a claim that was refused, and the reason.
WITH requested AS (
    SELECT claim.*, slots.start AS held, slots.queue AS held_in
    FROM json_to_recordset(%(claims)s)
        AS claim (n integer, uid text, start integer, namespace text, queue text, partition_key text)
    LEFT JOIN agentjobs.slots ON slots.uid = claim.uid
), allowed AS (
    SELECT queue.*, make_interval(secs => period) AS span
    FROM json_to_recordset(%(queues)s)
        AS queue (
            namespace text, queue text, most integer, per_partition integer, starts integer, period double precision,
            by_partition boolean
        )
), of_queue AS (
    SELECT
        allowed.*,
        most - (
            SELECT count(*)
            FROM agentjobs.slots
            WHERE slots.cluster = %(cluster)s AND slots.namespace = allowed.namespace AND slots.queue = allowed.queue
        ) AS slots_left,
        CASE WHEN NOT by_partition THEN starts - (
            SELECT count(*)
            FROM agentjobs.queue_starts AS begun
            WHERE begun.cluster = %(cluster)s AND begun.namespace = allowed.namespace AND begun.queue = allowed.queue
                AND begun.at > clock_timestamp() - span
        ) END AS starts_left
    FROM allowed
), of_partition AS (
    SELECT
        partition.*,
        CASE WHEN per_partition IS NOT NULL THEN per_partition - (
            SELECT count(*)
            FROM agentjobs.slots
            WHERE slots.cluster = %(cluster)s AND slots.namespace = partition.namespace
                AND slots.queue = partition.queue AND slots.partition_key = partition.partition_key
        ) END AS slots_left,
        CASE WHEN by_partition THEN starts - (
            SELECT count(*)
            FROM agentjobs.queue_starts AS begun
            WHERE begun.cluster = %(cluster)s AND begun.namespace = partition.namespace
                AND begun.queue = partition.queue AND begun.partition_key = partition.partition_key
                AND begun.at > clock_timestamp() - span
        ) END AS starts_left
    FROM (SELECT DISTINCT namespace, queue, partition_key FROM requested WHERE held IS NULL) AS partition
    JOIN allowed USING (namespace, queue)
), in_partition AS (
    SELECT
        requested.*,
        of_partition.slots_left,
        of_partition.starts_left,
        row_number() OVER (PARTITION BY namespace, queue, partition_key ORDER BY n) AS place
    FROM requested JOIN of_partition USING (namespace, queue, partition_key)
    WHERE held IS NULL
), in_queue AS (
    SELECT
        in_partition.*,
        coalesce(place <= least(slots_left, starts_left), TRUE) AS fits,
        count(*) FILTER (WHERE coalesce(place <= least(slots_left, starts_left), TRUE))
            OVER (PARTITION BY namespace, queue ORDER BY n ROWS UNBOUNDED PRECEDING) AS queue_place
    FROM in_partition
), judged AS (
    SELECT
        in_queue.n,
        in_queue.uid,
        in_queue.start,
        namespace,
        queue,
        in_queue.partition_key,
        in_queue.slots_left AS partition_left,
        of_queue.slots_left AS queue_left,
        fits AND queue_place <= least(of_queue.slots_left, of_queue.starts_left) AS granted
    FROM in_queue JOIN of_queue USING (namespace, queue)
), explained AS (
    SELECT
        n,
        CASE
            WHEN queue_left <= count(*) FILTER (WHERE granted) OVER of_queue THEN 'Slot'
            WHEN partition_left <= count(*) FILTER (WHERE granted) OVER of_partition THEN 'Partition'
            ELSE 'Rate'
        END AS reason
    FROM judged
    WINDOW
        of_queue AS (PARTITION BY namespace, queue ORDER BY n ROWS UNBOUNDED PRECEDING),
        of_partition AS (PARTITION BY namespace, queue, partition_key ORDER BY n ROWS UNBOUNDED PRECEDING)
), again AS (
    -- From now on it is not mistaken for a slot that a dead operator left.
    UPDATE agentjobs.slots
    SET claimed_at = clock_timestamp()
    FROM requested
    WHERE slots.uid = requested.uid AND requested.held = requested.start AND requested.held_in = requested.queue
    RETURNING slots.uid, slots.claimed_at
), taken AS (
    INSERT INTO agentjobs.slots (uid, start, cluster, namespace, queue, partition_key)
    SELECT uid, start, %(cluster)s, namespace, queue, partition_key FROM judged WHERE granted ORDER BY uid
    RETURNING uid, claimed_at
), counted AS (
    INSERT INTO agentjobs.queue_starts (uid, start, cluster, namespace, queue, partition_key)
    SELECT requested.uid, requested.start, %(cluster)s, namespace, queue, requested.partition_key
    FROM requested JOIN allowed USING (namespace, queue)
    WHERE allowed.starts IS NOT NULL AND (
        requested.uid IN (SELECT uid FROM judged WHERE granted) OR requested.uid IN (SELECT uid FROM again)
    )
    ORDER BY requested.uid
    ON CONFLICT (uid, start) DO UPDATE
    SET at = excluded.at, queue = excluded.queue, partition_key = excluded.partition_key
)
SELECT n, coalesce(taken.claimed_at, again.claimed_at) AS claimed, coalesce(explained.reason, 'Slot') AS reason
FROM requested
LEFT JOIN explained USING (n)
LEFT JOIN taken ON taken.uid = requested.uid
LEFT JOIN again ON again.uid = requested.uid;

-- name: forget_starts
DELETE FROM agentjobs.queue_starts AS begun
USING json_to_recordset(%(queues)s) AS allowed (namespace text, queue text, period double precision)
WHERE begun.cluster = %(cluster)s AND begun.namespace = allowed.namespace AND begun.queue = allowed.queue
    AND begun.at <= clock_timestamp() - make_interval(secs => allowed.period);

-- name: holders
-- Slots that a dead operator may have left: those of the queue, and the job's own slot in another queue.
SELECT slots.uid, slots.start, jobs.namespace, jobs.name, slots.claimed_at AS claimed
FROM agentjobs.slots JOIN agentjobs.jobs USING (uid)
WHERE slots.claimed_at < clock_timestamp() - make_interval(secs => %(age)s)
    AND (
        slots.uid = %(uid)s
        OR (slots.cluster = %(cluster)s AND slots.namespace = %(namespace)s AND slots.queue = %(queue)s)
    )
ORDER BY slots.claimed_at, slots.uid;

-- name: rate_room
-- When enough starts have left the window that one more may enter.
SELECT greatest(begun.at + make_interval(secs => %(period)s) - clock_timestamp(), interval '0') AS retry_in
FROM (
    SELECT at, row_number() OVER (ORDER BY at DESC) AS place
    FROM agentjobs.queue_starts
    WHERE cluster = %(cluster)s AND namespace = %(namespace)s AND queue = %(queue)s
        AND (%(partition)s::text IS NULL OR partition_key = %(partition)s)
        AND at > clock_timestamp() - make_interval(secs => %(period)s)
) AS begun
WHERE place = %(starts)s;

-- name: give_back
-- Unless it was claimed again since it was read. In the order of `release`.
WITH left_over AS (
    SELECT slots.uid, slots.start
    FROM agentjobs.slots
    JOIN json_to_recordset(%(left)s) AS given (uid text, start integer, claimed timestamptz)
        ON slots.uid = given.uid AND slots.start = given.start AND slots.claimed_at = given.claimed
    ORDER BY slots.uid
    FOR UPDATE OF slots
)
DELETE FROM agentjobs.slots USING left_over WHERE slots.uid = left_over.uid AND slots.start = left_over.start;
