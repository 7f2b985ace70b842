-- What `queue_models` asks. Parameters: %(name)s; `rows` is a JSON array of objects, one a row.

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
SELECT given.n, spend.partition_key, sum(spend.cost) AS cost, sum(spend.tokens)::bigint AS tokens
FROM json_to_recordset(%(rows)s) AS given (n integer, namespace text, queue text, slice bigint)
INNER JOIN agentjobs.queue_spend AS spend
    ON spend.cluster = %(cluster)s
    AND spend.namespace = given.namespace
    AND spend.queue = given.queue
    AND spend.slice >= given.slice
GROUP BY given.n, spend.partition_key;
