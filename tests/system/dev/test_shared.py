"""A session on a shared cluster removes its objects, also those of an earlier session of its folder."""

import pytest

from agentjobs.dev.shared import SESSION_LABEL
from devcluster.client import NAMESPACES, NODES, PODS, Client
from devcluster.node import ProcessNode

FINALIZER = "example.com/held"


@pytest.fixture(autouse=True)
def of_others(backend):
    if backend != "kubeconfig":
        pytest.skip("a server that is not shared ends with all its objects")


async def left_of(client, session):
    """Return the names of all objects with the session's label."""
    names = []
    for resource in (NAMESPACES, NODES):
        items, _ = await client.list(resource, label_selector=f"{SESSION_LABEL}={session}")
        names += [item["metadata"]["name"] for item in items]
    return names


async def test_a_session_removes_objects_of_an_earlier_one_of_its_folder_and_its_own(make_server, tmp_path):
    killed = make_server(tmp_path / "one")
    await killed.__aenter__()
    place = killed.place
    node = ProcessNode(killed._user, name=place.node, folder=tmp_path, **place.node_options)
    await node._register(0)
    pod = {
        "metadata": {"name": "held", "finalizers": [FINALIZER]},
        "spec": {"containers": [{"name": "c", "image": "none"}], **place.placement},
    }
    await killed._user.create(PODS, place.namespace, pod)

    async with (
        make_server(tmp_path / "other") as looker,
        Client(looker.url, token=looker.token, ca=looker.ca) as client,
    ):
        before = await left_of(client, place.node)
        async with make_server(tmp_path / "one") as again:
            during = await left_of(client, place.node)
        after = await left_of(client, place.node)
    await killed._user.__aexit__()

    assert again.place == place
    assert before == [place.namespace, place.system, place.node]
    assert during == [place.namespace, place.system]
    assert after == []
