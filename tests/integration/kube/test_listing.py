"""kopf's own list brings only what the caches do not hold."""

import aiohttp
import kopf
import pytest
from aiohttp import web

from agentjobs.core.pods.manifests import PodDefaults
from agentjobs.kopf_adapter import Connection
from agentjobs.kube.listing import listing_session
from agentjobs.kube.resources import AGENTJOBS
from agentjobs.metrics import Metrics
from agentjobs.reconcile import Reconciler
from agentjobs.reconcile.ports import Ports


def an_object(name: str, version: int) -> dict:
    meta = {"namespace": "default", "name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": meta | {"generation": 1, "creationTimestamp": "2026-01-31T12:00:00Z"}, "spec": {}}


class Records(list):
    put = list.append


@pytest.fixture
def state():
    ports = Ports(cluster=None, history=None, writer=Records(), recorder=None, metrics=Metrics())
    reconciler = Reconciler(
        ports,
        pods=PodDefaults(gateway_url="", image="i"),
        queues={"agents": 1},
    )
    return reconciler.state


async def names(session: aiohttp.ClientSession, url: str) -> list[str]:
    async with session.get(url) as answer:
        return [item["metadata"]["name"] for item in (await answer.json())["items"]]


@pytest.fixture
async def session(server, state):
    connector = aiohttp.TCPConnector()
    async with listing_session(
        headers={"X": "y"}, connector=connector, proxy=None, is_current=state.informers.is_current
    ) as session:
        yield session


@pytest.mark.parametrize(
    ("kind", "listed"),
    [("AgentJobList", ["changed", "new"]), ("SecretList", ["same", "older", "gone", "changed", "new"])],
    ids=["of a kind that is followed", "of any other"],
)
async def test_a_list_leaves_out_what_is_no_news(server, session, state, kind, listed):
    for name in ("same", "older", "gone", "changed"):
        state.observe(AGENTJOBS, "ADDED", an_object(name, 5))
    state.observe(AGENTJOBS, "DELETED", an_object("gone", 7))
    versions = {"same": 5, "older": 4, "gone": 5, "changed": 6, "new": 8}

    async def answer(_request: web.Request) -> web.Response:
        items = [an_object(name, version) for name, version in versions.items()]
        return web.json_response({"kind": kind, "metadata": {"resourceVersion": "9"}, "items": items})

    server.handler = answer

    assert await names(session, server.url) == listed
    assert server.requests[0].headers["X"] == "y"


@pytest.mark.parametrize("body", [{"kind": "APIResourceList", "resources": []}, {"items": 1}, [1], "x"], ids=repr)
async def test_an_answer_that_is_no_list_of_objects_is_left_alone(server, session, body):
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body)

    server.handler = answer

    async with session.get(server.url) as found:
        assert await found.json() == body


async def test_refused_credentials_are_known_again_when_a_login_brings_the_same(state):
    infos = [kopf.ConnectionInfo(server="https://127.0.0.1", token=token) for token in ("a", "a", "b")]
    refused, same, new = connections = [Connection.make(info, state.informers.is_current) for info in infos]
    for connection in connections:
        await connection.aiohttp_session.close()

    assert refused == same
    assert refused != new
    assert refused.aiohttp_session is not same.aiohttp_session
