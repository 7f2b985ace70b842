-- The statements of `model_reports`. Parameters: %(name)s.

-- name: usage
-- The first row is the total. Columns by which a report is not grouped are null.
SELECT
    namespace, queue, partition, "user", provider, model, day,
    sum(calls) AS calls,
    sum(input) AS input_tokens,
    sum(output) AS output_tokens,
    sum(cached) AS cached_tokens,
    sum(cache_written) AS cache_written_tokens,
    sum(thinking) AS thinking_tokens,
    sum(cost) AS cost_usd
FROM (
    SELECT
        CASE WHEN 'namespace' = ANY(%(by)s::text[]) THEN namespace END AS namespace,
        CASE WHEN 'queue' = ANY(%(by)s::text[]) THEN queue END AS queue,
        CASE WHEN 'partition' = ANY(%(by)s::text[]) THEN partition_key END AS partition,
        CASE WHEN 'user' = ANY(%(by)s::text[]) THEN user_id END AS "user",
        CASE WHEN 'provider' = ANY(%(by)s::text[]) THEN provider END AS provider,
        CASE WHEN 'model' = ANY(%(by)s::text[]) THEN model END AS model,
        CASE WHEN 'day' = ANY(%(by)s::text[]) THEN day END AS day,
        calls, input, output, cached, cache_written, thinking, cost
    FROM agentjobs.model_usage
    WHERE cluster = %(cluster)s AND day BETWEEN %(first)s AND %(last)s
        AND (%(namespace)s::text IS NULL OR namespace = %(namespace)s)
) AS divided
GROUP BY GROUPING SETS ((), (namespace, queue, partition, "user", provider, model, day))
ORDER BY grouping(namespace) DESC, day, cost_usd DESC, namespace, queue, partition, "user", provider, model
LIMIT %(limit)s;

-- name: job_models
SELECT
    provider,
    model,
    count(*) FILTER (WHERE outcome <> 'Failed') AS calls,
    count(*) FILTER (WHERE outcome = 'Failed') AS failed,
    count(*) FILTER (WHERE ended IS NULL) AS under_way,
    count(*) FILTER (WHERE estimated AND outcome <> 'Failed') AS estimated,
    coalesce(sum(input) FILTER (WHERE outcome <> 'Failed'), 0) AS input_tokens,
    coalesce(sum(output) FILTER (WHERE outcome <> 'Failed'), 0) AS output_tokens,
    coalesce(sum(cached) FILTER (WHERE outcome <> 'Failed'), 0) AS cached_tokens,
    coalesce(sum(cache_written) FILTER (WHERE outcome <> 'Failed'), 0) AS cache_written_tokens,
    coalesce(sum(thinking) FILTER (WHERE outcome <> 'Failed'), 0) AS thinking_tokens,
    coalesce(sum(cost) FILTER (WHERE outcome <> 'Failed'), 0) AS cost_usd
FROM agentjobs.model_calls
WHERE uid = %(uid)s
GROUP BY provider, model
ORDER BY cost_usd DESC, provider, model
LIMIT %(limit)s;

-- name: proxies
SELECT id, since, seen_at AS seen, told AS report
FROM agentjobs.proxies
WHERE cluster = %(cluster)s AND seen_at > clock_timestamp() - %(missed)s::interval
ORDER BY id;

-- name: used
-- `protocols.ModelLimits` explains slices and what counts; as in `model_limits.take`.
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT given.bucket, coalesce(sum(slices.used), 0) AS used
FROM moment
CROSS JOIN json_to_recordset(%(limits)s) AS given (bucket text, span double precision, time_zone text)
LEFT JOIN agentjobs.limit_slices AS slices
    ON slices.cluster = %(cluster)s AND slices.bucket = given.bucket
    AND CASE
        WHEN given.span >= 86400 THEN slices.slice = (now AT TIME ZONE given.time_zone)::date - date '1970-01-01'
        ELSE slices.slice BETWEEN floor(extract(epoch FROM now) * 60 / given.span) - 60
            AND floor(extract(epoch FROM now) * 60 / given.span) + 60
    END
WHERE given.span > 0
GROUP BY given.bucket
UNION ALL
SELECT running.bucket, count(*) AS used
FROM moment
CROSS JOIN agentjobs.limit_running AS running
LEFT JOIN agentjobs.proxies ON proxies.id = running.proxy
WHERE running.cluster = %(cluster)s
    AND greatest(running.since, proxies.seen_at) > now - %(missed)s::interval
    AND running.bucket IN (
        SELECT bucket FROM json_to_recordset(%(limits)s) AS given (bucket text, span double precision) WHERE span = 0
    )
GROUP BY running.bucket;

-- name: shut
SELECT key, model, reason, greatest(until, probe) AS until
FROM agentjobs.closed_keys
WHERE cluster = %(cluster)s AND (probe IS NULL OR greatest(until, probe) > clock_timestamp())
ORDER BY key, model
LIMIT %(limit)s;

-- name: spent_up
SELECT model, reason, until
FROM agentjobs.exhausted_models
WHERE cluster = %(cluster)s AND until > clock_timestamp()
ORDER BY model
LIMIT %(limit)s;

-- name: under_way
SELECT jobs.namespace, jobs.name AS job, calls.model, count(*) AS calls, min(calls.began) AS since
FROM agentjobs.model_calls AS calls
JOIN agentjobs.jobs ON jobs.uid = calls.uid
WHERE calls.ended IS NULL
    AND jobs.cluster = %(cluster)s
    AND (%(namespace)s::text IS NULL OR jobs.namespace = %(namespace)s)
GROUP BY jobs.namespace, jobs.name, calls.model
ORDER BY min(calls.began), jobs.namespace, jobs.name, calls.model
LIMIT %(limit)s;

-- name: calls
SELECT
    id, start, attempt, step, asked AS requested, model, provider, key, began, ended, status, outcome,
    input AS input_tokens, output AS output_tokens, cached AS cached_tokens, cache_written AS cache_written_tokens,
    thinking AS thinking_tokens, cost AS cost_usd, reserved_cost AS reserved_usd, estimated,
    content IS NOT NULL AS has_content
FROM agentjobs.model_calls
WHERE uid = %(uid)s
    AND (%(step)s::text IS NULL OR step = %(step)s)
    AND (began, id) > (%(began)s::timestamptz, %(after)s::uuid)
ORDER BY began, id
LIMIT %(limit)s;

-- name: content
SELECT content::text FROM agentjobs.model_calls WHERE uid = %(uid)s AND id = %(id)s;
