"""Every process of a cluster is listed: the leading operator, the one on standby, and the servers."""

import asyncio
import ssl

import httpx
import pytest

import agentjobs
from agentjobs.dev.up import up

pytestmark = [
    pytest.mark.xdist_group("two-operators"),
    pytest.mark.alone("the processes of an installation are those of one cluster"),
]

LIVING = ["dashboard", "gateway", "operator", "operator", "proxy"]
# An operator that has begun to lead says so with its next sign, 15 seconds later.
TIMEOUT_SECONDS = 60


async def test_all_processes_report_that_they_are_alive_and_which_operator_leads(backend, forks, tmp_path):
    async with (
        up(tmp_path, apiserver=backend, operators=2, dashboard=True, forks=forks) as cluster,
        httpx.AsyncClient(verify=ssl.create_default_context(cafile=cluster.gateway_ca), trust_env=False) as http,
    ):
        as_admin = {"Authorization": f"Bearer {cluster.token}"}
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                told = (await http.get(f"{cluster.gateway_url}/v1/installation", headers=as_admin)).json()["processes"]
                leaders = [one["kind"] for one in told if one["leads"]]
                if sorted(one["kind"] for one in told) == LIVING and leaders:
                    break
                await asyncio.sleep(0.5)

    assert leaders == ["operator"]
    assert {one["version"] for one in told} == {agentjobs.__version__}
    assert len({one["id"] for one in told}) == len(LIVING)
