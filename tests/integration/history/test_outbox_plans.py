"""Waiting notifications slow nothing down, even if the planner saw empty tables."""

import json
import re

import psycopg
import pytest

from agentjobs.history.statements import load

ARGUMENTS = {"rows": "json '[]'", "cluster": "text 'c'", "lease": "interval '1 minute'"}


@pytest.mark.parametrize(
    ("module", "name", "of_due"),
    [("operator_writes", "insert_transitions", 0), ("outbox", "take", 1), ("outbox", "mark", 0)],
    ids=["insert", "take", "mark"],
)
def test_previous_and_next_notifications_are_found_by_their_keys(database, module, name, of_due):
    text = load(module)[name]
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", text)

    with psycopg.connect(database) as connection:
        # Autovacuum may have seen that it is empty; the planner does not know that of a new table.
        connection.execute("TRUNCATE agentjobs.notifications")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE statement AS {text}")
        given = ", ".join(ARGUMENTS[one] for one in names)
        (plan,) = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE statement ({given})").fetchone()

    # Looked for once for each row: to read the table for each would take the square of their number.
    for_each = {"before", "head", "later"}
    scans = [node for node in nodes(plan[0]["Plan"]) if node["Node Type"].endswith("Scan")]
    indexes = [node.get("Index Name") for node in scans if node.get("Alias") in for_each]
    assert None not in indexes, json.dumps(plan, indent=1)
    assert indexes.count("notifications_due_idx") == of_due
    assert set(indexes) <= {"notifications_pkey", "notifications_due_idx"}


def nodes(plan):
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
