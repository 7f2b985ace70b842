"""PersistentVolumeClaims: bound immediately, folders that outlive pods, protected while a pod uses them."""

import asyncio

import pytest

from devcluster.client import CLAIMS, PODS, ApiError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("node-pods")]

OUT = {"name": "OUT", "value": "/dev/termination-log"}
SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.fixture(autouse=True)
def _own_storage(machine):
    if machine.place.shared:
        pytest.skip("the cluster has no storage that could bind a claim")


def mounting(claim, **mount):
    """Return the spec of a pod with the claim at /data, whose path is in DATA."""
    mounts = [{"name": "v", "mountPath": "/data", **mount}]
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]
    return {"volumes": volumes, "container": {"env": [OUT, {"name": "DATA", "value": "/data"}], "volumeMounts": mounts}}


async def bound(machine, name):
    await machine.make(CLAIMS, name, {"spec": SPEC})
    return await machine.until(name, lambda it: it and it["status"]["phase"] == "Bound", resource=CLAIMS)


async def test_a_claim_is_bound_immediately_with_its_requested_size(machine):
    claim = await bound(machine, "at-once")

    assert claim["status"]["capacity"] == {"storage": "1Gi"}
    assert claim["spec"]["volumeName"] == f"pvc-{claim['metadata']['uid']}"
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def test_files_of_a_claim_remain_after_their_pod(machine, terminated):
    await bound(machine, "outlives")
    first = await machine.run("import os; open(os.environ['DATA'] + '/x', 'w').write('kept')", **mounting("outlives"))
    await machine.ended(first)
    await machine.client.delete(PODS, machine.home, first, grace_seconds=0)

    read = "import os; open(os.environ['OUT'], 'w').write(open(os.environ['DATA'] + '/x').read())"
    second = await machine.run(read, **mounting("outlives"))

    assert terminated(await machine.ended(second))["message"] == "kept"


async def test_a_pod_waits_for_its_claim(machine, terminated):
    name = await machine.run("import os; open(os.environ['OUT'], 'w').write('came')", **mounting("comes-late"))

    def refused(pod):
        return any(one["type"] == "PodScheduled" and one["status"] == "False" for one in pod["status"]["conditions"])

    pod = await machine.until(name, lambda it: it and it["status"].get("conditions") and refused(it))
    why = next(one["message"] for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
    assert 'persistentvolumeclaim "comes-late" not found' in why
    await bound(machine, "comes-late")

    assert terminated(await machine.ended(name))["message"] == "came"


async def test_a_deleted_claim_is_removed_with_its_files_after_its_pod(machine):
    claim = await bound(machine, "goes")
    folder = machine.folder / "node" / "claims" / claim["metadata"]["uid"]
    name = await machine.run("import time; time.sleep(60)", **mounting("goes"))
    await machine.running(name)
    await machine.client.delete(CLAIMS, machine.home, "goes")

    going = await machine.exists(CLAIMS, "goes")
    assert going is not None
    assert folder.is_dir()
    await machine.client.delete(PODS, machine.home, name, grace_seconds=0)
    await machine.gone("goes", resource=CLAIMS)
    async with asyncio.timeout(10):
        while folder.exists():
            await asyncio.sleep(0.02)


async def test_a_sub_path_is_created_in_its_volume(machine, terminated):
    claim = await bound(machine, "sub-path")
    name = await machine.run("import os; open(os.environ['DATA'] + '/x', 'w')", **mounting("sub-path", subPath="a/b"))
    await machine.ended(name)

    assert (machine.folder / "node" / "claims" / claim["metadata"]["uid"] / "a" / "b" / "x").exists()


async def test_a_link_in_a_volume_does_not_lead_a_sub_path_out_of_it(machine, tmp_path):
    claim = await bound(machine, "hostile")
    volume = machine.folder / "node" / "claims" / claim["metadata"]["uid"]
    volume.mkdir(parents=True, exist_ok=True)
    (volume / "out").symlink_to(tmp_path)
    name = await machine.run("pass", **mounting("hostile", subPath="out/x"))

    def waits(pod):
        states = (pod or {}).get("status", {}).get("containerStatuses") or []
        return any((one["state"].get("waiting") or {}).get("reason") == "CreateContainerConfigError" for one in states)

    await machine.until(name, waits)
    assert not (tmp_path / "x").exists()
    await machine.client.delete(PODS, machine.home, name, grace_seconds=0)


async def test_the_spec_of_a_claim_cannot_be_changed(machine):
    await bound(machine, "fixed")

    with pytest.raises(ApiError) as refused:
        await machine.client.patch(CLAIMS, machine.home, "fixed", {"spec": {"accessModes": ["ReadOnlyMany"]}})
    assert refused.value.code == 422
    with pytest.raises(ApiError) as refused:
        await machine.client.patch(
            CLAIMS, machine.home, "fixed", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        )
    assert refused.value.code == 403
