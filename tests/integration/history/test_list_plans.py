"""PostgreSQL reads a page of jobs from an index for every filter, and plans each query separately."""

from decimal import Decimal

import psycopg
import pytest

from agentjobs.api.job_filter import EVERY_JOB, JobFilter, JobOrder
from agentjobs.history.database import Database
from agentjobs.history.listing import Listing
from agentjobs.history.reads import Reads

JOBS = """
INSERT INTO agentjobs.jobs (
    uid, cluster, namespace, name, created_at, resolved, phase, reason, message, finished_at, queue, template, schedule,
    partition_key, labels, outcome, cost
)
SELECT
    n::text, 'c', 'n' || n % 4, 'job-' || n, now() - n * interval '1 min',
    json_build_object('spec', json_build_object('agent', json_build_object('model', 'm' || n % 40), 'text', (
        SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 30) AS i
    ))),
    CASE WHEN n < 40 THEN 'Running' WHEN n % 25 = 0 THEN 'Failed' ELSE 'Succeeded' END, 'R' || n % 30,
    'word' || n % 3000,
    CASE WHEN n >= 40 THEN now() - n * interval '1 min' END, 'q' || n % 30, 't' || n % 30, 's' || n % 30,
    'p' || n % 300,
    ARRAY['team', 'team=' || n % 300], CASE WHEN n % 60 = 0 THEN 'good' END, n / 100.0
FROM generate_series(1, 12000) AS n
"""
PAGES = "jobs_cluster_namespace_created_at_uid_idx"


@pytest.fixture
def filled(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(JOBS)
        connection.execute("ANALYZE agentjobs.jobs")
    return database


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def indexes_of(dsn, listing, statement):
    """The indexes by which jobs are found, None for a look through the whole table."""
    asked = {**listing.values, "cluster": "c", "limit": 51}
    with psycopg.connect(dsn) as connection:
        (plan,) = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", asked).fetchone()
    scans = [node for node in nodes(plan[0]["Plan"]) if node["Node Type"].endswith("Scan")]
    found = {node.get("Index Name") for node in scans if node.get("Relation Name") == "jobs" or "Bitmap" in str(node)}
    whole = [node for node in scans if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "jobs"]
    assert whole == [], listing.chosen
    return found - {None}


LISTS = [
    (EVERY_JOB, PAGES),
    (JobFilter(order=JobOrder.OLDEST), PAGES),
    (JobFilter(order=JobOrder.ENDED), "jobs_ended_at_idx"),
    (JobFilter(order=JobOrder.COST), "jobs_cost_idx"),
    (JobFilter(phase=("Failed",)), "jobs_ended_phase_idx"),
    # Either costs the same here; statistics decide.
    (JobFilter(phase=("Failed",), order=JobOrder.ENDED), "jobs_unsuccessful_idx jobs_ended_phase_idx"),
    (JobFilter(phase=("Running",)), "jobs_open_idx"),
    (JobFilter(reason=("R3",)), "jobs_ended_reason_idx"),
    (JobFilter(reason=("R3", "R4")), "jobs_ended_reason_idx"),
    (JobFilter(outcome=("good",)), "jobs_outcome_idx"),
    (JobFilter(queue=("q3",)), "jobs_queue_idx"),
    (JobFilter(model=("m3",)), "jobs_model_idx"),
    (JobFilter(schedule=("s3",)), "jobs_schedule_idx"),
    (JobFilter(template=("t3",)), "jobs_template_idx"),
    (JobFilter(partition=("p3",)), "jobs_partition_key_idx"),
    (JobFilter(label=("team=3",)), "jobs_labels_idx"),
    (JobFilter(text="word2999"), "jobs_words_idx"),
    (JobFilter(min_cost=Decimal(119), order=JobOrder.COST), "jobs_cost_idx"),
]


@pytest.mark.parametrize("scope", [("n1",), ("n1", "n2"), None], ids=["one", "two", "all"])
def test_each_list_is_read_from_its_index(filled, scope):
    listings = [(Listing(scope, chosen, None), index) for chosen, index in LISTS]
    found = [(listing.chosen, indexes_of(filled, listing, listing.statement()), index) for listing, index in listings]

    assert [plan for plan in found if plan[1].isdisjoint(plan[2].split())] == []


@pytest.mark.parametrize("scope", [("n1", "n2"), None], ids=["two", "all"])
def test_a_first_page_reads_the_newest_jobs_from_an_index(filled, scope):
    listing = Listing(scope, JobFilter(text="word", label=("team",)), None)

    assert indexes_of(filled, listing, listing.first_look()) == {"jobs_created_idx"}


async def test_a_page_is_always_planned_for_its_own_values(filled):
    async with Database(filled) as database:
        reads = Reads(database, cluster="c")
        for _ in range(8):
            await reads.jobs(("n1",), JobFilter(queue=("q3",)))

        async def prepared(connection):
            found = await connection.execute("SELECT statement FROM pg_prepared_statements")
            return [statement for (statement,) in await found.fetchall() if "sorted_by" in statement]

        assert await database.autocommit(prepared) == []
