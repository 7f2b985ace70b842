"""The operator before its kinds exist: as after a deployment that brings them in any order."""

import asyncio
import os
import sys

import pytest

from agentjobs.dev.crds import apply_crds
from devcluster.client import Client

pytestmark = [
    pytest.mark.xdist_group("late-crd"),
    pytest.mark.alone("a cluster of others does not lend its kinds: theirs may hold objects"),
]


async def operator(server, seconds):
    """Run an operator without a database; return its exit status (None: it went on) and what it said."""
    env = os.environ | {
        "AGENTJOBS_KUBECONFIG": str(server.kubeconfig),
        "AGENTJOBS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "AGENTJOBS_GATEWAY_URL": "https://127.0.0.1:1",
        "AGENTJOBS_PROBE_ADDRESS": "127.0.0.1:0",
        "AGENTJOBS_LEADER_ELECT": "false",
        "AGENTJOBS_LOG_FORMAT": "text",
    }
    command = [sys.executable, "-P", "-c", "from agentjobs.cli import main; main()", "operator"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    said = b""
    try:
        async with asyncio.timeout(seconds):
            async for line in process.stdout:
                said += line
                if b"database.unavailable" in line:
                    return None, said.decode()
            return await process.wait(), said.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_an_operator_without_its_crds_exits_and_names_them_and_starts_when_they_exist(make_server, tmp_path):
    async with make_server(tmp_path / "apiserver") as server:
        early, said = await operator(server, 60)
        async with Client(server.url, token=server.token, ca=server.ca) as client:
            await apply_crds(client)
        late, then = await operator(server, 60)

    assert (early, late) == (1, None)
    assert "agentjobs.agentjobs.dev; apply crds/agentjobs.yaml first" in said
    assert "database.unavailable" in then
