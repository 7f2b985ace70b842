-- The statements of `model_limits`. Parameters: %(name)s.

-- name: lock
-- Locked in a fixed order, to avoid deadlocks. Later statements of the transaction see what others committed before.
-- COMMIT does not wait for the disk. Rows are looked up by their key: a plan that is made while a table is nearly empty
-- would scan all of it, also after it has grown. (In later statements LATERAL determines the order.)
SELECT
    pg_advisory_xact_lock(lock),
    set_config('synchronous_commit', 'off', TRUE) AS synchronous_commit,
    set_config('enable_seqscan', 'off', TRUE) AS enable_seqscan
FROM (SELECT DISTINCT hashtextextended(name, 0) AS lock FROM unnest(%(names)s::text[]) AS name ORDER BY 1) AS locks;

-- name: end_calls
DELETE FROM agentjobs.limit_running WHERE call = ANY(%(calls)s::uuid[]);

-- name: take
-- Grants the longest prefix of the requests, by `n` from 1. The first one that is refused ends it, so the sum before
-- each request is what is taken before it. `protocols.ModelLimits` and `model_records.Room` explain slices, what counts
-- and the rule.
WITH moment AS MATERIALIZED (
    SELECT now, extract(epoch FROM now)::double precision AS epoch FROM clock_timestamp() AS now
),
given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(limits)s) AS given (bucket text, span double precision, most bigint, time_zone text)
),
buckets AS MATERIALIZED (
    -- The current slice, the slices that may count, and how many seconds of the current slice remain.
    SELECT
        bucket,
        span,
        floor(epoch * 60 / span)::bigint AS slice,
        floor((epoch - %(grace)s) * 60 / span)::bigint - 60 AS oldest,
        -- After a clock was set back there are slices in the future. More than a window ahead, the clock was wrong.
        floor(epoch * 60 / span)::bigint + 60 AS newest,
        (floor(epoch * 60 / span) + 1) * span / 60 - epoch AS rest
    FROM given, moment
    WHERE span > 0 AND span < 86400
    UNION ALL
    SELECT
        bucket, span, day, day, day,
        extract(epoch FROM (date '1970-01-01' + day + 1)::timestamp AT TIME ZONE time_zone - now)
    FROM given, moment, LATERAL (SELECT (now AT TIME ZONE time_zone)::date - date '1970-01-01' AS day) AS today
    WHERE span >= 86400
    UNION ALL
    SELECT bucket, span, 0, 0, 0, 0
    FROM given
    WHERE span = 0
),
counted AS MATERIALIZED (
    SELECT
        buckets.bucket,
        slices.used,
        CASE
            WHEN span >= 86400 THEN rest
            ELSE rest + (slices.slice - buckets.slice + 60) * span / 60 + %(grace)s
        END AS frees
    FROM buckets
    CROSS JOIN LATERAL (
        SELECT limit_slices.slice, limit_slices.used
        FROM agentjobs.limit_slices
        WHERE limit_slices.cluster = %(cluster)s
            AND limit_slices.bucket = buckets.bucket
            AND limit_slices.slice BETWEEN buckets.oldest AND buckets.newest
        OFFSET 0
    ) AS slices
    WHERE span > 0
),
at_once AS MATERIALIZED (
    SELECT
        buckets.bucket,
        count(*) FILTER (WHERE NOT waits) AS used,
        count(*) FILTER (WHERE NOT waits AND proxy = %(proxy)s) AS mine,
        count(*) FILTER (WHERE waits AND proxy <> %(proxy)s) AS waiting
    FROM buckets
    CROSS JOIN moment
    CROSS JOIN LATERAL (
        SELECT limit_running.proxy, limit_running.since, limit_running.bucket <> buckets.bucket AS waits
        FROM agentjobs.limit_running
        WHERE limit_running.cluster = %(cluster)s
            AND limit_running.bucket IN (buckets.bucket, buckets.bucket || ' waiting')
        OFFSET 0
    ) AS running
    LEFT JOIN agentjobs.proxies ON proxies.id = running.proxy
    WHERE span = 0
        AND CASE
            WHEN waits THEN running.since > now - %(waiting)s::interval
            ELSE greatest(running.since, proxies.seen_at) > now - %(missed)s::interval
        END
    GROUP BY buckets.bucket
),
sums AS MATERIALIZED (
    -- For limits of concurrent calls, what exceeds this proxy's share counts as used while others wait.
    SELECT bucket, span, slice, rest, coalesce(sum(counted.used), 0)::bigint AS used
    FROM buckets LEFT JOIN counted USING (bucket)
    WHERE span > 0
    GROUP BY bucket, span, slice, rest
    UNION ALL
    SELECT
        bucket, span, slice, rest,
        coalesce(greatest(at_once.used, mine + most - ceil(most::double precision / (1 + waiting))), 0)::bigint
    FROM buckets
    INNER JOIN given USING (bucket, span)
    LEFT JOIN at_once USING (bucket)
    WHERE span = 0
),
wanted AS MATERIALIZED (
    SELECT
        n, bucket, span, slice, amount, most, used,
        sum(amount) OVER (PARTITION BY bucket ORDER BY n ROWS UNBOUNDED PRECEDING) AS upto
    FROM json_to_recordset(%(amounts)s) AS given (n integer, bucket text, amount bigint, most bigint)
    INNER JOIN sums USING (bucket)
),
shut AS MATERIALIZED (
    SELECT
        n,
        closed.key,
        closed.model,
        extract(epoch FROM greatest(closed.until, closed.probe) - now)::double precision AS seconds,
        row_number() OVER (PARTITION BY closed.key, closed.model ORDER BY n NULLS LAST) AS turn
    FROM moment, json_to_recordset(%(keys)s) AS given (n integer, key text)
    INNER JOIN agentjobs.closed_keys AS closed
        ON closed.cluster = %(cluster)s AND closed.key = given.key AND closed.model IN ('', %(model)s)
    WHERE closed.probe IS NULL OR greatest(closed.until, closed.probe) > (SELECT now FROM moment)
),
granting AS MATERIALIZED (
    SELECT coalesce(min(n) - 1, %(requests)s)::integer AS granted
    FROM (
        SELECT n FROM wanted WHERE amount > 0 AND least(used + upto - amount, used + upto - most) > 0
        UNION ALL
        SELECT n FROM shut WHERE seconds > 0 OR turn > 1
    ) AS refused
),
took AS (
    INSERT INTO agentjobs.limit_slices (cluster, bucket, slice, used)
    SELECT %(cluster)s, bucket, slice, sum(amount)
    FROM wanted, granting
    WHERE n <= granted AND span > 0
    GROUP BY bucket, slice
    HAVING sum(amount) > 0
    ON CONFLICT (cluster, bucket, slice) DO UPDATE SET used = limit_slices.used + excluded.used
),
started AS (
    INSERT INTO agentjobs.limit_running (call, bucket, cluster, proxy)
    SELECT (%(calls)s::uuid[])[n], bucket, %(cluster)s, %(proxy)s
    FROM wanted, granting
    WHERE n <= granted AND span = 0
),
waiting AS (
    INSERT INTO agentjobs.limit_running (call, bucket, cluster, proxy)
    SELECT DISTINCT md5(%(cluster)s || %(proxy)s || bucket)::uuid, bucket || ' waiting', %(cluster)s, %(proxy)s
    FROM wanted, granting
    WHERE n > granted AND span = 0
    ON CONFLICT (call, bucket) DO UPDATE SET since = excluded.since
),
probing AS (
    UPDATE agentjobs.closed_keys AS closed
    SET probe = now + make_interval(secs => %(probe)s)
    FROM shut, granting, moment
    WHERE closed.cluster = %(cluster)s AND closed.key = shut.key AND closed.model = shut.model AND n <= granted
    RETURNING closed.key
),
forgotten AS (
    DELETE FROM agentjobs.limit_slices
    WHERE ctid = ANY(ARRAY(
        SELECT old.place
        FROM buckets
        CROSS JOIN LATERAL (
            SELECT limit_slices.ctid AS place
            FROM agentjobs.limit_slices
            WHERE limit_slices.cluster = %(cluster)s
                AND limit_slices.bucket = buckets.bucket
                AND limit_slices.slice < buckets.oldest
            LIMIT 100
        ) AS old
    ))
)
SELECT
    granted,
    (SELECT json_agg(json_build_array(bucket, slice, rest, used)) FROM sums) AS buckets,
    (
        SELECT json_agg(json_build_array(bucket, frees, used) ORDER BY frees)
        FROM counted
        WHERE granted < %(requests)s
    ) AS frees,
    (SELECT json_agg(json_build_array(key, seconds)) FROM shut WHERE seconds > 0) AS closed,
    (SELECT json_agg(key) FROM probing) AS probes
FROM granting;

-- name: correct
-- By the rows' ctid, which does not change while the locks are held.
WITH given AS MATERIALIZED (
    SELECT bucket, slice, amount
    FROM json_to_recordset(%(corrections)s) AS given (bucket text, slice bigint, amount bigint)
)
UPDATE agentjobs.limit_slices AS slices
SET used = greatest(
    0,
    slices.used + (
        SELECT sum(amount) FROM given WHERE given.bucket = slices.bucket AND given.slice = slices.slice
    )
)
WHERE slices.ctid = ANY(ARRAY(
    SELECT found.place
    FROM given
    CROSS JOIN LATERAL (
        SELECT limit_slices.ctid AS place
        FROM agentjobs.limit_slices
        WHERE limit_slices.cluster = %(cluster)s
            AND limit_slices.bucket = given.bucket
            AND limit_slices.slice = given.slice
        LIMIT 1
    ) AS found
));

-- name: close_key
INSERT INTO agentjobs.closed_keys AS closed (cluster, key, model, reason, until)
VALUES (
    %(cluster)s, %(key)s, %(model)s, %(reason)s, clock_timestamp() + make_interval(secs => %(seconds)s)
)
ON CONFLICT (cluster, key, model) DO UPDATE
SET until = greatest(closed.until, excluded.until),
    reason = CASE WHEN closed.until > excluded.until THEN closed.reason ELSE excluded.reason END,
    probe = NULL;

-- name: open_key
DELETE FROM agentjobs.closed_keys
WHERE cluster = %(cluster)s AND key = %(key)s AND model IN ('', %(model)s) AND probe IS NOT NULL;

-- name: closed_keys
-- A key that was closed and not tried since stays closed for callers without limits, until `take` tries it.
SELECT key, model, greatest(extract(epoch FROM greatest(until, probe) - clock_timestamp()), 0)::double precision
FROM agentjobs.closed_keys
WHERE cluster = %(cluster)s AND (probe IS NULL OR greatest(until, probe) > clock_timestamp());

-- name: exhaust
INSERT INTO agentjobs.exhausted_models (cluster, model, reason, until)
VALUES (%(cluster)s, %(model)s, %(reason)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (cluster, model) DO UPDATE SET until = excluded.until, reason = excluded.reason;

-- name: replenish
DELETE FROM agentjobs.exhausted_models WHERE cluster = %(cluster)s AND model = %(model)s;

-- name: exhausted_models
SELECT model, until FROM agentjobs.exhausted_models WHERE cluster = %(cluster)s AND until > clock_timestamp();
