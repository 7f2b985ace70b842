-- The statements of `kept_files`. Parameters: %(name)s.

-- name: files
SELECT files.name, files.bytes
FROM agentjobs.kept_files AS files
JOIN agentjobs.starts ON starts.uid = files.uid AND coalesce(starts.run, starts.start) = files.run
WHERE starts.uid = %(uid)s AND starts.start = %(start)s
ORDER BY files.name;

-- name: part
-- The parts that contain a range of the file, cut to the range.
SELECT
    coalesce(
        (
            SELECT string_agg(
                substring(
                    parts.data
                    FROM greatest(%(offset)s - parts.at, 0)::integer + 1
                    FOR least(%(offset)s + %(most)s - greatest(%(offset)s, parts.at), %(most)s)::integer
                ),
                ''::bytea
                ORDER BY parts.at
            )
            FROM agentjobs.kept_parts AS parts
            WHERE parts.uid = files.uid AND parts.run = files.run AND parts.name = files.name
                AND parts.at < %(offset)s::bigint + %(most)s
                AND parts.at >= coalesce(
                    (
                        SELECT max(first.at)
                        FROM agentjobs.kept_parts AS first
                        WHERE first.uid = files.uid AND first.run = files.run AND first.name = files.name
                            AND first.at <= %(offset)s::bigint
                    ),
                    0
                )
        ),
        ''::bytea
    ) AS data
FROM agentjobs.starts
JOIN agentjobs.kept_files AS files
    ON files.uid = starts.uid AND files.run = coalesce(starts.run, starts.start) AND files.name = %(name)s
WHERE starts.uid = %(uid)s AND starts.start = %(start)s;

-- name: look
-- What a write needs, in one row: its file, all files of the run, and the part that it cuts or follows.
SELECT
    own.run,
    file.bytes AS known,
    file.start,
    file.write,
    kept.files,
    kept.bytes,
    (
        SELECT max(parts.at)
        FROM agentjobs.kept_parts AS parts
        WHERE parts.uid = %(uid)s AND parts.run = own.run AND parts.name = %(name)s AND parts.at < %(offset)s::bigint
    ) AS at
FROM (
    SELECT coalesce(run, start) AS run FROM agentjobs.starts WHERE uid = %(uid)s AND start = %(start)s
) AS own
CROSS JOIN LATERAL (
    SELECT count(*) AS files, coalesce(sum(kept_files.bytes), 0)::bigint AS bytes
    FROM agentjobs.kept_files
    WHERE kept_files.uid = %(uid)s AND kept_files.run = own.run
) AS kept
LEFT JOIN agentjobs.kept_files AS file
    ON file.uid = %(uid)s AND file.run = own.run AND file.name = %(name)s;

-- name: put_file
-- A write without a number keeps the number of the start's last write.
INSERT INTO agentjobs.kept_files (uid, run, name, bytes, start, write)
VALUES (%(uid)s, %(run)s, %(name)s, %(end)s, %(start)s, coalesce(%(number)s::bigint, 0))
ON CONFLICT (uid, run, name) DO UPDATE
SET bytes = excluded.bytes,
    start = excluded.start,
    write = CASE
        WHEN %(number)s::bigint IS NULL AND kept_files.start = excluded.start THEN kept_files.write
        ELSE excluded.write
    END;

-- name: cut
-- Everything after the offset is deleted.
WITH gone AS (
    DELETE FROM agentjobs.kept_parts
    WHERE uid = %(uid)s AND run = %(run)s AND name = %(name)s AND at >= %(offset)s::bigint
)
UPDATE agentjobs.kept_parts
SET data = substring(data FOR (%(offset)s::bigint - at)::integer)
WHERE uid = %(uid)s AND run = %(run)s AND name = %(name)s AND at = %(at)s::bigint;

-- name: join
UPDATE agentjobs.kept_parts
SET data = data || %(data)s::bytea
WHERE uid = %(uid)s AND run = %(run)s AND name = %(name)s AND at = %(at)s::bigint;

-- name: add
INSERT INTO agentjobs.kept_parts (uid, run, name, at, data)
VALUES (%(uid)s, %(run)s, %(name)s, %(offset)s, %(data)s);

-- name: delete
DELETE FROM agentjobs.kept_files AS files
USING agentjobs.starts
WHERE starts.uid = %(uid)s AND starts.start = %(start)s
    AND files.uid = starts.uid AND files.run = coalesce(starts.run, starts.start) AND files.name = %(name)s
    AND NOT (coalesce(files.write > %(number)s::bigint, FALSE) AND files.start = starts.start);
