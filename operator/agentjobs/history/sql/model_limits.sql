-- What `model_limits` asks. Parameters: %(name)s.

-- name: lock
-- In one order, so that no two wait for each other. What follows in the transaction sees what others committed before.
-- COMMIT waits for no disk.
SELECT pg_advisory_xact_lock(lock), set_config('synchronous_commit', 'off', TRUE)
FROM (SELECT DISTINCT hashtextextended(name, 0) AS lock FROM unnest(%(names)s::text[]) AS name ORDER BY 1) AS locks;

-- name: end_calls
DELETE FROM agentjobs.limit_running WHERE call = ANY(%(calls)s::uuid[]);

-- name: take
-- Grants the longest prefix of the asked, `n` from 1 on. One that is refused ends it, so the sum before each is what is
-- taken before it. Slices, what counts and the rule are explained in `protocols.ModelLimits` and `model_records.Room`.
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now),
buckets AS MATERIALIZED (
    SELECT
        bucket,
        span,
        CASE
            WHEN span = 0 THEN 0
            WHEN span >= 86400 THEN (now AT TIME ZONE time_zone)::date - date '1970-01-01'
            ELSE floor(extract(epoch FROM now)::double precision * 60 / span)
        END::bigint AS slice,
        -- Seconds from now to the end of a slice, less the slices between it and the current one.
        CASE
            WHEN span = 0 THEN 0
            WHEN span >= 86400 THEN extract(
                epoch FROM ((now AT TIME ZONE time_zone)::date + 1)::timestamp AT TIME ZONE time_zone - now
            )
            ELSE (1 + floor(extract(epoch FROM now)::double precision * 60 / span)) * span / 60
                - extract(epoch FROM now)::double precision
        END::double precision AS rest
    FROM moment, json_to_recordset(%(limits)s) AS given (bucket text, span double precision, time_zone text)
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
    INNER JOIN agentjobs.limit_slices AS slices ON slices.cluster = %(cluster)s AND slices.bucket = buckets.bucket
    WHERE span > 0
        -- A clock that went back leaves slices of the future. More than a window ahead it was wrong.
        AND slices.slice <= buckets.slice + CASE WHEN span >= 86400 THEN 0 ELSE 60 END
        AND CASE
            WHEN span >= 86400 THEN slices.slice >= buckets.slice
            ELSE rest + (slices.slice - buckets.slice + 60) * span / 60 + %(grace)s > 0
        END
    UNION ALL
    SELECT buckets.bucket, 1, NULL
    FROM buckets
    CROSS JOIN moment
    INNER JOIN agentjobs.limit_running AS running
        ON running.cluster = %(cluster)s AND running.bucket = buckets.bucket
    LEFT JOIN agentjobs.proxies ON proxies.id = running.proxy
    WHERE span = 0 AND greatest(running.since, proxies.seen_at) > now - interval '45 seconds'
),
sums AS MATERIALIZED (
    SELECT buckets.*, coalesce(sum(counted.used), 0)::bigint AS used
    FROM buckets LEFT JOIN counted USING (bucket)
    GROUP BY buckets.bucket, span, slice, rest
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
    SELECT coalesce(min(n) - 1, %(asked)s)::integer AS granted
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
probing AS (
    UPDATE agentjobs.closed_keys AS closed
    SET probe = now + make_interval(secs => %(probe)s)
    FROM shut, granting, moment
    WHERE closed.cluster = %(cluster)s AND closed.key = shut.key AND closed.model = shut.model AND n <= granted
    RETURNING closed.key
),
forgotten AS (
    DELETE FROM agentjobs.limit_slices AS slices
    USING buckets
    WHERE slices.cluster = %(cluster)s
        AND slices.bucket = buckets.bucket
        AND slices.slice < buckets.slice - CASE WHEN span >= 86400 THEN 0 ELSE 61 + %(grace)s * 60 / nullif(span, 0) END
)
SELECT
    granted,
    (SELECT json_agg(json_build_array(bucket, slice, rest, used)) FROM sums) AS buckets,
    (
        SELECT json_agg(json_build_array(bucket, frees, used) ORDER BY frees)
        FROM counted
        WHERE frees IS NOT NULL AND granted < %(asked)s
    ) AS frees,
    (SELECT json_agg(json_build_array(key, seconds)) FROM shut WHERE seconds > 0) AS closed,
    (SELECT json_agg(key) FROM probing) AS probes
FROM granting;

-- name: correct
UPDATE agentjobs.limit_slices AS slices
SET used = greatest(0, slices.used + given.amount)
FROM json_to_recordset(%(corrections)s) AS given (bucket text, slice bigint, amount bigint)
WHERE slices.cluster = %(cluster)s AND slices.bucket = given.bucket AND slices.slice = given.slice;

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
-- One that was closed and not tried since stays closed to those who ask no limits, until they try it by `take`.
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
