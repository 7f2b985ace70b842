"""A real API server with our CRD in it, once a session. Needs KUBEBUILDER_ASSETS."""

import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentjobs.contract import GROUP, VERSION
from agentjobs.dev.client import Client, Resource
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


@pytest.fixture(scope="session")
def api_server(request: pytest.FixtureRequest) -> EnvTest:
    if not os.environ.get(ASSETS):
        pytest.skip(f"{ASSETS} is unset: it names the folder of etcd and kube-apiserver that judge the CRD")
    server: EnvTest = request.getfixturevalue("real_server")
    return server


@pytest.fixture
async def client(api_server: EnvTest) -> AsyncIterator[Client]:
    async with Client(api_server.url, token=api_server.token, ca=api_server.ca) as client:
        yield client


@pytest.fixture
def jobs(client: Client) -> Jobs:
    return Jobs(client)
