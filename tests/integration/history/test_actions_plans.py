"""A page of what people did costs the rows that it shows, however much they did."""

import psycopg
import pytest

from agentjobs.history.actions import _CONDITIONS, _OF_JOB, _OLDER, _SQL

GIVEN = {"cluster": "c", "namespaces": ["n1", "n2"], "uid": "u1", "limit": 51, "before": "2026-01-31", "last": None}
ROWS = """
    INSERT INTO agentjobs.actions (id, cluster, user_name, namespace, kind, name, uid, action, status, message, time)
    SELECT gen_random_uuid(), 'c', 'ada', 'n' || n % 50, 'AgentJob', 'j', 'u' || n % 500, 'cancel', 200, '',
        now() - n * interval '1 second'
    FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize(
    ("statement", "conditions", "index"),
    [
        pytest.param("everywhere", _OLDER, "actions_time_idx", id="everywhere"),
        pytest.param("within", _OLDER, "actions_namespace_idx", id="within-namespaces"),
        pytest.param("everywhere", _OF_JOB, "actions_uid_idx", id="of-a-job"),
    ],
)
def test_a_page_is_read_from_its_index(database, statement, conditions, index):
    with psycopg.connect(database) as connection:
        connection.execute(ROWS)
        connection.execute("ANALYZE agentjobs.actions")
        text = _SQL[statement].replace(_CONDITIONS, conditions)
        (plan,) = connection.execute(f"EXPLAIN (FORMAT JSON) {text}", GIVEN).fetchone()

    assert {node["Index Name"] for node in nodes(plan[0]["Plan"]) if "Index Name" in node} == {index}
    assert not [node for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
