-- The statements of `actions`. Parameters: %(name)s. `/* … */` is replaced by the conditions of the caller's filter.

-- name: record
INSERT INTO agentjobs.actions (
    id, cluster, user_name, impersonated_by, namespace, kind, name, uid, action, status, message
)
VALUES (
    %(id)s,
    %(cluster)s,
    %(user_name)s,
    %(impersonated_by)s,
    %(namespace)s,
    %(kind)s,
    %(name)s,
    %(uid)s,
    %(action)s,
    %(status)s,
    %(message)s
)
ON CONFLICT (id) DO NOTHING;

-- name: everywhere
SELECT
    actions.id,
    actions.time,
    actions.user_name AS "user",
    actions.impersonated_by,
    actions.namespace,
    actions.kind,
    actions.name,
    actions.uid,
    actions.action,
    actions.status,
    actions.message
FROM agentjobs.actions
WHERE actions.cluster = %(cluster)s
    /* conditions */
ORDER BY actions.time DESC, actions.id DESC
LIMIT %(limit)s;

-- name: within
-- One scan per namespace, so that each uses the index. Namespaces that are not shown are not read.
SELECT found.*
FROM unnest(%(namespaces)s::text[]) AS place (namespace)
CROSS JOIN LATERAL (
    SELECT
        actions.id,
        actions.time,
        actions.user_name AS "user",
        actions.impersonated_by,
        actions.namespace,
        actions.kind,
        actions.name,
        actions.uid,
        actions.action,
        actions.status,
        actions.message
    FROM agentjobs.actions
    WHERE actions.cluster = %(cluster)s AND actions.namespace = place.namespace
        /* conditions */
    ORDER BY actions.time DESC, actions.id DESC
    LIMIT %(limit)s
) AS found
ORDER BY found.time DESC, found.id DESC
LIMIT %(limit)s;
