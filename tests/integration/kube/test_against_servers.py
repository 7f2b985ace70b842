"""Client, elector and recorder against an API server, embedded or real."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import yaml

from agentjobs.contract import FINALIZER, LABEL_JOB
from agentjobs.dev.backends import Server, place_of
from agentjobs.engine.cache import Cache
from agentjobs.errors import AlreadyExists, Conflict, Denied, Gone, Invalid, NotFound
from agentjobs.kube.client import KubeClient
from agentjobs.kube.elector import Elector, LeaseLost
from agentjobs.kube.finalizer_cleanup import release_pods
from agentjobs.kube.recorder import EventRecorder
from agentjobs.kube.resources import CONFIGMAPS, CRDS, EVENTS, LEASES, NAMESPACES, PODS, TOKENREVIEWS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("kube-servers")]
Obj = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api_server(make_server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with make_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def namespace(api_server) -> str:
    return place_of(api_server).namespace


@pytest.fixture(scope="module")
def kubeconfig(api_server) -> Path:
    return api_server.kubeconfig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(str(kubeconfig)) as made:
        yield made


@pytest.fixture
def name() -> str:
    return f"t-{uuid4().hex[:10]}"


def config_map(name: str, **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_an_object_is_created_read_patched_and_deleted(client, name, namespace):
    made = await client.create(CONFIGMAPS, namespace, config_map(name, a="1"))
    patched = await client.patch(CONFIGMAPS, namespace, name, {"data": {"a": None, "b": "2"}})
    replaced = await client.replace(CONFIGMAPS, namespace, name, {**patched, "data": {"c": "3"}})
    read = await client.get(CONFIGMAPS, namespace, name)
    await client.delete(CONFIGMAPS, namespace, name, uid=made["metadata"]["uid"])

    assert patched["data"] == {"b": "2"}
    assert read == replaced
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, namespace, name)


async def test_preconditions_are_enforced(client, name, namespace):
    made = await client.create(CONFIGMAPS, namespace, config_map(name))
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "1"}}
    await client.patch(CONFIGMAPS, namespace, name, stale)

    with pytest.raises(Conflict, match="object has been modified"):
        await client.patch(CONFIGMAPS, namespace, name, stale)
    with pytest.raises(Conflict, match="precondition"):
        await client.delete(CONFIGMAPS, namespace, name, uid=str(uuid4()))
    with pytest.raises(AlreadyExists):
        await client.create(CONFIGMAPS, namespace, config_map(name))


async def test_refusals_have_distinct_errors(client, kubeconfig, name, namespace):
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await client.create(CONFIGMAPS, namespace, config_map("Not_A_Name"))
    with pytest.raises(NotFound, match="nowhere"):
        await client.create(CONFIGMAPS, "nowhere", config_map(name))
    async with KubeClient.connect(str(_with_token(kubeconfig, "wrong"))) as other:
        with pytest.raises(Denied, match="401"):
            await other.list(NAMESPACES)


def _with_token(kubeconfig: Path, token: str) -> Path:
    document = yaml.safe_load(kubeconfig.read_text())
    document["users"][0]["user"] = {"token": token}
    path = kubeconfig.with_name("other")
    path.write_text(yaml.safe_dump(document))
    return path


async def test_a_list_of_many_pages_is_complete(client, name, monkeypatch, namespace):
    monkeypatch.setattr("agentjobs.kube.client.LIST_LIMIT", 2)  # 500 objects take too long to make
    for number in range(5):
        body = config_map(f"{name}-{number}")
        body["metadata"]["labels"] = {"test": name}
        await client.create(CONFIGMAPS, namespace, body)

    items, version = await client.list(CONFIGMAPS, namespace, label_selector=f"test={name}")

    assert sorted(item["metadata"]["name"] for item in items) == [f"{name}-{number}" for number in range(5)]
    assert {item["kind"] for item in items} == {"ConfigMap"}
    assert int(version) >= max(int(item["metadata"]["resourceVersion"]) for item in items)


async def test_a_watch_continues_after_the_list(client, name, namespace):
    _, version = await client.list(CONFIGMAPS, namespace)
    selector = f"metadata.name={name}"
    watch = client.watch(CONFIGMAPS, namespace, resource_version=version, field_selector=selector)
    await client.create(CONFIGMAPS, namespace, config_map(name))
    await client.patch(CONFIGMAPS, namespace, name, {"data": {"a": "1"}})
    await client.delete(CONFIGMAPS, namespace, name)

    async with asyncio.timeout(20):
        seen = [(await anext(watch))[0] for _ in range(3)]
    await watch.aclose()

    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_watch_ends_when_its_time_is_up(client, namespace):
    _, version = await client.list(CONFIGMAPS, namespace)

    async with asyncio.timeout(20):
        kinds = {kind async for kind, _ in client.watch(CONFIGMAPS, namespace, resource_version=version, seconds=1)}

    assert kinds <= {"BOOKMARK"}


async def test_a_watch_from_a_version_that_was_compacted_is_gone(client, api_server, name, namespace):
    _, version = await client.list(CONFIGMAPS)
    for number in range(2):
        await client.create(CONFIGMAPS, namespace, config_map(f"{name}-{number}"))
    if place_of(api_server).shared:
        pytest.skip("a cluster of others is not compacted for a test")
    compacting = api_server.compact()
    if compacting is not None:  # a real one is asked over the network
        await compacting

    with pytest.raises(Gone):
        async with asyncio.timeout(20):
            await anext(client.watch(CONFIGMAPS, resource_version=version))


async def test_a_cache_fed_by_watch_and_own_writes_follows_the_server(client, name, namespace):
    cache: Cache[dict[str, str]] = Cache(lambda obj: dict(obj.get("data") or {}))
    items, version = await client.list(CONFIGMAPS, namespace)
    listing = cache.listing(namespace)
    for item in items:
        listing.take(item)
    listing.end(version)
    watch = client.watch(CONFIGMAPS, namespace, resource_version=version)

    cache.apply(None, await client.create(CONFIGMAPS, namespace, config_map(name, a="1")))
    cache.apply(None, await client.patch(CONFIGMAPS, namespace, name, {"data": {"a": "2"}}))
    assert cache.get((namespace, name)) == {"a": "2"}
    await client.delete(CONFIGMAPS, namespace, name)
    async with asyncio.timeout(20):
        stale = [cache.apply(*await anext(watch)) for _ in range(2)]
        gone = cache.apply(*await anext(watch))
    await watch.aclose()

    assert stale == [[], []]
    assert gone[-1] == ((namespace, name), {"a": "2"}, None)
    assert cache.get((namespace, name)) is None


async def test_a_lease_is_held_renewed_and_handed_over(client, name, namespace):
    def elector(identity: str) -> Elector:
        seconds = {"duration": timedelta(seconds=3), "deadline": timedelta(seconds=2), "retry": timedelta(seconds=0.1)}
        return Elector(client, namespace=namespace, name=name, identity=identity, **seconds)

    first, second = elector("first"), elector("second")
    await first.acquire()
    renewing = asyncio.create_task(first.run())
    waiting = asyncio.create_task(second.acquire())
    before = (await client.get(LEASES, namespace, name))["spec"]["renewTime"]
    async with asyncio.timeout(20):
        while (await client.get(LEASES, namespace, name))["spec"]["renewTime"] == before:
            await asyncio.sleep(0.05)
    first.held()

    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    await first.release()
    async with asyncio.timeout(20):
        await waiting

    second.held()
    with pytest.raises(LeaseLost):
        first.held()
    spec = (await client.get(LEASES, namespace, name))["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)


async def test_events_are_accepted_and_counted(client, name, namespace):
    made = await client.create(CONFIGMAPS, namespace, config_map(name))
    about = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "namespace": namespace,
        "name": name,
        "uid": made["metadata"]["uid"],
    }
    for instance in ("before", "after a restart"):
        recorder = EventRecorder(client, instance=instance)
        task = asyncio.create_task(recorder.run())
        for _ in range(2):
            recorder.record(about, "Warning", "Tested", "That was it.")
            assert await recorder.flush(seconds=20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    items, _ = await client.list(EVENTS, namespace, field_selector=f"involvedObject.name={name}")

    assert [(e["count"], e["reason"], e["message"]) for e in items] == [(4, "Tested", "That was it.")]


async def test_a_token_review_is_answered(client):
    body = {"apiVersion": TOKENREVIEWS.api_version, "kind": TOKENREVIEWS.kind, "spec": {"token": "no such token"}}

    review = await client.create(TOKENREVIEWS, None, body)

    assert not review["status"].get("authenticated", False)


async def test_cluster_wide_resources_are_listed(client):
    await client.list(CRDS)
    namespaces, _ = await client.list(NAMESPACES)

    assert "default" in {namespace["metadata"]["name"] for namespace in namespaces}


def held_pod(name: str, *finalizers: str) -> Obj:
    meta = {"name": name, "labels": {LABEL_JOB: name}, "finalizers": list(finalizers)}
    container = {"name": "runner", "image": "x"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


async def test_our_finalizer_is_removed_from_pods_of_a_removed_installation_and_others_are_kept(
    client, name, namespace
):
    for number in range(3):
        await client.create(PODS, namespace, held_pod(f"{name}-{number}", FINALIZER, "example.com/other"))

    released = await release_pods(
        client, namespaces=[namespace], lease_namespace=namespace, lease_name=name, identity="me", timeout=5
    )

    pods = [await client.get(PODS, namespace, f"{name}-{number}") for number in range(3)]
    assert released == 3
    assert [pod["metadata"]["finalizers"] for pod in pods] == [["example.com/other"]] * 3
    with pytest.raises(NotFound):
        await client.get(LEASES, namespace, name)


async def test_finalizers_are_kept_while_an_operator_leads(client, name, namespace):
    await client.create(PODS, namespace, held_pod(name, FINALIZER))
    operator = Elector(client, namespace=namespace, name=name, identity="operator")
    await operator.acquire()

    with pytest.raises(Denied, match="an operator is running; stop it first"):
        await release_pods(
            client, namespaces=[], lease_namespace=namespace, lease_name=name, identity="me", timeout=0.5
        )

    assert (await client.get(PODS, namespace, name))["metadata"]["finalizers"] == [FINALIZER]
