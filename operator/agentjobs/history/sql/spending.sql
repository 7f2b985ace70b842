-- The statements of `spending`. Parameters: %(name)s; `rows` is a JSON array of objects, one per row.

-- name: spent
SELECT given.uid, given.attempt, recorded.used, spent.calls, spent.input, spent.output, spent.cost
FROM json_to_recordset(%(rows)s) AS given (uid text, attempt integer, before integer)
CROSS JOIN LATERAL (
    SELECT json_agg(starts.usage) AS used
    FROM agentjobs.starts
    WHERE starts.uid = given.uid
        AND (given.attempt IS NULL OR starts.attempt = given.attempt)
        AND (given.before IS NULL OR starts.start < given.before)
        AND starts.usage IS NOT NULL
) AS recorded
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(calls), 0) AS calls, coalesce(sum(input), 0) AS input, coalesce(sum(output), 0) AS output,
        sum(cost) AS cost
    FROM agentjobs.model_spend
    WHERE model_spend.uid = given.uid AND (given.attempt IS NULL OR model_spend.attempt = given.attempt)
) AS spent;

-- name: turns
-- Answers that runners count as turns, including those of abandoned runs.
SELECT count(*) AS turns
FROM agentjobs.steps
WHERE uid = %(uid)s
    AND kind = 'model'
    AND ended IS NOT NULL
    AND start < %(before)s
    AND request ->> 'turn' = 'true'
    AND (%(attempt)s::integer IS NULL OR request ->> 'attempt' = %(attempt)s::text);
