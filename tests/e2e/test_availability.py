"""High availability under load: processes are killed and stopped while jobs run, and nothing is lost or repeated.

What is asserted are counts; the seconds are printed at the end of the session. A load is a stream of jobs of one start.
Parts are replaced by those of another version in test_chart.py.
"""

import contextlib
import json
import time
from collections import Counter

import pytest

IDLE_SECONDS = 10


@pytest.fixture
def load(apply, a_load):
    return a_load(apply, "load")


@contextlib.contextmanager
def loaded(load, jobs, kubectl, *, warm=3):
    """Have the load run around a block; then every job must have succeeded by one start and one pod."""
    with load.running(warm=warm):
        yield
    names = [f"agentjob/{name}" for name in load.names]
    finished = ("wait", *names, "--for=condition=Finished", "--timeout=300s")
    kubectl(*finished, namespace=jobs.namespace, seconds=310)
    pods = Counter(pod["metadata"]["labels"].get("agentjobs.dev/job") for pod in kubectl.list("pods", jobs.namespace))
    found = {one["metadata"]["name"]: one["status"] for one in kubectl.list("agentjobs", jobs.namespace)}
    counts = {name: (found[name]["phase"], found[name]["starts"], pods[name]) for name in load.names}
    assert counts == dict.fromkeys(load.names, ("Succeeded", 1, 1))
    newest = jobs.job_history(load.names[-1])
    assert [start["verdict"] for start in newest["starts"]] == ["Succeed"]


def decided(apply, a_job, jobs, name):
    """Make a job and wait until someone has decided about it."""
    apply(*a_job(name, {"starts": [[{"text": "Done."}]]}))
    jobs.until(name, lambda status: status.get("phase"), "decided about")


def pod_named(release, component, name):
    return next(pod for pod in release.pods(component) if pod["metadata"]["name"] == name)


def test_another_operator_takes_over_from_a_killed_leader(
    release, kubectl, node, jobs, load, apply, a_job, figure, wait_for
):
    with loaded(load, jobs, kubectl):
        leader = release.leader()
        node.kill(pod_named(release, "operator", leader), "operator")
        killed = time.monotonic()
        decided(apply, a_job, jobs, "after")
        figure(f"leader killed to next decision, under load: {time.monotonic() - killed:.1f} s (aim 17)")
    wait_for(lambda: all(ready(pod) for pod in release.pods("operator")), "both operators are ready again")


def test_a_stopped_leader_hands_over_its_lease(release, kubectl, jobs, load, apply, a_job, figure, wait_for):
    with loaded(load, jobs, kubectl):
        leader = release.leader()
        kubectl("delete", "pod", leader, "--wait=false", namespace=release.namespace)
        stopped = time.monotonic()
        decided(apply, a_job, jobs, "after")
        figure(f"leader asked to stop to next decision, under load: {time.monotonic() - stopped:.1f} s (aim 2)")
        assert release.leader() != leader
    wait_for(lambda: all(ready(pod) for pod in release.pods("operator")), "both operators are ready again")


def ready(pod):
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.mark.disturbs
def test_killing_one_of_three_gateways_fails_no_request(release, kubectl, node, jobs, load):
    deployment, place = f"deployment/{release.name}-gateway", {"namespace": release.namespace}
    kubectl("scale", deployment, "--replicas=3", **place)
    try:
        kubectl("rollout", "status", deployment, "--timeout=240s", **place, seconds=260)
        with loaded(load, jobs, kubectl, warm=4):
            node.kill(release.pods("gateway")[0], "gateway")
            time.sleep(3)
            node.kill(release.pods("gateway")[1], "gateway")
    finally:
        kubectl("scale", deployment, f"--replicas={release.values.get('gateway', {}).get('replicas', 2)}", **place)


@pytest.mark.disturbs
def test_stopping_proxies_complete_answers_in_progress(release, kubectl, provider, jobs, apply, a_job, wait_for):
    agent = {"model": "gemini-2.5-flash", "inline": {"instruction": "Be brief."}}
    apply(*a_job("asks", agent=agent, input={"message": "How are you? Take your time."}))

    def asked():
        return sum("How are you? Take your time." in one["body"] for one in provider.seen())

    wait_for(asked, "the provider is asked")
    leaving = [pod["metadata"]["name"] for pod in release.pods("model-proxy")]
    kubectl("delete", "pods", *leaving, "--wait=false", namespace=release.namespace)
    status = jobs.finished("asks")

    assert (status["phase"], status["starts"], asked()) == ("Succeeded", 1, 1)
    wait_for(lambda: all(ready(pod) for pod in release.pods("model-proxy")), "both proxies are ready again")


USE = """
import json, os, pathlib, sys, time
def look():
    found = {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            group = (process / "cgroup").read_text()
            for container in sys.argv[2:]:
                if container in group:
                    fields = (process / "stat").read_text().rpartition(")")[2].split()
                    memory, ticks = int(fields[21]) * 4096, int(fields[11]) + int(fields[12])
                    before = found.get(container, (0, 0))
                    found[container] = (before[0] + memory, before[1] + ticks)
        except OSError:
            continue
    return found
before, began = look(), time.monotonic()
time.sleep(float(sys.argv[1]))
after, took = look(), time.monotonic() - began
tick = os.sysconf("SC_CLK_TCK")
print(json.dumps({c: [after[c][0] / 2**20, (after[c][1] - before[c][1]) / tick / took * 1000] for c in after}))
"""


@pytest.mark.disturbs
def test_an_idle_installation_uses_few_resources(release, node, figure):
    containers = {}
    leader = release.leader()
    for part in ("operator", "gateway", "model-proxy"):
        for pod in release.pods(part):
            status = next(one for one in pod["status"]["containerStatuses"] if one["name"] == part)
            role = part if part != "operator" else "leader" if pod["metadata"]["name"] == leader else "standby"
            containers[status["containerID"].rpartition("/")[2]] = role
    used = json.loads(node.run(USE, str(IDLE_SECONDS), *containers))
    for container, (mebibytes, millicores) in used.items():
        figure(f"idle {containers[container]}: {mebibytes:.0f} MiB (aim 150), {millicores:.0f} m CPU")

    # Above the aim, because after a session's load an allocator keeps what it had; still within the chart's request.
    assert all(mebibytes < 300 for mebibytes, _ in used.values())
