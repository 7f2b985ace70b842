-- The statements of `processes`. Parameters: %(name)s.

-- name: lives
-- `since` is the time of its first report.
INSERT INTO agentjobs.processes AS own (id, cluster, kind, version, leads)
VALUES (%(id)s, %(cluster)s, %(kind)s, %(version)s, %(leads)s)
ON CONFLICT (id) DO UPDATE
SET seen_at = clock_timestamp(), version = excluded.version, leads = excluded.leads;

-- name: processes
SELECT kind, id, version, leads, since, seen_at AS seen
FROM agentjobs.processes
WHERE cluster = %(cluster)s AND seen_at > clock_timestamp() - %(seen)s::interval
ORDER BY kind, id
LIMIT %(limit)s;

-- name: database
-- The planner's estimate covers all clusters in this database, and is -1 before the first ANALYZE; few rows are
-- counted.
SELECT
    current_setting('server_version') AS version,
    (SELECT version_num FROM agentjobs.schema_version) AS schema,
    pg_database_size(current_database()) AS size,
    CASE
        WHEN planned.jobs > %(counted)s THEN planned.jobs::bigint
        ELSE (
            SELECT count(*)
            FROM (SELECT FROM agentjobs.jobs WHERE cluster = %(cluster)s LIMIT %(counted)s) AS few
        )
    END AS jobs,
    clock_timestamp() AS now
FROM (SELECT reltuples AS jobs FROM pg_class WHERE oid = 'agentjobs.jobs'::regclass) AS planned;
