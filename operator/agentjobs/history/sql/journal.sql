-- The statements of `journal`. Parameters: %(name)s.

-- name: look
-- What a request needs: its start and job, and the rows that have one of its keys. At least one row. Recorded rows are
-- selected in two parts, because each part has its own index.
SELECT head.*, known.*
FROM (
    SELECT
        run AS of_start,
        versions IS NOT NULL AS has_versions,
        usage AS used,
        coalesce((SELECT max(steps.n) FROM agentjobs.steps WHERE steps.uid = starts.uid), 0) AS last,
        (
            SELECT coalesce(sum(others.steps_bytes), 0)::bigint
            FROM agentjobs.starts AS others
            WHERE others.uid = starts.uid AND others.run = %(run)s
        ) AS stored
    FROM agentjobs.starts
    WHERE uid = %(uid)s AND start = %(start)s
) AS head
LEFT JOIN (
    SELECT n, start, key, kind, began, ended, bytes, usage, void
    FROM agentjobs.steps
    WHERE uid = %(uid)s AND run = %(run)s AND key = ANY(%(keys)s::text[]) AND NOT void
    UNION ALL
    SELECT n, start, key, kind, began, ended, bytes, usage, void
    FROM agentjobs.steps
    WHERE uid = %(uid)s AND run = %(run)s AND key = ANY(%(keys)s::text[]) AND void
) AS known ON TRUE;

-- name: change
-- Before `insert`: a key is free again once its row is void. A row without a request keeps its own. Each also updates
-- the start as `note` does, because the number of statements determines the cost of a step.
WITH noted AS (
    UPDATE agentjobs.starts
    SET run = %(run)s,
        versions = coalesce(versions, %(versions)s),
        usage = coalesce(%(usage)s, usage),
        steps_bytes = coalesce(steps_bytes, 0) + %(bytes)s
    WHERE uid = %(uid)s AND start = %(start)s
)
UPDATE agentjobs.steps
SET start = given.start,
    began = given.began,
    ended = given.ended,
    request = coalesce(given.request, steps.request),
    body = CASE
        WHEN given.request IS NULL THEN steps.body
        ELSE convert_from(substring(%(bodies)s::bytea FROM given.at FOR given.size), 'UTF8')
    END,
    bytes = given.bytes,
    usage = given.usage,
    void = given.void
FROM json_to_recordset(%(rows)s)
    AS given (
        n integer, start integer, began timestamptz, ended timestamptz, request json, at integer, size integer,
        bytes integer, usage json, void boolean
    )
WHERE steps.uid = %(uid)s AND steps.n = given.n;

-- name: insert
-- Bodies are passed as one value, and never parsed as JSON here, which would refuse an escaped NUL.
WITH noted AS (
    UPDATE agentjobs.starts
    SET run = %(run)s,
        versions = coalesce(versions, %(versions)s),
        usage = coalesce(%(usage)s, usage),
        steps_bytes = coalesce(steps_bytes, 0) + %(bytes)s
    WHERE uid = %(uid)s AND start = %(start)s
)
INSERT INTO agentjobs.steps
    (uid, n, run, start, key, kind, agent, name, began, ended, request, body, bytes, usage, void)
SELECT
    %(uid)s::text, n, run, start, key, kind, agent, name, began, ended, request,
    convert_from(substring(%(bodies)s::bytea FROM at FOR size), 'UTF8'),
    bytes, usage, void
FROM json_to_recordset(%(rows)s)
    AS given (
        n integer, run integer, start integer, key text, kind text, agent text, name text, began timestamptz,
        ended timestamptz, request json, at integer, size integer, bytes integer, usage json, void boolean
    );

-- name: note
UPDATE agentjobs.starts
SET run = %(run)s,
    versions = coalesce(versions, %(versions)s),
    usage = coalesce(%(usage)s, usage),
    steps_bytes = coalesce(steps_bytes, 0) + %(bytes)s
WHERE uid = %(uid)s AND start = %(start)s;

-- name: page
-- `before` is the sum of the bytes of earlier steps; bodies that exceed the page's limit are omitted. `+ 0` prevents
-- the planner from using the index of keys, with which it would read and sort the whole run for each page.
SELECT
    n, run, start, key, kind, agent, name, began, ended, request::text AS request,
    CASE WHEN before < %(most)s THEN body END AS body,
    bytes, void, before
FROM (
    SELECT page.*, coalesce(sum(bytes) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM (
        SELECT *
        FROM agentjobs.steps
        WHERE uid = %(uid)s
            AND run + 0 = (SELECT run FROM agentjobs.starts WHERE starts.uid = %(uid)s AND starts.start = %(start)s)
            AND NOT void
            AND n > %(after)s
        ORDER BY n
        LIMIT %(limit)s
    ) AS page
) AS sized
ORDER BY n;
