"""A whole development cluster for both clients, and one way to write a test for the two of them."""

import asyncio
import contextlib
import inspect

import pytest
import pytest_asyncio
import yaml

from agentjobs.client import AsyncClient, Client
from agentjobs.dev.up import DevCluster
from devcluster.client import CONFIG_MAPS, ApiError
from devcluster.client import Client as KubeClient


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(shared_cluster: DevCluster) -> DevCluster:
    """The session's cluster, with scripts for models in the namespace `default`."""
    script = yaml.safe_dump({"starts": [[{"text": "Hello!", "delay": "300ms"}]]})
    slow = yaml.safe_dump({"starts": [[{"text": "Late.", "delay": "60s"}]]})
    body = {"metadata": {"name": "answers"}, "data": {"quick": script, "slow": slow}}
    async with KubeClient(shared_cluster.url, token=shared_cluster.token, ca=shared_cluster.ca) as kube:
        with contextlib.suppress(ApiError):  # made by another module
            await kube.create(CONFIG_MAPS, "default", body)
    return shared_cluster


class Awaited:
    """A blocking client as an asynchronous one, so that a test speaks to both in the same words."""

    def __init__(self, client) -> None:
        self._client = client

    def __getattr__(self, name):
        method = getattr(self._client, name)
        if not inspect.isroutine(method):
            return Awaited(method)
        if inspect.isgeneratorfunction(method):
            return lambda *args, **named: self._each(method(*args, **named))
        return lambda *args, **named: asyncio.to_thread(method, *args, **named)

    async def _each(self, values):
        end = object()
        try:
            while (value := await asyncio.to_thread(next, values, end)) is not end:
                yield value
        finally:
            values.close()


@pytest_asyncio.fixture(params=["Client", "AsyncClient"], loop_scope="module")
async def jobs(request, cluster):
    """One of the two clients, and both in turn."""
    if request.param == "Client":
        with Client(kubeconfig=str(cluster.kubeconfig)) as blocking:
            yield Awaited(blocking)
    else:
        async with AsyncClient(kubeconfig=str(cluster.kubeconfig)) as client:
            yield client


@pytest.fixture
def name(request):
    """A job's name that no other test has."""
    return request.node.name.replace("test_", "").replace("_", "-").split("[")[0][:38].rstrip("-") + (
        "-async" if "AsyncClient" in request.node.name else ""
    )
