-- The statements of `queue_models`. Parameters: %(name)s; `rows` is a JSON array of objects, one per row.

-- name: model_limits
SELECT namespace, queue, limits FROM agentjobs.queue_limits WHERE cluster = %(cluster)s;

-- name: set_model_limits
INSERT INTO agentjobs.queue_limits AS own (cluster, namespace, queue, limits)
VALUES (%(cluster)s, %(namespace)s, %(queue)s, %(limits)s)
ON CONFLICT (cluster, namespace, queue) DO UPDATE
SET limits = excluded.limits, changed_at = clock_timestamp()
WHERE own.limits::text <> excluded.limits::text;

-- name: drop_model_limits
DELETE FROM agentjobs.queue_limits
WHERE cluster = %(cluster)s AND namespace = %(namespace)s AND queue = %(queue)s;

-- name: spent
-- Of all models. `queue_spend` has the sums that proxies of an older release add to.
SELECT given.n, spend.partition_key, sum(spend.cost) AS cost, sum(spend.tokens)::bigint AS tokens
FROM json_to_recordset(%(rows)s) AS given (n integer, namespace text, queue text, slice bigint)
CROSS JOIN LATERAL (
    SELECT used.partition_key, used.cost, used.input + used.output AS tokens
    FROM agentjobs.queue_usage AS used
    WHERE used.cluster = %(cluster)s
        AND used.namespace = given.namespace
        AND used.queue = given.queue
        AND used.slice >= given.slice
    UNION ALL
    SELECT older.partition_key, older.cost, older.tokens
    FROM agentjobs.queue_spend AS older
    WHERE older.cluster = %(cluster)s
        AND older.namespace = given.namespace
        AND older.queue = given.queue
        AND older.slice >= given.slice
) AS spend
GROUP BY given.n, spend.partition_key;
