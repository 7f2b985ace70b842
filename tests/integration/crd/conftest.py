"""A real API server with our CRD in it, once a session. Needs KUBEBUILDER_ASSETS."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentjobs.api.crd import crd
from agentjobs.contract import GROUP, VERSION
from agentjobs.dev.client import CRDS, ApiError, Client, Resource
from agentjobs.dev.envtest import ASSETS, EnvTest

AGENTJOBS = Resource(GROUP, VERSION, "agentjobs", "AgentJob")
_numbers = itertools.count(1)


class Jobs:
    """AgentJobs in the namespace `default`, written as kubectl would: unknown fields are refused."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def create(self, name: str = "", **changes: Any) -> dict[str, Any]:
        """Create a valid job whose spec has `changes` applied; None takes a field away."""
        spec: dict[str, Any] = {
            "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
            "input": {"message": "Say hello."},
        }
        spec = {key: value for key, value in (spec | changes).items() if value is not None}
        return await self.apply({"metadata": {"name": name or f"job-{next(_numbers)}"}, "spec": spec})

    async def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        whole = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "AgentJob", **body}
        path = AGENTJOBS.path("default")
        return await self.client.request("POST", path, body=whole, params={"fieldValidation": "Strict"})

    async def patch(self, job: dict[str, Any], **spec: Any) -> dict[str, Any]:
        return await self.client.patch(AGENTJOBS, "default", job["metadata"]["name"], {"spec": spec})

    async def patch_status(self, job: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        name = job["metadata"]["name"]
        return await self.client.patch(AGENTJOBS, "default", name, {"status": status}, subresource="status")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EnvTest]:
    if not os.environ.get(ASSETS):
        pytest.skip(f"{ASSETS} is unset: it names the folder of etcd and kube-apiserver that judge the CRD")
    folder: Path = tmp_path_factory.mktemp("apiserver")
    async with EnvTest(folder) as server:
        async with Client(server.url, token=server.token, ca=server.ca) as client:
            await client.create(CRDS, None, crd())
            await _served(client)
        yield server


async def _served(client: Client) -> None:
    # Established is said before the paths are served, and the first answers may still be 404.
    for _ in range(300):
        try:
            await client.list(AGENTJOBS, "default")
        except ApiError as error:
            if error.code not in (404, 429, 503):
                raise
        else:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the CRD is not served 30 s after it was made")


@pytest.fixture
async def client(api_server: EnvTest) -> AsyncIterator[Client]:
    async with Client(api_server.url, token=api_server.token, ca=api_server.ca) as client:
        yield client


@pytest.fixture
def jobs(client: Client) -> Jobs:
    return Jobs(client)
