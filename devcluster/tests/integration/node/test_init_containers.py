"""Init containers end as containers do: with messages, grace and deadlines; what follows a failed one never starts."""

import asyncio

import pytest

from devcluster.client import PODS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("node-pods")]

STOPPABLE = """
import os, signal, sys, time
def stop(*_):
    open(os.environ["OUT"], "w").write("stopped")
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print("armed", flush=True)
time.sleep(60)
"""


def first(program):
    """Return the spec of a pod with this program as an init container."""
    env = [{"name": "OUT", "value": "/dev/termination-log"}]
    return {"initContainers": [{"name": "first", "image": "none", "command": ["python", "-c", program], "env": env}]}


async def armed(machine, name):
    """Wait until the init container can be stopped."""
    pod = await machine.until(name, lambda it: it and "running" in state_of(it["status"]))
    logs = machine.folder / "node" / "pods" / pod["metadata"]["uid"] / "containers" / "first"
    async with asyncio.timeout(20):
        while not any("armed" in log.read_text() for log in logs.rglob("log")):
            await asyncio.sleep(0.02)


def state_of(status):
    return (status.get("initContainerStatuses") or [{"state": {}}])[0]["state"]


def later_of(status):
    return status["containerStatuses"][0]["state"]


async def test_each_init_container_has_its_own_message(machine, terminated):
    say = "import os; open(os.environ['OUT'], 'w').write('{}')"
    container = {"env": [{"name": "OUT", "value": "/dev/termination-log"}]}
    name = await machine.run(say.format("second"), container=container, **first(say.format("first")))

    status = await machine.ended(name)

    assert state_of(status)["terminated"]["message"] == "first"
    assert status["initContainerStatuses"][0]["ready"] is True
    assert terminated(status)["message"] == "second"


async def test_containers_after_a_failed_init_container_never_start(machine):
    name = await machine.run("pass", **first("import os, sys; open(os.environ['OUT'], 'w').write('no'); sys.exit(4)"))

    status = await machine.ended(name)

    assert (status["phase"], state_of(status)["terminated"]["exitCode"]) == ("Failed", 4)
    assert state_of(status)["terminated"]["message"] == "no"
    assert later_of(status) == {"waiting": {"reason": "PodInitializing"}}


async def test_a_deleted_pod_stops_its_init_container_with_grace(machine):
    name = await machine.run("pass", metadata={"finalizers": ["example.com/keep"]}, **first(STOPPABLE))
    await armed(machine, name)
    await machine.client.delete(PODS, machine.home, name, grace_seconds=10)

    status = await machine.ended(name)

    assert (status["phase"], state_of(status)["terminated"]["message"]) == ("Failed", "stopped")
    assert later_of(status) == {"waiting": {"reason": "PodInitializing"}}
    await machine.client.patch(PODS, machine.home, name, {"metadata": {"finalizers": None}})


async def test_a_deadline_stops_an_init_container_with_grace(machine):
    name = await machine.run("pass", activeDeadlineSeconds=2, terminationGracePeriodSeconds=10, **first(STOPPABLE))

    pod = await machine.until(name, lambda it: it and "terminated" in state_of(it["status"]))

    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert state_of(pod["status"])["terminated"]["message"] == "stopped"


async def test_a_restarted_node_runs_no_init_container_again(machine, tmp_path):
    node, second = machine.another_node("init", folder=tmp_path)
    task = asyncio.create_task(node.run())
    await node.ready.wait()
    name = await machine.run("pass", nodeName=second, **first("import time; time.sleep(60)"))
    await machine.until(name, lambda it: it and "running" in state_of(it["status"]))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    again = asyncio.create_task(machine.another_node("init", folder=tmp_path)[0].run())
    status = await machine.ended(name)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)

    assert (status["phase"], state_of(status)["terminated"]["reason"]) == ("Failed", "ContainerStatusUnknown")
    assert later_of(status)["waiting"]["reason"] == "PodInitializing"
