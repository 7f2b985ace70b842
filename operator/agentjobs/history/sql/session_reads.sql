-- The statements of `session_reads` and `session_removal`. Parameters: %(name)s.

-- name: sessions
SELECT
    scopes.id::text AS id,
    scopes.app,
    scopes.user_id AS user,
    scopes.session_id AS session,
    scopes.created_at AS created,
    scopes.used_at AS used,
    totals.turns,
    totals.events,
    totals.bytes,
    scopes.artifacts,
    scopes.artifact_bytes
FROM agentjobs.scopes
CROSS JOIN LATERAL (
    SELECT count(*) AS turns, coalesce(sum(events), 0) AS events, coalesce(sum(bytes), 0) AS bytes
    FROM agentjobs.turns
    WHERE turns.scope = scopes.id
) AS totals
WHERE scopes.cluster = %(cluster)s AND scopes.namespace = %(namespace)s AND scopes.session_id <> ''
    /* conditions */
ORDER BY scopes.used_at DESC, scopes.id DESC
LIMIT %(limit)s;

-- name: session_turns
SELECT number, uid, job, mode, start, stored_at AS stored, events, bytes
FROM agentjobs.turns
WHERE scope = %(scope)s::uuid
ORDER BY number DESC
LIMIT %(limit)s;

-- name: session_state
SELECT state FROM agentjobs.turns WHERE scope = %(scope)s::uuid ORDER BY number DESC LIMIT 1;

-- name: states
SELECT scope, json_object_agg(key, value ORDER BY key) AS state
FROM agentjobs.states
WHERE scope = ANY(%(ids)s::uuid[])
GROUP BY scope;

-- name: session_events
-- `before` is the sum of the bytes of the page's earlier events; events that exceed the page's limit are omitted.
SELECT turn, job, n, CASE WHEN before < %(most)s THEN event END AS event, before
FROM (
    SELECT
        page.*,
        coalesce(
            sum(octet_length(event)) OVER (ORDER BY turn, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS before
    FROM (
        SELECT turns.number AS turn, turns.job, turn_events.n, turn_events.event::text AS event
        FROM agentjobs.turns
        JOIN agentjobs.turn_events ON turn_events.uid = turns.uid
        WHERE turns.scope = %(scope)s::uuid AND (turns.number, turn_events.n) > (%(turn)s, %(n)s)
        ORDER BY turns.number, turn_events.n
        LIMIT %(limit)s
    ) AS page
) AS sized
ORDER BY turn, n;

-- name: artifacts
SELECT name, version, kind, mime, bytes, stored_at AS stored, uid AS job, metadata
FROM agentjobs.artifacts
WHERE scope = ANY(%(ids)s::uuid[]) AND (name, version) > (%(name)s, %(version)s)
ORDER BY name, version
LIMIT %(limit)s;

-- name: scopes_of_user
SELECT id
FROM agentjobs.scopes
WHERE cluster = %(cluster)s AND namespace = %(namespace)s AND user_id = %(user)s
    AND (%(app)s::text IS NULL OR app = %(app)s);

-- name: unused_scopes
SELECT id
FROM agentjobs.scopes
WHERE cluster = %(cluster)s
    AND (%(namespaces)s::text[] IS NULL OR namespace = ANY(%(namespaces)s::text[]))
    AND used_at < clock_timestamp() - %(keep)s::interval
    AND id > %(after)s::uuid
ORDER BY id
LIMIT %(limit)s;

-- name: lock_scopes
-- Writers of a scope lock it, too, in the same order.
SELECT id
FROM agentjobs.scopes
WHERE id = ANY(%(ids)s::uuid[])
    AND (%(keep)s::interval IS NULL OR used_at < clock_timestamp() - %(keep)s::interval)
ORDER BY id
FOR UPDATE;

-- name: remove_artifacts
WITH gone AS (
    DELETE FROM agentjobs.artifacts
    WHERE (scope, name, version) IN (
        SELECT scope, name, version FROM agentjobs.artifacts WHERE scope = ANY(%(ids)s::uuid[]) LIMIT %(batch)s
    )
    RETURNING scope, id, bytes
), chunks AS (
    DELETE FROM agentjobs.artifact_chunks USING gone WHERE artifact_chunks.artifact = gone.id
), counted AS (
    UPDATE agentjobs.scopes
    SET artifacts = artifacts - less.versions, artifact_bytes = artifact_bytes - less.bytes
    FROM (SELECT scope, count(*) AS versions, sum(bytes) AS bytes FROM gone GROUP BY scope) AS less
    WHERE scopes.id = less.scope
)
SELECT count(*) FROM gone;

-- name: remove_turns
-- Their events are deleted with them.
WITH gone AS (
    DELETE FROM agentjobs.turns
    WHERE uid IN (SELECT uid FROM agentjobs.turns WHERE scope = ANY(%(ids)s::uuid[]) LIMIT %(batch)s)
    RETURNING uid
)
SELECT count(*) FROM gone;

-- name: remove_states
WITH gone AS (
    DELETE FROM agentjobs.states
    WHERE (scope, key) IN (SELECT scope, key FROM agentjobs.states WHERE scope = ANY(%(ids)s::uuid[]) LIMIT %(batch)s)
    RETURNING key
)
SELECT count(*) FROM gone;

-- name: remove_scopes
-- Only empty scopes: what was added meanwhile stays.
WITH gone AS (
    DELETE FROM agentjobs.scopes
    WHERE id = ANY(%(ids)s::uuid[])
        AND NOT EXISTS (SELECT FROM agentjobs.artifacts WHERE artifacts.scope = scopes.id)
        AND NOT EXISTS (SELECT FROM agentjobs.turns WHERE turns.scope = scopes.id)
        AND NOT EXISTS (SELECT FROM agentjobs.states WHERE states.scope = scopes.id)
    RETURNING session_id
)
SELECT count(*) FROM gone WHERE session_id <> '';

-- name: remove_lost_chunks
-- Chunks of saves that were abandoned because the process that would have removed them ended.
WITH gone AS (
    DELETE FROM agentjobs.artifact_chunks
    WHERE (artifact, n) IN (
        SELECT chunks.artifact, chunks.n
        FROM agentjobs.artifact_chunks AS chunks
        WHERE chunks.stored_at < clock_timestamp() - interval '1 day'
            AND NOT EXISTS (SELECT FROM agentjobs.artifacts WHERE artifacts.id = chunks.artifact)
        LIMIT %(batch)s
    )
    RETURNING n
)
SELECT count(*) FROM gone;
