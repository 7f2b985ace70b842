-- The statements of `reads`. Parameters: %(name)s. `/* … */` is replaced by the conditions of the caller's filter.

-- name: jobs
-- A page is a query for jobs, with the columns `uid` and `place`: one of `listing`, `job` or `tree`. Each job is read by
-- its key, whatever number of jobs the planner expects: OFFSET keeps it from joins.
SELECT
    jobs.uid,
    jobs.namespace,
    jobs.name,
    CASE WHEN jobs.finished_at IS NULL AND jobs.deleted_at IS NOT NULL THEN 'Deleted' ELSE jobs.phase END AS phase,
    jobs.reason,
    jobs.message,
    jobs.created_at AS created,
    jobs.changed_at AS changed,
    jobs.finished_at AS finished,
    jobs.deleted_at AS deleted,
    jobs.schedule,
    jobs.template,
    jobs.partition_key,
    coalesce(newest.attempt, 0) AS attempts,
    coalesce(newest.start, 0) AS starts,
    jobs.queue,
    CASE
        WHEN coalesce(jobs.finished_at, jobs.deleted_at) IS NULL
            THEN coalesce(jobs.priority, (jobs.resolved #>> '{spec,priority}')::integer)
    END AS priority,
    jobs.model,
    jobs.labels,
    CASE
        WHEN coalesce(jobs.finished_at, jobs.deleted_at) IS NOT NULL THEN jobs.cost
        ELSE (SELECT sum(cost) FROM agentjobs.model_spend AS spend WHERE spend.uid = jobs.uid)
    END AS cost_usd,
    CASE
        WHEN coalesce(jobs.finished_at, jobs.deleted_at) IS NOT NULL THEN jobs.outcome
        ELSE (SELECT result ->> 'outcome' FROM agentjobs.results WHERE results.uid = jobs.uid)
    END AS outcome,
    jobs.workspace,
    jobs.spec_hash,
    jobs.parent_uid
FROM (SELECT ''::text AS uid, 0 AS place /* page */) AS page
CROSS JOIN LATERAL (SELECT * FROM agentjobs.jobs AS own WHERE own.uid = page.uid OFFSET 0) AS jobs
LEFT JOIN LATERAL (
    SELECT start, attempt FROM agentjobs.starts WHERE starts.uid = jobs.uid ORDER BY start DESC LIMIT 1
) AS newest ON TRUE
ORDER BY page.place;

-- name: job
-- The page of one job: by uid, otherwise the newest of that name.
SELECT uid, 0 AS place
FROM agentjobs.jobs
WHERE cluster = %(cluster)s AND namespace = %(namespace)s AND (uid = %(name_or_uid)s OR name = %(name_or_uid)s)
ORDER BY uid = %(name_or_uid)s DESC, created_at DESC, uid DESC
LIMIT 1;

-- name: tree
-- The page of a lineage: from the job up to the root, and down from there. UNION returns no job twice, so that
-- annotations that name a cycle of parents end as well.
WITH RECURSIVE up AS (
    SELECT uid, parent_uid FROM agentjobs.jobs WHERE uid = %(uid)s
    UNION
    SELECT before.uid, before.parent_uid
    FROM up
    JOIN agentjobs.jobs AS before ON before.uid = up.parent_uid
    WHERE before.cluster = %(cluster)s AND before.namespace = %(namespace)s
), down AS (
    SELECT uid
    FROM (
        SELECT uid, 0 AS far FROM up WHERE parent_uid NOT IN (SELECT uid FROM up)
        UNION ALL
        SELECT %(uid)s, 1
        ORDER BY far
        LIMIT 1
    ) AS root
    UNION
    SELECT child.uid
    FROM down
    JOIN agentjobs.jobs AS child ON child.parent_uid = down.uid AND child.parent_uid <> ''
    WHERE child.cluster = %(cluster)s AND child.namespace = %(namespace)s
)
SELECT uid, row_number() OVER () AS place
FROM (SELECT uid FROM down LIMIT %(limit)s) AS first;

-- name: starts
SELECT
    start, attempt, pod, started_at AS started, claimed_at AS claimed, heartbeat_at AS heartbeat, ended_at AS ended,
    verdict, reason, charged, message, reported, usage, spent.cost_usd
FROM agentjobs.starts
LEFT JOIN (
    SELECT start, sum(cost) AS cost_usd
    FROM agentjobs.model_calls
    WHERE uid = %(uid)s AND outcome <> 'Failed'
    GROUP BY start
) AS spent USING (start)
WHERE uid = %(uid)s
ORDER BY start DESC
LIMIT %(limit)s;

-- name: transitions
SELECT transition, time, phase, reason, message
FROM agentjobs.transitions
WHERE uid = %(uid)s
ORDER BY transition DESC
LIMIT %(limit)s;

-- name: events
-- `before` is the sum of the bytes of earlier events; data that exceeds the page's limit is omitted.
SELECT start, seq, time, kind, author, CASE WHEN before < %(most)s THEN data END AS data, before
FROM (
    SELECT
        page.*,
        coalesce(
            sum(octet_length(data)) OVER (ORDER BY start, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS before
    FROM (
        SELECT start, seq, time, kind, author, data::text AS data
        FROM agentjobs.events
        WHERE uid = %(uid)s
            /* conditions */
        ORDER BY start, seq
        LIMIT %(limit)s
    ) AS page
) AS sized
ORDER BY start, seq;

-- name: events_newest
SELECT start, seq, time, kind, author, CASE WHEN before < %(most)s THEN data END AS data, before
FROM (
    SELECT
        page.*,
        coalesce(
            sum(octet_length(data)) OVER (
                ORDER BY start DESC, seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            0
        ) AS before
    FROM (
        SELECT start, seq, time, kind, author, data::text AS data
        FROM agentjobs.events
        WHERE uid = %(uid)s
            /* conditions */
        ORDER BY start DESC, seq DESC
        LIMIT %(limit)s
    ) AS page
) AS sized
ORDER BY start DESC, seq DESC;

-- name: spans
SELECT n, start, kind, name, began, ended
FROM agentjobs.steps
WHERE uid = %(uid)s
ORDER BY n
LIMIT %(limit)s;

-- name: steps
-- A call belongs to one row: of the rows that have its key in its run, all but one of which are void, the first one
-- that ended after the call began, otherwise the last. They are selected in two parts, because each part has its own
-- index.
SELECT
    steps.*, ended IS NOT NULL AND NOT void AND EXISTS (
        SELECT FROM agentjobs.starts AS later
        WHERE later.uid = %(uid)s AND later.run = steps.run AND later.start > steps.start
    ) AS replayed,
    calls.cost_usd, calls.served, calls.tries
FROM (
    SELECT n, run, start, key, kind, agent, name, began, ended, bytes, coalesce(usage, '{}') AS usage, void
    FROM agentjobs.steps
    WHERE uid = %(uid)s AND n > %(after)s
        /* conditions */
    ORDER BY n
    LIMIT %(limit)s
) AS steps
CROSS JOIN LATERAL (
    SELECT max(same.ended) FILTER (WHERE same.n < steps.n) AS before, coalesce(max(same.n) > steps.n, FALSE) AS again
    FROM (
        SELECT n, ended
        FROM agentjobs.steps AS live
        WHERE live.uid = %(uid)s AND live.run = steps.run AND live.key = steps.key AND NOT live.void
        UNION ALL
        SELECT n, ended
        FROM agentjobs.steps AS void
        WHERE void.uid = %(uid)s AND void.run = steps.run AND void.key = steps.key AND void.void
    ) AS same
) AS others
CROSS JOIN LATERAL (
    SELECT
        sum(made.cost) FILTER (WHERE made.outcome <> 'Failed') AS cost_usd,
        (array_agg(nullif(made.model, made.asked) ORDER BY made.began DESC) FILTER (WHERE made.outcome = 'Answered'))[1]
            AS served,
        count(*) AS tries
    FROM agentjobs.model_calls AS made
    JOIN agentjobs.starts ON starts.uid = made.uid AND starts.start = made.start
    WHERE made.uid = %(uid)s AND made.step = steps.key AND starts.run = steps.run
        AND made.began > coalesce(others.before, '-infinity')
        AND (NOT others.again OR made.began <= steps.ended)
) AS calls
ORDER BY n;

-- name: step_content
SELECT request::text AS request, body FROM agentjobs.steps WHERE uid = %(uid)s AND n = %(n)s;

-- name: result
SELECT result::text FROM agentjobs.results WHERE uid = %(uid)s;

-- name: parameters
SELECT (resolved #> '{template,parameters}')::text AS parameters FROM agentjobs.jobs WHERE uid = %(uid)s;

-- name: spec
SELECT (resolved -> 'spec')::text AS spec FROM agentjobs.jobs WHERE uid = %(uid)s;
