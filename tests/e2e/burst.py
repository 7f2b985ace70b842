"""Jobs a second on one node with real containers, compared with batch/v1 Jobs: `make bench-cluster`. Asserts nothing.

Not collected by `make e2e`. A burst of each kind runs alone, in turns, all of the same image and under the same limits:

- AgentJobs whose model answers immediately,
- batch/v1 Jobs that run a bare ADK script with a model that answers immediately: the same imports, and nothing a job
needs,
- batch/v1 Jobs that start Python and end: what containers cost by themselves.

Seconds run from the first POST until the last is finished, as one poll every half second sees it. CPU is that of all
pods of the node, our own parts with them, by the kubelet's cgroup: it counts on a shared machine, too. One job at a
time shows how soon after its POST a container is seen running.
"""

import itertools
import os
import re
import statistics
import subprocess
import threading
import time

import pytest
from tests.bench.startup import BARE

COUNT = int(os.environ.get("AGENTJOBS_BURST_COUNT", "40"))
ROUNDS = int(os.environ.get("AGENTJOBS_BURST_ROUNDS", "2"))
SECONDS = 600.0
STARTS = 5
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# The kubelet's view of all pods: cgroup v2, else v1 (in nanoseconds).
CPU = """
import pathlib
kubelet = next(p for p in pathlib.Path("/proc").glob("[0-9]*") if (p / "comm").read_text().strip() == "kubelet")
groups = kubelet / "root/sys/fs/cgroup"
v2 = next(groups.glob("kubepods*/cpu.stat"), None)
if v2:
    print(int(v2.read_text().split()[1]) / 1e6)
else:
    print(int(next(groups.glob("cpuacct/kubepods*/cpuacct.usage")).read_text()) / 1e9)
"""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="session")
def chart_values(chart_values):
    return {**chart_values, "queues": {"agents": COUNT}}


@pytest.fixture
def make(a_job, chart_values):
    """One object of a kind, by its name."""
    image, limits = chart_values["runner"]["image"], chart_values["runner"]["resources"]

    def batch(name, program):
        container = {
            "name": "one",
            "image": f"{image['repository']}:{image['tag']}",
            "imagePullPolicy": image["pullPolicy"],
            "command": ["python", "-c", program],
            "resources": limits,
            "securityContext": RESTRICTED,
        }
        pod = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"template": {"spec": pod}},
        }

    return {
        "AgentJobs": lambda name: a_job(name, None, agent=AGENT)[-1],
        "Jobs, a bare ADK script": lambda name: batch(name, BARE),
        "Jobs, Python alone": lambda name: batch(name, "pass"),
    }


AGENT = {"model": "scripted/answers/script", "inline": {"instruction": "Be brief."}}


def test_jobs_a_second_with_real_containers(kubectl, node, namespace, apply, a_job, make, wait_for, figure):
    apply(a_job("answers", {"starts": [[{"text": "Done."}]]})[0])
    taken = {kind: [] for kind in make}
    for number in range(ROUNDS):
        for kind, build in make.items():
            prefix = f"{kind[:1].lower()}-{number}-{list(make).index(kind)}"
            names = [f"{prefix}-{one}" for one in range(COUNT)]
            objects = {"apiVersion": "v1", "kind": "List", "items": [build(name) for name in names]}
            cpu, began = float(node.run(CPU)), time.monotonic()
            apply(objects)
            which = "agentjobs" if kind == "AgentJobs" else "jobs"
            wait_for(lambda which=which: ended(kubectl, namespace, which) == COUNT, f"{kind} end", seconds=SECONDS)
            seconds = time.monotonic() - began
            taken[kind].append((COUNT / seconds, (float(node.run(CPU)) - cpu) / COUNT))
            kubectl("delete", which, "--all", "--wait=true", namespace=namespace)
            wait_for(lambda: not kubectl.list("pods", namespace), "their pods are gone", seconds=SECONDS)
    rate = {kind: statistics.median(one[0] for one in runs) for kind, runs in taken.items()}
    for kind, runs in taken.items():
        cpu = statistics.median(one[1] for one in runs)
        each = ", ".join(f"{one[0]:.2f}" for one in runs)
        ratio = rate["AgentJobs"] / rate[kind]
        figure(f"{COUNT} {kind} at once: {rate[kind]:.2f}/s ({each}), {cpu:.2f} s CPU of pods each; ours {ratio:.2f}x")


def ended(kubectl, namespace, which):
    """How many have succeeded; none may fail, for its time would count for nothing."""
    states = '{range .items[*]}{.status.conditions[?(@.status=="True")].type}{"\\n"}{end}'
    lines = kubectl("get", which, "-o", f"jsonpath={states}", namespace=namespace).splitlines()
    assert not [line for line in lines if "Failed" in line.split()]
    return sum("Complete" in line.split() for line in lines)


class Starts:
    """Notes when containers of a namespace's pods are first seen running."""

    def __init__(self, namespace):
        path = "{.metadata.name} {.status.containerStatuses[0].state.running.startedAt}"
        path += "{.status.containerStatuses[0].state.terminated.startedAt}{'\\n'}"
        command = ["kubectl", "-n", namespace, "get", "pods", "--watch", "-o", f"jsonpath={path}"]
        self._watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.seen = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._watch.stdout:
            name, _, started = line.strip().partition(" ")
            if started:
                self.seen.setdefault(re.sub(r"-\w+$", "", name), time.monotonic())

    def close(self):
        self._watch.kill()
        self._watch.wait()
        self._thread.join(10)
        self._watch.stdout.close()


def test_a_container_starts_about_as_fast_as_one_of_a_batch_job(
    kubectl, jobs, namespace, apply, a_job, make, wait_for, figure
):
    apply(a_job("answers", {"starts": [[{"text": "Done."}]]})[0])
    seconds = {"AgentJobs": [], "Jobs, Python alone": []}
    starts = Starts(namespace)
    try:
        for number, kind in itertools.product(range(STARTS), seconds):
            name = f"{kind[:1].lower()}-{number}"
            apply(make[kind](name))
            created = time.monotonic()
            wait_for(lambda name=name: name in starts.seen, f"a container of {name} starts")
            seconds[kind].append(starts.seen[name] - created)
            time.sleep(3)  # until the runner has ended, too
    finally:
        starts.close()
    ours, theirs = (statistics.median(each) for each in seconds.values())
    figure(f"created to container seen running, median of {STARTS}: {ours:.2f} s; a batch/v1 Job: {theirs:.2f} s")

    assert [jobs.finished(f"a-{number}")["starts"] for number in range(STARTS)] == [1] * STARTS
