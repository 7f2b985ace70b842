-- The statements of `overview`. Parameters: %(name)s. None is prepared, so that the planner knows the period and the
-- number of namespaces: with the plan for an hour, 90 days would take minutes.

-- name: open_jobs
-- Jobs that have not ended are few, and have an index of their own.
SELECT
    namespace, queue, phase, reason,
    count(*) AS jobs,
    min(coalesce(changed_at, created_at)) AS since
FROM agentjobs.jobs
WHERE cluster = %(cluster)s
    AND finished_at IS NULL AND deleted_at IS NULL
    AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
GROUP BY namespace, queue, phase, reason
ORDER BY jobs DESC, namespace, queue, phase, reason
LIMIT %(limit)s;

-- name: created
-- `created`, `ended` and `failures` use index-only scans per namespace; without a namespace there is no index by time.
SELECT slice, sum(jobs)::bigint AS jobs
FROM unnest(%(places)s::text[]) AS places (namespace)
CROSS JOIN LATERAL (
    SELECT date_bin(%(width)s::interval, created_at, %(since)s::timestamptz) AS slice, count(*) AS jobs
    FROM agentjobs.jobs
    WHERE cluster = %(cluster)s AND jobs.namespace = places.namespace
        AND created_at >= %(since)s AND created_at < %(until)s
    GROUP BY 1
) AS counted
GROUP BY slice;

-- name: is_alone
-- Whether the database has jobs of one cluster only. Both ends are read from an index.
SELECT coalesce(min(cluster) = max(cluster), TRUE) AS is_alone FROM agentjobs.jobs;

-- name: started_anywhere
-- All starts, if the caller may read all namespaces and no other cluster has jobs: starts have no column for the
-- cluster.
SELECT date_bin(%(width)s::interval, started_at, %(since)s::timestamptz) AS slice, count(*) AS jobs
FROM agentjobs.starts
WHERE started_at >= %(since)s AND started_at < %(until)s
GROUP BY 1;

-- name: started_lately
-- Looks up the job of each of a few starts: the planner would scan all jobs. OFFSET prevents that.
SELECT date_bin(%(width)s::interval, starts.started_at, %(since)s::timestamptz) AS slice, count(*) AS jobs
FROM agentjobs.starts
CROSS JOIN LATERAL (
    SELECT
    FROM agentjobs.jobs
    WHERE jobs.uid = starts.uid
        AND jobs.cluster = %(cluster)s
        AND (%(namespaces)s::text[] IS NULL OR jobs.namespace = ANY(%(namespaces)s::text[]))
    OFFSET 0
) AS own
WHERE starts.started_at >= %(since)s AND starts.started_at < %(until)s
GROUP BY 1;

-- name: started
SELECT date_bin(%(width)s::interval, starts.started_at, %(since)s::timestamptz) AS slice, count(*) AS jobs
FROM agentjobs.starts
JOIN agentjobs.jobs ON jobs.uid = starts.uid
WHERE starts.started_at >= %(since)s AND starts.started_at < %(until)s
    AND jobs.cluster = %(cluster)s
    AND (%(namespaces)s::text[] IS NULL OR jobs.namespace = ANY(%(namespaces)s::text[]))
GROUP BY 1;

-- name: ended
SELECT slice, phase, sum(jobs)::bigint AS jobs
FROM unnest(%(places)s::text[]) AS places (namespace)
CROSS JOIN LATERAL (
    SELECT
        date_bin(%(width)s::interval, finished_at, %(since)s::timestamptz) AS slice,
        ended_phase AS phase,
        count(*) AS jobs
    FROM agentjobs.jobs
    WHERE cluster = %(cluster)s AND jobs.namespace = places.namespace
        AND finished_at >= %(since)s AND finished_at < %(until)s
    GROUP BY 1, 2
) AS counted
GROUP BY slice, phase;

-- name: failures
SELECT reason, sum(counted.jobs)::bigint AS jobs, max(counted.latest) AS latest
FROM unnest(%(places)s::text[]) AS places (namespace)
CROSS JOIN LATERAL (
    SELECT ended_reason AS reason, count(*) AS jobs, max(finished_at) AS latest
    FROM agentjobs.jobs
    WHERE cluster = %(cluster)s AND jobs.namespace = places.namespace
        AND finished_at >= %(since)s AND finished_at < %(until)s AND ended_phase = 'Failed'
    GROUP BY ended_reason
) AS counted
GROUP BY reason
ORDER BY jobs DESC, reason
LIMIT %(limit)s;

-- name: usage_by_quarters
-- Keys are ranked here: there may be a partition per customer. `rank` is null for those after the first ones.
WITH used AS MATERIALIZED (
    SELECT
        (slice - %(first)s) / %(quarters)s AS slice,
        CASE %(by)s::text WHEN 'queue' THEN queue WHEN 'model' THEN model ELSE partition_key END AS key,
        sum(calls) AS calls, sum(input) AS input, sum(output) AS output, sum(cost) AS cost
    FROM agentjobs.queue_usage
    WHERE cluster = %(cluster)s
        AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
        AND slice >= %(first)s AND slice < %(last)s
    GROUP BY 1, 2
), ranked AS (
    SELECT key, row_number() OVER (ORDER BY sum(cost) DESC, sum(input + output) DESC, key) AS rank
    FROM used
    GROUP BY key
)
SELECT
    used.slice,
    CASE WHEN ranked.rank <= %(keys)s THEN ranked.rank END AS rank,
    CASE WHEN ranked.rank <= %(keys)s THEN used.key END AS key,
    sum(used.calls)::bigint AS calls, sum(used.input)::bigint AS input, sum(used.output)::bigint AS output,
    sum(used.cost) AS cost
FROM used
JOIN ranked USING (key)
GROUP BY 1, 2, 3
ORDER BY 1, 2;

-- name: usage_by_days
WITH used AS MATERIALIZED (
    SELECT
        day - %(first_day)s::date AS slice,
        CASE %(by)s::text WHEN 'queue' THEN queue WHEN 'model' THEN model ELSE partition_key END AS key,
        sum(calls) AS calls, sum(input) AS input, sum(output) AS output, sum(cost) AS cost
    FROM agentjobs.model_usage
    WHERE cluster = %(cluster)s
        AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
        AND day >= %(first_day)s::date AND day < %(last_day)s::date
    GROUP BY 1, 2
), ranked AS (
    SELECT key, row_number() OVER (ORDER BY sum(cost) DESC, sum(input + output) DESC, key) AS rank
    FROM used
    GROUP BY key
)
SELECT
    used.slice,
    CASE WHEN ranked.rank <= %(keys)s THEN ranked.rank END AS rank,
    CASE WHEN ranked.rank <= %(keys)s THEN used.key END AS key,
    sum(used.calls)::bigint AS calls, sum(used.input)::bigint AS input, sum(used.output)::bigint AS output,
    sum(used.cost) AS cost
FROM used
JOIN ranked USING (key)
GROUP BY 1, 2, 3
ORDER BY 1, 2;
