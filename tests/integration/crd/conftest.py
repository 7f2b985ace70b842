"""API servers with our CRDs in them, once a session: the embedded one; a real one where KUBEBUILDER_ASSETS is set."""

import asyncio
import itertools
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, cast

import pytest

from agentjobs.contract import GROUP, VERSION
from agentjobs.dev.backends import Server
from agentjobs.dev.crds import apply_crds
from devcluster.apiserver import ApiServer
from devcluster.client import Client, Resource
from devcluster.envtest import ASSETS

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
        return await self.edit(job, {"spec": spec})

    async def edit(self, job: dict[str, Any], body: dict[str, Any], **options: Any) -> dict[str, Any]:
        return await self.client.patch(AGENTJOBS, "default", job["metadata"]["name"], body, **options)

    async def replace(self, job: dict[str, Any]) -> dict[str, Any]:
        path = f"{AGENTJOBS.path('default')}/{job['metadata']['name']}"
        return await self.client.request("PUT", path, body=job)

    async def patch_status(self, job: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        return await self.edit(job, {"status": status}, subresource="status")


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """In a thread: each test has an event loop of its own, and a server must answer in all of them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = ApiServer(tmp_path_factory.mktemp("embedded"))

    def run(what: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(what, loop).result(30)

    async def apply() -> None:
        async with Client(server.url, token=server.token, ca=server.ca) as client:
            await apply_crds(client)

    run(server.__aenter__())
    run(apply())
    yield server
    run(server.__aexit__())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="session", params=["embedded", "real"])
def api_server(request: pytest.FixtureRequest) -> Server:
    if request.param == "embedded":
        return cast("Server", request.getfixturevalue("embedded_server"))
    if not os.environ.get(ASSETS):
        pytest.skip(f"{ASSETS} is unset: it names the folder of etcd and kube-apiserver that judge the CRD")
    return cast("Server", request.getfixturevalue("real_server"))


@pytest.fixture
async def client(api_server: Server) -> AsyncIterator[Client]:
    async with Client(api_server.url, token=api_server.token, ca=api_server.ca) as client:
        yield client


@pytest.fixture
def jobs(client: Client) -> Jobs:
    return Jobs(client)
