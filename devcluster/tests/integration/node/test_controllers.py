"""Garbage collection and deletion of namespaces, by the same controllers on every API server."""

import asyncio

import pytest

from devcluster.apiserver import ApiServer
from devcluster.client import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("node-controllers")]


async def settled(machine):
    """Wait until the collector has seen all writes: create garbage and wait until it is deleted."""
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "never",
        "uid": "00000000-0000-0000-0000-000000000000",
    }
    await machine.make(SECRETS, "marker", ownerReferences=[reference])
    await machine.gone("marker", resource=SECRETS)


async def test_background_deletion_removes_dependents_after_their_owner(machine):
    _, reference = await machine.owner("owner-background")
    await machine.make(SECRETS, "child-background", ownerReferences=[reference])

    await machine.client.delete(CONFIG_MAPS, machine.home, "owner-background", propagation="Background")

    await machine.gone("child-background", resource=SECRETS)


async def test_foreground_deletion_removes_the_owner_last(machine):
    _, reference = await machine.owner("owner-foreground")
    blocking = {**reference, "blockOwnerDeletion": True}
    await machine.make(SECRETS, "child-foreground", ownerReferences=[blocking], finalizers=["example.com/keep"])
    await settled(machine)

    await machine.client.delete(CONFIG_MAPS, machine.home, "owner-foreground", propagation="Foreground")
    await machine.until("child-foreground", lambda found: found["metadata"].get("deletionTimestamp"), resource=SECRETS)
    waiting = await machine.exists(CONFIG_MAPS, "owner-foreground")
    await machine.client.patch(SECRETS, machine.home, "child-foreground", {"metadata": {"finalizers": None}})
    await machine.gone("owner-foreground", resource=CONFIG_MAPS)

    assert waiting["metadata"]["deletionTimestamp"]


async def test_orphans_lose_their_owner_reference_and_remain(machine):
    _, reference = await machine.owner("owner-orphan")
    await machine.make(SECRETS, "child-orphan", ownerReferences=[reference])
    await settled(machine)

    await machine.client.delete(CONFIG_MAPS, machine.home, "owner-orphan", propagation="Orphan")
    await machine.gone("owner-orphan", resource=CONFIG_MAPS)
    await settled(machine)

    child = await machine.exists(SECRETS, "child-orphan")
    assert not child["metadata"].get("ownerReferences")


async def test_a_new_object_with_the_owners_name_is_not_the_owner(machine):
    _, reference = await machine.owner("owner-again")
    await machine.make(SECRETS, "child-again", ownerReferences=[{**reference, "uid": reference["uid"][:-4] + "0000"}])

    await machine.gone("child-again", resource=SECRETS)

    assert await machine.exists(CONFIG_MAPS, "owner-again")


async def test_an_object_with_two_owners_remains_until_both_are_deleted(machine):
    _, first = await machine.owner("owner-one")
    _, second = await machine.owner("owner-two")
    await machine.make(SECRETS, "child-of-two", ownerReferences=[first, second])
    await settled(machine)

    await machine.client.delete(CONFIG_MAPS, machine.home, "owner-one", propagation="Background")
    left = await machine.until(
        "child-of-two", lambda found: len(found["metadata"]["ownerReferences"]) == 1, resource=SECRETS
    )
    await machine.client.delete(CONFIG_MAPS, machine.home, "owner-two", propagation="Background")
    await machine.gone("child-of-two", resource=SECRETS)

    assert left["metadata"]["ownerReferences"][0]["name"] == "owner-two"


async def test_dependents_of_dependents_are_deleted_too(machine):
    _, reference = await machine.owner("grandparent")
    _, parent = await machine.owner("parent", ownerReferences=[reference])
    await machine.make(SECRETS, "grandchild", ownerReferences=[parent])

    await machine.client.delete(CONFIG_MAPS, machine.home, "grandparent", propagation="Background")

    await machine.gone("grandchild", resource=SECRETS)


async def test_deleting_a_namespace_deletes_all_its_objects(machine):
    namespace = await machine.namespace()
    await machine.make(CONFIG_MAPS, "inside", namespace=namespace)
    await machine.until("default", bool, namespace=namespace, resource=SERVICE_ACCOUNTS)
    name = await machine.run("import time; time.sleep(60)", namespace=namespace)
    await machine.until(name, lambda pod: pod["status"].get("phase") == "Running", namespace=namespace)

    await machine.client.delete(NAMESPACES, None, namespace)

    await machine.gone(namespace, namespace=None, resource=NAMESPACES)


async def test_every_namespace_gets_the_servers_ca_certificate(machine):
    namespace = await machine.namespace()

    found = await machine.until("kube-root-ca.crt", bool, namespace=namespace, resource=CONFIG_MAPS)

    assert found["data"]["ca.crt"] == await asyncio.to_thread(machine.server.ca.read_text)


async def test_a_pod_is_bound_even_if_its_first_binding_conflicts(machine):
    if not isinstance(machine.server, ApiServer):
        pytest.skip("a real API server conflicts only by chance; the embedded one does so on demand")
    faults = machine.server.faults
    faults.fail_every, faults.fail_code, faults.only = 1, 409, lambda verb, resource: resource == "pods/binding"
    name = await machine.run()
    await asyncio.sleep(0.3)
    refused = (await machine.exists(PODS, name))["spec"].get("nodeName")
    faults.fail_every = 0

    assert (refused, (await machine.ended(name))["phase"]) == (None, "Succeeded")
