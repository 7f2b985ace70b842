"""The ends of pods on the process node, with the phases, reasons and container states recorded from a kubelet."""

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from devcluster.client import CONFIG_MAPS, PODS, SECRETS
from devcluster.node import Instant

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("node-pods")]

SAY = {"env": [{"name": "OUT", "value": "/dev/termination-log"}]}
STOPPABLE = """
import os, signal, sys, time
def stop(*_):
    open(os.environ["OUT"], "w").write("stopped")
    sys.exit({code})
signal.signal(signal.SIGTERM, stop)
print("armed", flush=True)
time.sleep(60)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('armed', flush=True); time.sleep(60)"
KEPT = {"finalizers": ["example.com/keep"]}


async def log_of(machine, name, **query):
    if machine.place.shared:
        pytest.skip("the cluster's API server trusts no certificate of our node, so it serves no logs of it")
    path = PODS.path(machine.home, name, "log")
    return (await machine.client.request("GET", path, params=query)).get("text", "")


async def armed(machine, name):
    """Wait until the program has installed its signal handler and printed its first line."""
    uid = (await machine.running(name))["metadata"]["uid"]
    for _ in range(400):
        if any("armed" in log.read_text() for log in (machine.folder / "node" / "pods" / uid).rglob("log")):
            return
        await asyncio.sleep(0.02)


async def test_a_success_carries_its_message(machine, terminated):
    name = await machine.run("import os; open(os.environ['OUT'], 'w').write('done')", container=SAY)

    status = await machine.ended(name)

    end = terminated(status)
    assert (status["phase"], end["exitCode"], end["reason"], end["message"]) == ("Succeeded", 0, "Completed", "done")


async def test_a_pod_runs_in_the_folder_of_the_project(machine, terminated):
    name = await machine.run("import os; open(os.environ['OUT'], 'w').write(os.getcwd())", container=SAY)

    assert terminated(await machine.ended(name))["message"] == str(Path.cwd())


async def test_a_failure_without_message_shows_the_end_of_its_log(machine, terminated):
    program = "import sys; print('why', file=sys.stderr); sys.exit(3)"
    name = await machine.run(program, container={"terminationMessagePolicy": "FallbackToLogsOnError"})

    status = await machine.ended(name)

    end = terminated(status)
    assert (status["phase"], end["exitCode"], end["reason"], end["message"]) == ("Failed", 3, "Error", "why\n")


async def test_a_killed_process_has_exit_code_137_and_no_message(machine, terminated):
    name = await machine.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    status = await machine.ended(name)

    end = terminated(status)
    assert (status["phase"], end["exitCode"], end["reason"]) == ("Failed", 137, "Error")
    assert not end.get("message")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("/no/such", 'exec: "/no/such": stat /no/such: no such file or directory'),
        ("no-such", 'exec: "no-such": executable file not found in $PATH'),
    ],
)
async def test_a_missing_command_is_a_start_error(machine, terminated, command, why):
    name = await machine.run(container={"command": [command]})

    status = await machine.ended(name)

    end = terminated(status)
    assert (status["phase"], end["exitCode"], end["reason"]) == ("Failed", 128, "StartError")
    assert why in end["message"]


async def test_a_deadline_stops_with_grace_and_keeps_the_message(machine, terminated):
    name = await machine.run(STOPPABLE.format(code=7), container=SAY, activeDeadlineSeconds=1)

    status = await machine.ended(name)

    end = terminated(status)
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert status["message"] == "Pod was active on the node longer than the specified deadline"
    assert (end["exitCode"], end["message"]) == (7, "stopped")


async def test_a_deleted_pod_that_exits_0_succeeds_and_waits_for_its_finalizer(machine, terminated):
    name = await machine.run(STOPPABLE.format(code=0), container=SAY, metadata=KEPT)
    await armed(machine, name)

    await machine.client.delete(PODS, machine.home, name)
    status = await machine.ended(name)
    kept = await machine.exists(PODS, name)
    await machine.client.patch(PODS, machine.home, name, {"metadata": {"finalizers": None}})
    await machine.gone(name)

    assert (status["phase"], terminated(status)["message"]) == ("Succeeded", "stopped")
    assert kept


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace_period(machine, terminated):
    name = await machine.run(DEAF, metadata=KEPT)
    await armed(machine, name)

    await machine.client.delete(PODS, machine.home, name)
    status = await machine.ended(name)
    await machine.client.patch(PODS, machine.home, name, {"metadata": {"finalizers": None}})
    await machine.gone(name)

    assert (status["phase"], terminated(status)["exitCode"]) == ("Failed", 137)


async def test_a_deleted_pod_without_finalizer_is_removed(machine):
    name = await machine.run("import time; time.sleep(60)")
    await machine.running(name)

    await machine.client.delete(PODS, machine.home, name)

    await machine.gone(name)


async def test_no_process_of_a_vanished_pod_remains_including_grandchildren(machine, tmp_path):
    pids = tmp_path / "pids"
    program = f"""
import os, subprocess, time
child = subprocess.Popen(["sleep", "60"])
open({str(pids)!r} + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
os.rename({str(pids)!r} + ".new", {str(pids)!r})
time.sleep(60)
"""
    name = await machine.run(program)
    await eventually(pids.exists)

    await machine.client.delete(PODS, machine.home, name, grace_seconds=0)

    for pid in map(int, pids.read_text().split()):
        await eventually(lambda pid=pid: not alive(pid))


async def test_a_missing_secret_is_reported_and_the_pod_recovers(machine, terminated):
    entry = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "late", "key": "api"}}}
    program = "import os; open(os.environ['OUT'], 'w').write(os.environ['KEY'])"
    name = await machine.run(program, container={"env": [*SAY["env"], entry]})

    waiting = await machine.until(name, lambda pod: pod and waiting_reason(pod) == "CreateContainerConfigError")
    await machine.make(SECRETS, "late", {"data": {"api": "czNjcmV0"}})
    status = await machine.ended(name)

    assert waiting["status"]["phase"] == "Pending"
    assert waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == 'secret "late" not found'
    assert terminated(status)["message"] == "s3cret"


async def test_a_pod_with_a_missing_volume_waits_in_container_creating_and_recovers(machine, terminated):
    name = await machine.run(
        "import os; open(os.environ['OUT'], 'w').write(open(os.environ['CONF']).read())",
        volumes=[{"name": "v", "configMap": {"name": "late", "items": [{"key": "a", "path": "deep/a"}]}}],
        container={
            "env": [*SAY["env"], {"name": "CONF", "value": "/etc/app/deep/a"}],
            "volumeMounts": [{"name": "v", "mountPath": "/etc/app"}],
        },
    )

    waiting = await machine.until(name, lambda pod: pod and waiting_reason(pod) == "ContainerCreating")
    await machine.make(CONFIG_MAPS, "late", {"data": {"a": "from a file"}})
    status = await machine.ended(name)

    assert waiting["status"]["phase"] == "Pending"
    assert terminated(status)["message"] == "from a file"


async def test_a_pod_gets_a_token_for_its_audience(machine, terminated):
    source = {"serviceAccountToken": {"path": "token", "audience": "gateway", "expirationSeconds": 600}}
    name = await machine.run(
        "import os; open(os.environ['OUT'], 'w').write(open(os.environ['TOKEN']).read())",
        volumes=[{"name": "t", "projected": {"sources": [source]}}],
        container={
            "env": [*SAY["env"], {"name": "TOKEN", "value": "/var/run/t/token"}],
            "volumeMounts": [{"name": "t", "mountPath": "/var/run/t"}],
        },
    )
    token = terminated(await machine.ended(name))["message"]

    review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}
    review["spec"]["audiences"] = ["gateway"]
    answer = await machine.client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review)

    assert answer["status"]["authenticated"]
    assert answer["status"]["user"]["username"] == f"system:serviceaccount:{machine.home}:default"
    assert answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == [name]


async def test_a_container_has_the_downward_api_and_the_nodes_variables(machine, terminated):
    field = {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    program = "import os; open(os.environ['OUT'], 'w').write(os.environ['NAME'] + os.environ['FROM_HOST'])"
    name = await machine.run(program, container={"env": [*SAY["env"], field]})

    assert terminated(await machine.ended(name))["message"] == name + "yes"


async def test_init_containers_run_first_and_a_failing_one_fails_the_pod(machine):
    init = {"name": "init", "image": "none", "command": ["python", "-c", "raise SystemExit(5)"]}
    name = await machine.run(initContainers=[init])

    status = (await machine.until(name, lambda pod: pod and pod["status"].get("phase") == "Failed"))["status"]

    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 5
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


async def test_restarts_are_refused_with_a_clear_message(machine):
    name = await machine.run(restartPolicy="Always")

    status = (await machine.until(name, lambda pod: pod and pod["status"].get("phase") == "Failed"))["status"]

    assert (status["reason"], status["message"]) == (
        "UnsupportedPodSpec",
        "restartPolicy Always: the process node restarts nothing, use Never",
    )


async def test_logs_pass_through_the_api_server(machine):
    name = await machine.run("print('one'); print('two')")
    await machine.ended(name)

    assert await log_of(machine, name, container="runner") == "one\ntwo\n"
    assert await log_of(machine, name, tailLines="1") == "two\n"


async def test_a_followed_log_ends_with_its_container(machine):
    name = await machine.run("import time; print('one', flush=True); time.sleep(0.3); print('two')")
    await machine.running(name)

    assert await log_of(machine, name, follow="true") == "one\ntwo\n"


async def test_an_unschedulable_pod_has_a_condition(machine):
    name = await machine.run(nodeSelector={"disk": "none"})

    pod = await machine.until(name, lambda found: found and found["status"].get("conditions"))

    scheduled = next(entry for entry in pod["status"]["conditions"] if entry["type"] == "PodScheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert "didn't match Pod's node affinity/selector" in scheduled["message"]
    await machine.client.delete(PODS, machine.home, name, grace_seconds=0)


async def test_temporary_files_of_a_pod_are_its_own_and_are_deleted_with_it(machine, terminated):
    program = "import os, tempfile; open(os.environ['OUT'], 'w').write(tempfile.mkstemp()[1])"
    first, second = [await machine.run(program, container=SAY) for _ in range(2)]
    files = [Path(terminated(await machine.ended(name))["message"]) for name in (first, second)]
    kept = [file.exists() for file in files]

    await machine.client.delete(PODS, machine.home, first, grace_seconds=0)
    await machine.gone(first)
    while files[0].parent.exists():
        await asyncio.sleep(0.02)

    assert kept == [True, True]
    assert files[1].exists()


async def test_a_node_that_stops_deletes_temporary_files(machine, tmp_path, terminated):
    node, place = machine.another_node("temporary", folder=tmp_path)
    task = asyncio.create_task(node.run())
    program = "import os, tempfile; open(os.environ['OUT'], 'w').write(tempfile.mkstemp()[1])"
    name = await machine.run(program, container=SAY, nodeName=place)
    file = Path(terminated(await machine.ended(name))["message"])
    was_there = file.exists()

    task.cancel()
    await asyncio.wait({task})

    assert was_there
    assert not file.parent.parent.exists()


async def test_a_restarted_node_adopts_no_pods(machine, tmp_path, terminated):
    first, second = machine.another_node("second", folder=tmp_path)
    task = asyncio.create_task(first.run())
    await first.ready.wait()
    name = await machine.run("import time; time.sleep(60)", nodeName=second)
    pod = await machine.running(name)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    pid = int(pod["status"]["containerStatuses"][0]["containerID"].removeprefix("process://"))
    await eventually(lambda: not alive(pid))
    again = asyncio.create_task(machine.another_node("second", folder=tmp_path)[0].run())
    status = await machine.ended(name)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)

    assert (status["phase"], terminated(status)["exitCode"]) == ("Failed", 137)
    assert terminated(status)["reason"] == "ContainerStatusUnknown"


async def test_an_instant_node_ends_pods_without_a_process(machine, tmp_path, terminated):
    def verdict(pod):
        return Instant(json.dumps({"pod": pod["metadata"]["name"]}))

    node, instant = machine.another_node("instant", folder=tmp_path, instant=verdict)
    task = asyncio.create_task(node.run())
    await node.ready.wait()
    name = await machine.run("raise SystemExit('never run')", nodeName=instant)
    status = await machine.ended(name)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (status["phase"], terminated(status)["message"]) == ("Succeeded", json.dumps({"pod": name}))


async def test_a_simulated_pod_that_is_deleted_has_an_ended_container(machine, tmp_path, terminated):
    node, instant = machine.another_node("stopped", folder=tmp_path, instant=lambda pod: Instant(seconds=60))
    task = asyncio.create_task(node.run())
    await node.ready.wait()
    name = await machine.run(nodeName=instant, metadata=KEPT)
    await machine.running(name)
    await machine.client.delete(PODS, machine.home, name)
    status = await machine.ended(name)
    await machine.client.patch(PODS, machine.home, name, {"metadata": {"finalizers": None}})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (status["phase"], terminated(status)["exitCode"]) == ("Failed", 143)


def waiting_reason(pod):
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return statuses[0]["state"].get("waiting", {}).get("reason")


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def eventually(check):
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("did not happen in 10 s")
