"""What a development cluster knows after it was stopped and started again on its folder."""

import asyncio
import ssl
from pathlib import Path

import httpx
import psycopg
import pytest

from agentjobs.dev.up import up
from devcluster.client import CONFIG_MAPS, Resource

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
ROOT = Path(__file__).parents[2]
SLOW = {"starts": [[{"delay": "60s", "text": "Too late."}]]}
QUICK = {"starts": [[{"text": "Done."}]]}


@pytest.fixture
def start(backend, forks, tmp_path):
    """Start a cluster on the test's folder, as `agentjobs dev` does."""
    if backend == "kubeconfig":
        pytest.skip("its objects are the shared cluster's, and go with the session's namespace")
    return lambda: up(tmp_path, apiserver=backend, working_folder=ROOT, keep=True, forks=forks)


async def apply(cluster, objects):
    for obj in objects:
        await cluster.client.create(CONFIG_MAPS if obj["kind"] == "ConfigMap" else AGENTJOBS, "default", obj)


async def ask(cluster, name, what=""):
    headers = {"Authorization": f"Bearer {cluster.token}"}
    url = f"{cluster.gateway_url}/v1/namespaces/default/agentjobs/{name}{what}"
    trust = ssl.create_default_context(cafile=cluster.gateway_ca)
    async with httpx.AsyncClient(verify=trust, trust_env=False, headers=headers) as http:
        answer = await http.get(url)
    return answer.json() if answer.status_code == 200 else None


async def until(cluster, name, phase):
    async with asyncio.timeout(60):
        while (told := await ask(cluster, name)) is None or told["job"]["phase"] not in phase:
            await asyncio.sleep(0.1)
    return told["job"]


async def test_history_survives_a_restart_and_no_job_in_it_remains_running(start, job_of, backend):
    async with start() as cluster:
        await apply(cluster, [*job_of("quick", QUICK), *job_of("slow", SLOW)])
        before = await until(cluster, "quick", {"Succeeded"})
        await until(cluster, "slow", {"Running"})
    async with start() as cluster:
        result = await ask(cluster, "quick", "/result")
        after = await until(cluster, "quick", {"Succeeded"})
        left = await until(cluster, "slow", {"Deleted"} if backend == "embedded" else {"Running", "Backoff", "Failed"})

    assert result["result"]["text"] == "Done."
    assert (after["uid"], after["phase"]) == (before["uid"], "Succeeded")
    assert (left["deleted"] is not None) == (backend == "embedded")


async def test_a_folder_of_a_version_without_a_stored_identity_is_adopted(start, job_of, backend, tmp_path):
    if backend != "embedded":
        pytest.skip("others keep their identity themselves")
    async with start() as cluster:
        await apply(cluster, job_of("quick", QUICK))
        await until(cluster, "quick", {"Succeeded"})
        with psycopg.connect(cluster.dsn) as connection:
            connection.execute("UPDATE agentjobs.jobs SET cluster = 'an earlier start'")
    (tmp_path / "apiserver" / "cluster-uid").unlink()
    async with start() as cluster:
        assert (await ask(cluster, "quick", "/result"))["result"]["text"] == "Done."
