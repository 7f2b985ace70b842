"""The recipe for enqueueing in an application's own transaction: one job per committed row, despite crashes."""

import asyncio
import os
import sys
from pathlib import Path

import psycopg
import pytest

OUTBOX = Path(__file__).parents[3] / "examples" / "outbox"
ASK = "INSERT INTO agent_requests (template, parameters) VALUES ('refund', '{\"order\": \"%s\"}')"
# Dies when the job is there and nothing says so.
KILLED = """
import os, runpy
from agentjobs.client import Client
submit = Client.submit
def submitted_and_killed(*asked, **more):
    submit(*asked, **more)
    os._exit(9)
Client.submit = submitted_and_killed
runpy.run_path("relay.py", run_name="__main__")
"""


@pytest.fixture
def application(database):
    """A connection of an application with the table of the recipe."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute((OUTBOX / "table.sql").read_text())
        yield connection
        connection.execute("DROP TABLE agent_requests")


@pytest.fixture
def relay(database, apiserver, cluster):
    """Run a relay until there is nothing to do; return its exit code."""

    async def run(*program):
        environment = os.environ | {
            "DATABASE_URL": database,
            "KUBECONFIG": str(apiserver.kubeconfig),
            "NAMESPACE": cluster.namespace,
            "ONCE": "1",
        }
        asked = program or ("relay.py",)
        process = await asyncio.create_subprocess_exec(sys.executable, *asked, cwd=OUTBOX, env=environment)
        return await asyncio.wait_for(process.wait(), 60)

    return run


@pytest.fixture
def jobs(cluster):
    async def orders():
        path = f"/apis/agentjobs.dev/v1alpha1/namespaces/{cluster.namespace}/agentjobs"
        items = (await cluster.http.get(path)).json()["items"]
        return {item["metadata"]["name"]: item["spec"]["parameters"]["order"] for item in items}

    return orders


async def test_a_committed_row_gets_a_job_and_a_rolled_back_one_does_not(application, relay, jobs):
    with application.transaction():
        application.execute(ASK % 1)
    with application.transaction(force_rollback=True):
        application.execute(ASK % 2)

    assert (await relay(), await jobs()) == (0, {"refund-request-1": "1"})


async def test_a_relay_that_crashes_between_creation_and_commit_makes_no_second_job(application, relay, jobs):
    application.execute(ASK % 1)
    killed = await relay("-c", KILLED)
    between = application.execute("SELECT job FROM agent_requests").fetchall()
    made = await jobs()

    assert (killed, between, made) == (9, [(None,)], {"refund-request-1": "1"})
    assert (await relay(), await jobs()) == (0, made)
    assert application.execute("SELECT job FROM agent_requests").fetchall() == [("refund-request-1",)]


async def test_two_relays_make_one_job_for_each_request(application, relay, jobs):
    for number in range(20):
        application.execute(ASK % number)
    codes = await asyncio.gather(relay(), relay())

    assert (codes, sorted((await jobs()).values(), key=int)) == ([0, 0], [str(number) for number in range(20)])
