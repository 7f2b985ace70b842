-- The statements of `model_calls`. Parameters: %(name)s; `rows` is a JSON array of objects, one per row.

-- name: in_turn
-- A separate statement before `reserve`, so that `reserve` reads everything that was reserved before.
SELECT pg_advisory_xact_lock(hashtextextended(%(uid)s, 0));

-- name: reserve
-- The rule of `models.budget.judge`. Ended and running calls are read from one snapshot, so a call that is settled
-- meanwhile counts exactly once. The start's row is read without a lock: a call that begins a moment before its start
-- is fenced does no more harm than one that began a second earlier, and heartbeats do not wait for calls.
WITH holder AS (
    SELECT
        starts.pod_uid, starts.fenced_at, starts.attempt,
        starts.pod_uid = %(pod)s AND starts.fenced_at IS NULL AS holds,
        same.id IS NOT NULL AS is_known,
        same.ended IS NOT NULL AS is_over
    FROM agentjobs.starts
    JOIN agentjobs.jobs ON jobs.uid = starts.uid
    LEFT JOIN (
        -- By the key only: a plan that was made while the table was small would scan all calls of the job.
        SELECT id, uid, start, ended FROM agentjobs.model_calls WHERE id = %(id)s OFFSET 0
    ) AS same ON same.uid = starts.uid AND same.start = starts.start
    WHERE starts.uid = %(uid)s AND starts.start = %(start)s AND jobs.cluster = %(cluster)s
), spent AS (
    SELECT
        coalesce(sum(spend.cost), 0) AS cost,
        coalesce(sum(spend.input + spend.output), 0) AS tokens,
        coalesce(sum(spend.calls), 0) AS calls
    FROM agentjobs.model_spend AS spend
    JOIN holder ON NOT %(by_attempt)s OR spend.attempt = holder.attempt
    WHERE spend.uid = %(uid)s
), under_way AS (
    SELECT
        coalesce(sum(others.reserved_cost), 0) AS cost,
        coalesce(sum(others.reserved_tokens), 0) AS tokens,
        count(*) AS calls
    FROM agentjobs.model_calls AS others
    JOIN holder ON NOT %(by_attempt)s OR others.attempt = holder.attempt
    WHERE others.uid || '' = %(uid)s AND others.ended IS NULL
), judged AS (
    SELECT
        spent.*,
        CASE
            WHEN spent.cost >= most.cost THEN 'maxCostUSD'
            WHEN spent.tokens >= most.tokens THEN 'maxTokens'
            WHEN spent.calls >= most.calls THEN 'maxLLMCalls'
        END AS reached,
        CASE
            WHEN under_way.calls = 0 THEN NULL
            WHEN spent.cost + under_way.cost + own.cost > most.cost THEN 'maxCostUSD'
            WHEN spent.tokens + under_way.tokens + own.tokens > most.tokens THEN 'maxTokens'
            WHEN spent.calls + under_way.calls + 1 > most.calls THEN 'maxLLMCalls'
        END AS needed
    FROM spent, under_way,
        (
            SELECT
                %(most_cost)s::numeric AS cost, %(most_tokens)s::numeric AS tokens, %(most_calls)s::numeric AS calls
        ) AS most,
        (SELECT %(cost)s::numeric AS cost, %(tokens)s::bigint AS tokens) AS own
), reserved AS (
    INSERT INTO agentjobs.model_calls
        (
            id, uid, start, attempt, proxy, step, provider, key, asked, model,
            reserved_tokens, reserved_cost
        )
    SELECT
        %(id)s, %(uid)s, %(start)s, holder.attempt, %(proxy)s, %(step)s, %(provider)s, '', %(requested)s, %(model)s,
        %(tokens)s, %(cost)s
    FROM holder, judged
    WHERE holder.holds AND NOT holder.is_known AND judged.reached IS NULL AND judged.needed IS NULL
)
SELECT holder.*, judged.* FROM holder, judged;

-- name: settle
-- Rows are always locked in the same order, otherwise two batches could deadlock: calls, the usage per day, and the
-- usage of jobs and queues, each by its key; rows of jobs before those of usage. A call that has ended is not changed.
WITH given AS (
    SELECT *
    FROM json_to_recordset(%(rows)s)
        AS reported (
            id uuid, outcome text, status integer, provider text, key text, model text, input bigint, output bigint,
            cached bigint, cache_written bigint, thinking bigint, cost numeric, estimated boolean, queue text,
            content json
        )
), locked AS (
    -- Each by its key, and a filter on the row for whether it has ended: a plan that was made while the table was small
    -- would scan all calls.
    SELECT own.id, own.ended
    FROM (SELECT id FROM unnest(%(ids)s::uuid[]) AS id ORDER BY id) AS requested
    CROSS JOIN LATERAL (
        SELECT id, ended FROM agentjobs.model_calls WHERE model_calls.id = requested.id FOR UPDATE
    ) AS own
), ended AS (
    UPDATE agentjobs.model_calls AS calls
    SET ended = clock_timestamp(),
        outcome = given.outcome,
        status = given.status,
        -- A call that was never sent, or was refused before, is reported with the model that was requested.
        provider = coalesce(nullif(given.provider, ''), calls.provider),
        key = given.key,
        model = coalesce(nullif(given.model, ''), calls.model),
        input = given.input,
        output = given.output,
        cached = given.cached,
        cache_written = given.cache_written,
        thinking = given.thinking,
        cost = coalesce(given.cost, calls.reserved_cost),
        estimated = given.estimated,
        content = given.content
    FROM given
    JOIN locked USING (id)
    WHERE calls.id = given.id AND locked.ended IS NULL
    RETURNING
        calls.uid, calls.attempt, calls.provider, calls.model, calls.ended, calls.outcome, calls.input, calls.output,
        calls.cached, calls.cache_written, calls.thinking, calls.cost, given.queue
), booked AS (
    -- A call that the provider refused does not count against a budget.
    SELECT * FROM ended WHERE outcome <> 'Failed'
), owners AS MATERIALIZED (
    SELECT
        uid, cluster, namespace, partition_key,
        coalesce(resolved #>> '{spec,session,userId}', 'system') AS user_id,
        coalesce(resolved #>> '{spec,queue}', '') AS queue,
        coalesce(finished_at, deleted_at) IS NOT NULL AS has_ended
    FROM agentjobs.jobs
    WHERE uid IN (SELECT uid FROM booked)
    ORDER BY uid
    -- Whether a job has ended is read under the lock, when its end cannot be written: then its row has its cost.
    FOR NO KEY UPDATE
), late AS (
    UPDATE agentjobs.jobs
    SET cost = least(coalesce(jobs.cost, 0) + added.cost, 9999999999)
    FROM (SELECT uid, sum(cost) AS cost FROM booked GROUP BY uid) AS added
    JOIN owners USING (uid)
    WHERE jobs.uid = added.uid AND owners.has_ended
), spent AS (
    INSERT INTO agentjobs.model_spend AS spend
        (uid, attempt, calls, input, output, cached, cache_written, thinking, cost)
    SELECT
        uid, attempt, count(*), sum(input), sum(output), sum(cached), sum(cache_written), sum(thinking), sum(cost)
    FROM booked
    GROUP BY uid, attempt
    ORDER BY uid, attempt
    ON CONFLICT (uid, attempt) DO UPDATE
    SET calls = spend.calls + excluded.calls,
        input = spend.input + excluded.input,
        output = spend.output + excluded.output,
        cached = spend.cached + excluded.cached,
        cache_written = spend.cache_written + excluded.cache_written,
        thinking = spend.thinking + excluded.thinking,
        cost = least(spend.cost + excluded.cost, 9999999999)
), of_queues AS (
    -- For budgets of queues and for charts. Midnight is the beginning of a quarter of an hour in every time zone.
    INSERT INTO agentjobs.queue_usage AS used
        (cluster, namespace, queue, slice, partition_key, model, calls, input, output, cost)
    SELECT
        owners.cluster, owners.namespace, coalesce(nullif(booked.queue, ''), owners.queue),
        floor(extract(epoch FROM booked.ended) / 900)::bigint, owners.partition_key, booked.model,
        count(*), sum(booked.input), sum(booked.output), sum(booked.cost)
    FROM booked
    JOIN owners USING (uid)
    GROUP BY 1, 2, 3, 4, 5, 6
    ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (cluster, namespace, queue, slice, partition_key, model) DO UPDATE
    SET calls = used.calls + excluded.calls,
        input = used.input + excluded.input,
        output = used.output + excluded.output,
        cost = least(used.cost + excluded.cost, 9999999999)
)
INSERT INTO agentjobs.model_usage AS usage
    (
        cluster, day, namespace, queue, partition_key, user_id, provider, model,
        calls, input, output, cached, cache_written, thinking, cost
    )
SELECT
    owners.cluster, (booked.ended AT TIME ZONE 'UTC')::date, owners.namespace,
    coalesce(nullif(booked.queue, ''), owners.queue), owners.partition_key, owners.user_id, booked.provider,
    booked.model, count(*), sum(booked.input), sum(booked.output), sum(booked.cached), sum(booked.cache_written),
    sum(booked.thinking), sum(booked.cost)
FROM booked
JOIN owners USING (uid)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (cluster, day, namespace, queue, partition_key, user_id, provider, model) DO UPDATE
SET calls = usage.calls + excluded.calls,
    input = usage.input + excluded.input,
    output = usage.output + excluded.output,
    cached = usage.cached + excluded.cached,
    cache_written = usage.cache_written + excluded.cache_written,
    thinking = usage.thinking + excluded.thinking,
    cost = least(usage.cost + excluded.cost, 9999999999);

-- name: heartbeat
-- If a proxy has not been seen for long, its time is reset: history may have been unavailable, and then all are that
-- old.
INSERT INTO agentjobs.proxies AS own (id, cluster, told)
VALUES (%(proxy)s, %(cluster)s, %(report)s)
ON CONFLICT (id) DO UPDATE
SET seen_at = clock_timestamp(),
    since = CASE WHEN own.seen_at < clock_timestamp() - %(missed)s::interval THEN clock_timestamp() ELSE own.since END,
    told = excluded.told
RETURNING since < clock_timestamp() - %(missed)s::interval AS is_steady;

-- name: lost
-- Running calls of missing proxies. A recent call may belong to a proxy that has not been seen yet.
SELECT calls.id AS call, calls.provider, calls.model, calls.reserved_tokens AS tokens, calls.reserved_cost AS cost
FROM agentjobs.model_calls AS calls
JOIN agentjobs.jobs ON jobs.uid = calls.uid
WHERE jobs.cluster = %(cluster)s
    AND calls.ended IS NULL
    AND calls.began < clock_timestamp() - %(missed)s::interval
    AND NOT EXISTS (
        SELECT
        FROM agentjobs.proxies
        WHERE proxies.id = calls.proxy AND proxies.seen_at >= clock_timestamp() - %(missed)s::interval
    )
LIMIT %(limit)s;
