-- The statements of `sessions` and `artifacts` for runners. Parameters: %(name)s.

-- name: session_of
-- The session of a start's job, and the pod that claimed the start.
SELECT
    starts.pod_uid,
    starts.fenced_at,
    coalesce(starts.run, starts.start) AS run,
    jobs.namespace,
    jobs.name,
    jobs.resolved #>> '{spec,session,appName}' AS app,
    jobs.resolved #>> '{spec,session,userId}' AS user_id,
    jobs.resolved #>> '{spec,session,sessionId}' AS session_id,
    coalesce(jobs.resolved #>> '{spec,session,mode}', 'New') AS mode
FROM agentjobs.starts
JOIN agentjobs.jobs ON jobs.uid = starts.uid
WHERE starts.uid = %(uid)s AND starts.start = %(start)s AND jobs.cluster = %(cluster)s;

-- name: use_scopes
-- Creates them, or notes that they are in use. Their rows stay locked: two writers of a scope run one after the other,
-- and all lock scopes in the same order.
INSERT INTO agentjobs.scopes (id, cluster, namespace, app, user_id, session_id)
SELECT id, cluster, namespace, app, user_id, session_id
FROM json_to_recordset(%(rows)s)
    AS scope (id uuid, cluster text, namespace text, app text, user_id text, session_id text)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET used_at = clock_timestamp();

-- name: note_use
-- Once a day is enough, since retention counts days.
UPDATE agentjobs.scopes
SET used_at = clock_timestamp()
WHERE id = ANY(%(ids)s::uuid[]) AND used_at < clock_timestamp() - interval '1 day';

-- name: states
SELECT scope, json_object_agg(key, value ORDER BY key)::text AS state
FROM agentjobs.states
WHERE scope = ANY(%(ids)s::uuid[])
GROUP BY scope;

-- name: before
-- The turns that a job continues from: those before its own, since the newest turn that began the session again.
WITH earlier AS (
    SELECT number, mode
    FROM agentjobs.turns
    WHERE scope = %(scope)s::uuid
        AND number < coalesce((SELECT own.number FROM agentjobs.turns AS own WHERE own.uid = %(uid)s), 2147483647)
)
SELECT
    count(*) AS turns,
    (
        SELECT state::text FROM agentjobs.turns WHERE scope = %(scope)s::uuid AND number = max(earlier.number)
    ) AS state
FROM earlier
WHERE earlier.number >= coalesce((SELECT max(number) FROM earlier WHERE mode = 'New'), 0);

-- name: events_before
-- One page of their events. `before` is the sum of the bytes of the page's earlier events; events that exceed the
-- page's limit are omitted.
WITH earlier AS (
    SELECT uid, number, mode
    FROM agentjobs.turns
    WHERE scope = %(scope)s::uuid
        AND number < coalesce((SELECT own.number FROM agentjobs.turns AS own WHERE own.uid = %(uid)s), 2147483647)
), page AS (
    SELECT earlier.number, turn_events.n, turn_events.event::text AS event
    FROM earlier
    JOIN agentjobs.turn_events ON turn_events.uid = earlier.uid
    WHERE earlier.number >= coalesce((SELECT max(number) FROM earlier WHERE mode = 'New'), 0)
        AND (earlier.number, turn_events.n) > (%(number)s, %(n)s)
    ORDER BY earlier.number, turn_events.n
    LIMIT %(limit)s
)
SELECT number, n, CASE WHEN before < %(most)s THEN event END AS event, before
FROM (
    SELECT
        page.*,
        coalesce(
            sum(octet_length(event)) OVER (ORDER BY number, n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0
        ) AS before
    FROM page
) AS sized
ORDER BY number, n;

-- name: turn
SELECT digest FROM agentjobs.turns WHERE uid = %(uid)s;

-- name: put_turn
-- A job's turn keeps its place among the session's turns when another start stores it again.
INSERT INTO agentjobs.turns (uid, scope, number, job, mode, start, state, digest, events, bytes)
SELECT
    %(uid)s::text,
    %(scope)s::uuid,
    (SELECT coalesce(max(number), 0) + 1 FROM agentjobs.turns WHERE scope = %(scope)s::uuid),
    %(job)s,
    %(mode)s,
    %(start)s,
    %(state)s,
    %(digest)s,
    %(events)s,
    %(bytes)s
ON CONFLICT (uid) DO UPDATE
SET start = excluded.start, state = excluded.state, digest = excluded.digest, events = excluded.events,
    bytes = excluded.bytes, stored_at = clock_timestamp();

-- name: drop_turn_events
DELETE FROM agentjobs.turn_events WHERE uid = %(uid)s;

-- name: put_turn_events
-- The owner's lexeme begins with a blank, which no word of a text does: no text can pretend to be another user's.
INSERT INTO agentjobs.turn_events (uid, n, event, words)
SELECT
    %(uid)s::text,
    n,
    event,
    CASE WHEN texts <> '' THEN to_tsvector('simple', texts) || array_to_tsvector(ARRAY[%(owner)s::text]) END
FROM json_to_recordset(%(rows)s) AS event (n integer, event json, texts text);

-- name: put_states
-- PostgreSQL reads a JSON null as an SQL null.
INSERT INTO agentjobs.states (scope, key, value)
SELECT scope, key, coalesce(value, 'null'::json)
FROM json_to_recordset(%(rows)s) AS state (scope uuid, key text, value json)
ORDER BY scope, key
ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value;

-- name: sizes
SELECT
    (SELECT coalesce(sum(bytes), 0) FROM agentjobs.turns WHERE scope = %(scope)s::uuid) AS session,
    (
        SELECT coalesce(max(bytes), 0)
        FROM (
            SELECT sum(octet_length(key) + octet_length(value::text)) AS bytes
            FROM agentjobs.states
            WHERE scope = ANY(%(ids)s::uuid[])
            GROUP BY scope
        ) AS state
    ) AS state;

-- name: search
-- Events that have one of the words, as in ADK's own memory. An answer rarely has all words of a user's sentence.
WITH requested AS (
    SELECT replace(plainto_tsquery('simple', %(query)s)::text, ' & ', ' | ')::tsquery AS words
)
SELECT scopes.session_id, turns.stored_at, turn_events.event::text AS event
FROM requested, agentjobs.turn_events
JOIN agentjobs.turns ON turns.uid = turn_events.uid
JOIN agentjobs.scopes ON scopes.id = turns.scope
WHERE numnode(requested.words) > 0
    AND turn_events.words @@ (%(owner)s::tsquery && requested.words)
    AND scopes.cluster = %(cluster)s AND scopes.namespace = %(namespace)s AND scopes.app = %(app)s
    AND scopes.user_id = %(user_id)s AND scopes.session_id <> %(session_id)s
ORDER BY ts_rank(turn_events.words, requested.words) DESC, turns.stored_at DESC, turn_events.uid, turn_events.n
LIMIT %(limit)s;

-- name: put_chunk
INSERT INTO agentjobs.artifact_chunks (artifact, n, data) VALUES (%(id)s::uuid, %(n)s, %(data)s);

-- name: drop_chunks
-- Unless they belong to a version after all: the response to a COMMIT may have been lost.
DELETE FROM agentjobs.artifact_chunks
WHERE artifact = %(id)s::uuid AND NOT EXISTS (SELECT FROM agentjobs.artifacts WHERE id = %(id)s::uuid);

-- name: saved
SELECT version, id FROM agentjobs.artifacts WHERE scope = %(scope)s::uuid AND name = %(name)s AND save = %(save)s::uuid;

-- name: put_artifact
WITH counted AS (
    UPDATE agentjobs.scopes
    SET artifacts = artifacts + 1, artifact_bytes = artifact_bytes + %(bytes)s
    WHERE id = %(scope)s::uuid
    RETURNING artifacts, artifact_bytes
), stored AS (
    INSERT INTO agentjobs.artifacts (scope, name, version, id, save, uid, kind, mime, bytes, metadata)
    SELECT
        %(scope)s::uuid,
        %(name)s::text,
        (
            SELECT coalesce(max(version) + 1, 0)
            FROM agentjobs.artifacts
            WHERE scope = %(scope)s::uuid AND name = %(name)s
        ),
        %(id)s::uuid,
        %(save)s::uuid,
        %(uid)s,
        %(kind)s,
        %(mime)s,
        %(bytes)s,
        %(metadata)s
    RETURNING version
)
SELECT stored.version, counted.artifacts, counted.artifact_bytes FROM stored, counted;

-- name: replace_artifact
-- The bytes of the earlier save are deleted, and no longer count against the limit.
WITH dropped AS (
    DELETE FROM agentjobs.artifact_chunks WHERE artifact = %(before)s::uuid
), less AS (
    SELECT bytes FROM agentjobs.artifacts WHERE id = %(before)s::uuid
), counted AS (
    UPDATE agentjobs.scopes
    SET artifact_bytes = artifact_bytes + %(bytes)s - (SELECT bytes FROM less)
    WHERE id = %(scope)s::uuid
    RETURNING artifacts, artifact_bytes
), stored AS (
    UPDATE agentjobs.artifacts
    SET id = %(id)s::uuid, kind = %(kind)s, mime = %(mime)s, bytes = %(bytes)s, metadata = %(metadata)s,
        stored_at = clock_timestamp()
    WHERE id = %(before)s::uuid
    RETURNING version
)
SELECT stored.version, counted.artifacts, counted.artifact_bytes FROM stored, counted;

-- name: artifact_names
SELECT DISTINCT name
FROM agentjobs.artifacts
WHERE scope = ANY(%(ids)s::uuid[]) AND name > %(after)s
ORDER BY name
LIMIT %(limit)s;

-- name: artifact_versions
SELECT version, id, kind, mime, bytes, stored_at, metadata::text AS metadata
FROM agentjobs.artifacts
WHERE scope = %(scope)s::uuid AND name = %(name)s
ORDER BY version;

-- name: artifact
SELECT version, id, kind, mime, bytes, stored_at, metadata::text AS metadata
FROM agentjobs.artifacts
WHERE scope = %(scope)s::uuid AND name = %(name)s AND version = coalesce(%(version)s, version)
ORDER BY version DESC
LIMIT 1;

-- name: chunk
SELECT data FROM agentjobs.artifact_chunks WHERE artifact = %(id)s::uuid AND n = %(n)s;

-- name: drop_artifact
-- All versions, and their part of the owner's limit.
WITH gone AS (
    DELETE FROM agentjobs.artifacts WHERE scope = %(scope)s::uuid AND name = %(name)s RETURNING id, bytes
), chunks AS (
    DELETE FROM agentjobs.artifact_chunks USING gone WHERE artifact_chunks.artifact = gone.id
)
UPDATE agentjobs.scopes
SET artifacts = artifacts - (SELECT count(*) FROM gone),
    artifact_bytes = artifact_bytes - (SELECT coalesce(sum(bytes), 0) FROM gone)
WHERE id = %(scope)s::uuid;
