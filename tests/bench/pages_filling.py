"""Fills a cluster's history for pages: many jobs of 90 days, and one job that is as long as a job gets.

By statements, as no history of that size comes about in minutes. Objects of queues, schedules and templates are made by
the API server, as pages read those there.
"""

import asyncio
from typing import Any, Final

import psycopg

from agentjobs.dev.up import DevCluster
from devcluster.client import CONFIG_MAPS, NAMESPACES, Resource

NAMESPACES_FILLED: Final = 20
LONG: Final = ("team-0", "long-job", "00000000-0000-4000-8000-00000000c0de")
"""Namespace, name and uid of the job of 5,000 steps."""
QUEUES: Final = Resource("agentjobs.dev", "v1alpha1", "agentqueues", "AgentQueue")
SCHEDULES: Final = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
TEMPLATES: Final = Resource("agentjobs.dev", "v1alpha1", "agenttemplates", "AgentTemplate")

_JOBS: Final = """
INSERT INTO agentjobs.jobs (
    uid, cluster, namespace, name, created_at, resolved, transition, phase, reason, message, changed_at, finished_at,
    partition_key, queue, template, schedule, labels, outcome, cost
)
SELECT
    md5(n::text)::uuid::text, %(cluster)s, 'team-' || trunc(20 * luck * luck), 'job-' || n, created,
    json_build_object('spec', json_build_object(
        'agent', json_build_object(
            'model', (ARRAY['gemini-2.5-flash', 'anthropic/claude-5', 'openai/o9'])[1 + n %% 3],
            'inline', json_build_object('instruction', md5(n::text) || repeat('Be brief. ', 90))
        ),
        'input', json_build_object('message', 'Triage order ' || n)
    )),
    3, phase, reason,
    CASE phase WHEN 'Failed' THEN 'The tool search_orders failed with status ' || n %% 600 ELSE 'It said so.' END,
    created + interval '5 min',
    CASE WHEN phase NOT IN ('Queued', 'Running', 'Retrying') THEN created + interval '5 min' END,
    'customer-' || n %% 50, 'queue-' || n %% 3, CASE WHEN n %% 3 = 0 THEN 'template-' || n %% 5 ELSE '' END,
    CASE WHEN n %% 5 = 0 THEN 'schedule-' || n %% 5 ELSE '' END,
    ARRAY['env', 'env=prod', 'team', 'team=' || n %% 12],
    CASE WHEN phase = 'Succeeded' AND n %% 4 = 0 THEN 'approve' END,
    CASE WHEN phase NOT IN ('Queued', 'Running', 'Retrying') THEN (n %% 9973) / 5000.0 END
FROM (
    SELECT
        n, luck, now() - interval '90 days' * (1 - n::float / %(jobs)s::int) AS created, phase,
        CASE phase
            WHEN 'Failed' THEN (ARRAY['ToolError', 'ModelError', 'OOMKilled', 'DeadlineExceeded'])[1 + n %% 4]
            WHEN 'Queued' THEN 'QueueFull' WHEN 'Retrying' THEN 'ModelError' ELSE phase
        END AS reason
    FROM (
        SELECT n, (hashint4(n) & 65535) / 65536.0 AS luck, CASE
            WHEN n > %(jobs)s::int * 0.99 THEN (ARRAY['Queued', 'Running', 'Retrying'])[1 + n %% 3]
            ELSE (ARRAY['Succeeded', 'Succeeded', 'Succeeded', 'Failed', 'Succeeded', 'Cancelled'])[1 + n %% 6]
        END AS phase
        FROM generate_series(1, %(jobs)s::int) AS n
    ) AS drawn
) AS made
"""
_STARTS: Final = """
INSERT INTO agentjobs.starts (uid, start, attempt, pod, started_at)
SELECT uid, start, start, name || '-' || start, created_at + start * interval '1 minute'
FROM agentjobs.jobs, generate_series(1, CASE WHEN hashtext(uid) %% 10 = 0 THEN 2 ELSE 1 END) AS start
"""
_USAGE: Final = """
INSERT INTO agentjobs.queue_usage (cluster, namespace, queue, slice, partition_key, model, calls, input, output, cost)
SELECT
    %(cluster)s, 'team-' || n %% 20, 'queue-' || n %% 3, floor(extract(epoch FROM now()) / 900)::bigint - ago,
    'customer-' || n %% 50, 'model-' || n %% 5, 7, 1000, 100, 0.0123
FROM generate_series(0, 40 * 96) AS ago, generate_series(0, 29) AS step,
    LATERAL (SELECT ago * 7 + step * 11 AS n) AS mixed
ON CONFLICT DO NOTHING
"""
_USAGE_OF_DAYS: Final = """
INSERT INTO agentjobs.model_usage (
    cluster, day, namespace, queue, partition_key, user_id, provider, model, calls, input, output, cost
)
SELECT
    %(cluster)s, now()::date - ago, 'team-' || n %% 20, 'queue-' || n %% 3, 'customer-' || n %% 50, 'system', 'p',
    'model-' || n %% 5, 700, 100000, 10000, 1.23
FROM generate_series(0, 99) AS ago, generate_series(0, 999) AS n
ON CONFLICT DO NOTHING
"""
_ACTIONS: Final = """
INSERT INTO agentjobs.actions (id, cluster, time, user_name, namespace, kind, name, uid, action, status, message)
SELECT gen_random_uuid(), %(cluster)s, changed_at, 'ada', namespace, 'AgentJob', name, uid, 'cancel', 200, ''
FROM agentjobs.jobs WHERE phase = 'Cancelled'
"""

# 40 starts in 40 hours: half an hour of work, half an hour of waiting.
_LONG: Final = """
INSERT INTO agentjobs.jobs (
    uid, cluster, namespace, name, created_at, resolved, transition, phase, reason, message, changed_at, finished_at,
    partition_key, queue, labels, cost
)
SELECT
    %(uid)s, %(cluster)s, %(namespace)s, %(name)s, now() - interval '41 hours', jobs.resolved, 120, 'Failed',
    'ToolError', 'The tool search_orders failed with status 500', now() - interval '1 hour',
    now() - interval '1 hour', 'customer-1', 'queue-1', ARRAY['env', 'env=prod'], 42.5
FROM agentjobs.jobs LIMIT 1;
INSERT INTO agentjobs.starts (
    uid, start, attempt, pod, started_at, claimed_at, ended_at, verdict, reason, charged, message, run
)
SELECT
    %(uid)s, n, n, %(name)s || '-' || n, began, began + interval '3 s', began + interval '30 min',
    CASE WHEN n = 40 THEN 'Fail' ELSE 'Retry' END, 'ToolError', true, 'The tool failed', 1
FROM generate_series(1, 40) AS n, LATERAL (SELECT now() - interval '41 hours' + n * interval '1 hour' AS began) AS one;
INSERT INTO agentjobs.transitions (uid, transition, time, phase, reason, message, finished)
SELECT
    %(uid)s, n, now() - interval '41 hours' + (n + 2) / 3 * interval '1 hour' + n %% 3 * interval '15 min',
    (ARRAY['Retrying', 'Queued', 'Running'])[1 + n %% 3], 'ToolError', 'It goes on.', false
FROM generate_series(1, 119) AS n
UNION ALL SELECT %(uid)s, 120, now() - interval '1 hour', 'Failed', 'ToolError', 'The tool failed', true;
INSERT INTO agentjobs.steps (
    uid, n, run, start, key, kind, agent, name, began, ended, request, body, bytes, usage, void
)
SELECT
    %(uid)s, n, 1, start, 'triage:' || n, (ARRAY['model', 'tool'])[1 + n %% 2], 'triage',
    (ARRAY['gemini-2.5-flash', 'search_orders'])[1 + n %% 2], began, began + interval '9 s',
    json_build_object('message', repeat('What came? ', 40)), '{"text": "' || repeat('Order 4711. ', 80) || '"}', 1400,
    json_build_object('inputTokens', 1000 + n, 'outputTokens', 100), false
FROM generate_series(1, 5000) AS n,
    LATERAL (SELECT (n - 1) / 125 + 1 AS start) AS own,
    LATERAL (SELECT now() - interval '41 hours' + start * interval '1 hour' + (n - 1) %% 125 * interval '13 s' AS began)
        AS one;
INSERT INTO agentjobs.events (uid, start, seq, time, kind, author, data)
SELECT
    %(uid)s, start, (n - 1) %% 500 + 1,
    now() - interval '41 hours' + start * interval '1 hour' + (n - 1) %% 500 * interval '3 s',
    (ARRAY['model', 'tool', 'text', 'model'])[1 + n %% 4], 'triage', CASE n %% 4
        WHEN 1 THEN json_build_object(
            'name', 'search_orders', 'result', json_build_object('orders', repeat('4711, ', 60))
        )
        WHEN 2 THEN json_build_object('text', repeat('The **order** of customer 4711 is late. ', 8), 'final', false)
        ELSE json_build_object(
            'model', 'gemini-2.5-flash', 'inputTokens', 1000, 'outputTokens', 50,
            'toolCalls', json_build_array(json_build_object('name', 'search_orders', 'args', json_build_object('q', n)))
        )
    END
FROM generate_series(1, 20000) AS n, LATERAL (SELECT (n - 1) / 500 + 1 AS start) AS own;
INSERT INTO agentjobs.model_calls (
    id, uid, start, attempt, proxy, step, provider, key, asked, model, began, ended, status, reserved_tokens, input,
    output, cost, outcome
)
SELECT
    gen_random_uuid(), uid, start, start, 'proxy', key, 'google', 'default', name, name, began, ended, 200, 0, 1000, 50,
    0.004, 'Succeeded'
FROM agentjobs.steps WHERE uid = %(uid)s AND kind = 'model';
INSERT INTO agentjobs.results (uid, start, result)
VALUES (%(uid)s, 40, '{"text": "**Nothing** could be found.", "outcome": "reject"}')
"""


async def fill(running: DevCluster, jobs: int, cluster: str) -> None:
    """Make so many jobs in history, the long one, and objects of the other kinds in each namespace."""
    await asyncio.to_thread(_fill_history, running.dsn, jobs, cluster)
    for number in range(NAMESPACES_FILLED):
        await _fill_namespace(running, f"team-{number}")


def _fill_history(dsn: str, jobs: int, cluster: str) -> None:
    namespace, name, uid = LONG
    asked: dict[str, Any] = {"jobs": jobs, "cluster": cluster, "namespace": namespace, "name": name, "uid": uid}
    statements = [_JOBS, _STARTS, _USAGE, _USAGE_OF_DAYS, _ACTIONS, *_LONG.split(";\n")]
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement, asked, prepare=False)
        connection.execute("VACUUM ANALYZE")


async def _fill_namespace(running: DevCluster, namespace: str) -> None:
    client, version = running.client, {"apiVersion": "agentjobs.dev/v1alpha1"}
    spec = {"agent": {"model": "openai/o9", "inline": {"instruction": "Be brief."}}, "input": {"message": "Hello."}}
    await client.create(NAMESPACES, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    text = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"text": "Be brief."}}
    await client.create(CONFIG_MAPS, namespace, text)
    for n in range(5):
        schedule = {"schedule": f"{n} 6 * * *", "jobTemplate": {"spec": spec}}
        made = [
            (SCHEDULES, "schedule", schedule),
            (TEMPLATES, "template", {"spec": spec}),
            (QUEUES, "queue", {"concurrency": {"max": 10}}),
        ]
        for resource, name, body in made:
            about = {"kind": resource.kind, "metadata": {"name": f"{name}-{n}"}, "spec": body}
            await client.create(resource, namespace, version | about)
