"""Numbers of a day cost the rows of that day, however many jobs there are; and budgets know what came before them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from tests.integration.history.conftest import NOON

from agentjobs import errors
from agentjobs.history import overview
from agentjobs.history.model_records import SpendSince
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.overview import _SQL, Overview
from agentjobs.history.queue_models import QueueModels
from agentjobs.history.records import Acceptance
from agentjobs.history.slices import ACTIVITY_SECONDS, slices_of
from agentjobs.models.budget import Spend

NOW = datetime.now(UTC)
JOBS = """
    INSERT INTO agentjobs.jobs (uid, cluster, namespace, name, created_at, phase, reason, finished_at)
    SELECT 'u' || n, 'c', 'n' || n % 20, 'j', at, 'Failed', 'ToolError', CASE WHEN n > 100 THEN at END
    FROM (SELECT n, now() - n * interval '6 minutes' AS at FROM generate_series(1, 20000) AS n) AS made;
    INSERT INTO agentjobs.starts (uid, start, attempt, pod, started_at)
    SELECT uid, 1, 1, name, created_at FROM agentjobs.jobs;
    INSERT INTO agentjobs.queue_usage (cluster, namespace, queue, slice, partition_key, model, cost)
    SELECT 'c', 'n' || n % 20, 'q', extract(epoch FROM now())::bigint / 900 - n / 20, '', 'm', 1
    FROM generate_series(1, 60000) AS n;
"""


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("created", "jobs_cluster_namespace_created_at_uid_idx"),
        ("started_anywhere", "starts_started_idx"),
        ("started_lately", "starts_started_idx"),
        ("started", "starts_started_idx"),
        ("ended", "jobs_ends_idx"),
        ("failures", "jobs_ends_idx"),
        ("usage_by_quarters", "queue_usage_slice_idx"),
    ],
)
def test_the_numbers_of_a_day_are_read_from_an_index(database, statement, index):
    slices = slices_of(NOW - timedelta(days=1), NOW, ACTIVITY_SECONDS)
    first = slices.begin // 900
    asked = {"cluster": "c", "namespaces": None, "places": ["n1", "n2"], **slices.parameters(), "limit": 20}
    asked |= {"first": first, "last": first + 97, "quarters": 1, "keys": 8, "by": "model"}
    with psycopg.connect(database) as connection:
        connection.execute(JOBS)
        connection.execute("ANALYZE")
        (plan,) = connection.execute(f"EXPLAIN (FORMAT JSON) {_SQL[statement]}", asked, prepare=False).fetchone()

    found = list(nodes(plan[0]["Plan"]))
    assert index in {node.get("Index Name") for node in found}
    # Which jobs starts belong to may be read from all jobs at the same time, when that is cheaper.
    scanned = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"}
    assert scanned <= ({"jobs"} if statement == "started" else set())


@pytest.mark.parametrize("days", [1, 30])
async def test_starts_of_other_clusters_are_not_counted(connected, a_job, days):
    for cluster, uid in (("c0ffee", "uid-1"), ("another", "uid-2")):
        build = a_job(uid)
        await OperatorWrites(connected, cluster=cluster).accept(Acceptance(build.job(), build.start(1)))
        told = await Overview(connected, cluster="c0ffee").activity(
            NOON - timedelta(days=days), NOON + timedelta(hours=1)
        )

        assert sum(one.started for one in told.slices) == 1


async def test_a_query_that_takes_too_long_does_not_count_as_an_outage(connected, monkeypatch):
    slow = {"created": "SELECT now() AS slice, 0 AS jobs FROM pg_sleep(2.9) LIMIT 0"}
    monkeypatch.setattr(overview, "_SQL", {**_SQL, **slow, "failures": "SELECT pg_sleep(9)"})
    with pytest.raises(errors.Unavailable, match="statement timeout"):
        await Overview(connected, cluster="c0ffee").activity(NOON - timedelta(days=1), NOON)

    await connected.check_schema()
    assert (await Overview(connected, cluster="c0ffee").open_jobs()).items == []


async def test_a_budget_counts_usage_summed_by_proxies_of_the_previous_release(connected):
    slice_ = int(NOW.timestamp()) // 900
    key = "cluster, namespace, queue, slice, partition_key"
    place = "'c0ffee', 'default', 'agents', %(slice)s, 'acme'"
    older = f"INSERT INTO agentjobs.queue_spend ({key}, tokens, cost) VALUES ({place}, 7, 0.25)"
    newer = f"INSERT INTO agentjobs.queue_usage ({key}, model, input, output, cost) VALUES ({place}, 'm', 4, 2, 0.5)"
    for statement in (older, newer):
        await connected.autocommit(lambda connection: connection.execute(statement, {"slice": slice_}))  # noqa: B023  awaited

    [spent] = await QueueModels(connected, cluster="c0ffee").spent([SpendSince("default", "agents", NOW)])

    assert spent == {"acme": Spend(Decimal("0.75"), 13)}


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
