"""The chart's own life on a cluster: upgraded from an earlier version, rolled back, removed, installed again.

An installation of its own, for one namespace, with a volume that outlives it. Runs before the session's installation is
made, because that one serves all namespaces. The tests are one story, in their order. The earlier version is chart and
images of the commit that the file `earlier` names.
"""

import contextlib
import json
import os
import subprocess
import tarfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentjobs.history import schema

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "agentjobs"
NAME = "chart"
FULLNAME = "chart-agentjobs"
SECONDS = 420
HELLO = {"starts": [[{"text": "Hello."}]]}
HELD = {"starts": [[{"toolCalls": [{"name": "wait", "args": {}}]}, {"text": "I saw another version."}]]}
GATE = """
import asyncio, pathlib

async def wait() -> str:
    while not pathlib.Path("/tmp/open").exists():
        await asyncio.sleep(0.2)
    return "open"
"""
FLAKY = {"starts": [[{"error": {"status": 503, "message": "Later."}}], [{"text": "Now."}]]}
ENDLESS = {"starts": [[{"delay": "10m", "text": "Nobody waited for this."}]]}
KEPT = ("postgresql", "gateway-authority", "gateway-tls")
IN_TURN = {"session": {"appName": "turns", "sessionId": "one"}}
LATER = {"retry": {"backoff": {"initial": "40s", "factor": 1, "jitterPercent": 0}}}


pytestmark = pytest.mark.timeout(1500)


@dataclass
class Life:
    """The release, and what a test wants to know of it."""

    kubectl: Any
    wait_for: Callable[..., Any]
    config: Any
    values: dict[str, Any]
    namespace: str
    jobs: str
    earlier: Path
    """The chart of the earlier version."""

    def upgrade(self) -> None:
        self.config.upgrade(CHART, NAME, self.values, wait="watcher", timeout=SECONDS)

    def secrets(self) -> list[Any]:
        return [(self.kubectl.get("secret", f"{FULLNAME}-{name}", self.namespace) or {}).get("data") for name in KEPT]

    def phase(self, job: str) -> str:
        found = self.kubectl.get("agentjob", job, self.jobs) or {}
        return str((found.get("status") or {}).get("phase"))

    def reaches(self, job: str, phase: str) -> None:
        self.wait_for(lambda: self.phase(job) == phase, f"{job} is {phase}")

    def running(self, pod: str) -> None:
        def runs() -> bool:
            return ((self.kubectl.get("pod", pod, self.jobs) or {}).get("status") or {}).get("phase") == "Running"

        self.wait_for(runs, f"pod {pod} runs")

    def open_gate(self, pod: str) -> None:
        self.kubectl("exec", pod, "-c", "runner", "--", "touch", "/tmp/open", namespace=self.jobs)

    def finish(self, job: str) -> str:
        self.wait_finished(job)
        return self.phase(job)

    def wait_finished(self, *jobs: str) -> None:
        names = [f"agentjob/{job}" for job in jobs]
        finished = ("wait", *names, "--for=condition=Finished", f"--timeout={SECONDS}s")
        self.kubectl(*finished, namespace=self.jobs, seconds=SECONDS + 10)

    def sql(self, question: str) -> str:
        psql = ["psql", "-h", "/var/run/postgresql", "-U", "agentjobs", "-tAc", question]
        answer: str = self.kubectl("exec", f"{FULLNAME}-postgresql-0", "--", *psql, namespace=self.namespace)
        return answer.strip()

    def migrated(self) -> str:
        return self.sql(f"select version_num from {schema.SCHEMA}.{schema.VERSION_TABLE}")

    def accounts(self) -> dict[str, tuple[str, int, int, int]]:
        """Of every job: phase, starts and answers by history, and its pods."""
        pods = Counter(
            pod["metadata"]["labels"].get("agentjobs.dev/job") for pod in self.kubectl.list("pods", self.jobs)
        )
        rows = (line.split("|") for line in self.sql(_ACCOUNTS).splitlines())
        return {name: (phase, int(starts), int(answers), pods[name]) for name, phase, starts, answers in rows}

    def ended_once(self, *names: str, starts: int = 1, at_most: int = 0) -> None:
        """Wait until history knows the end of all; then each has had its starts, one pod for each, and one answer."""
        self.wait_finished(*names)
        self.wait_for(lambda: self.sql(_OPEN.format(",".join(names))) == "0", "history knows every end")
        allowed = [("Succeeded", count, 1, count) for count in range(starts, max(starts, at_most) + 1)]
        assert {
            name: account for name, account in self.accounts().items() if name in names and account not in allowed
        } == {}
        assert set(names) <= self.accounts().keys()


_ACCOUNTS = """
select name, phase, (select count(*) from agentjobs.starts s where s.uid = j.uid),
  (select count(*) from agentjobs.results r where r.uid = j.uid) from agentjobs.jobs j
"""
_OPEN = """
select count(*) from agentjobs.jobs j where name = any('{{{}}}') and (finished_at is null
  or exists (select from agentjobs.starts s where s.uid = j.uid and s.ended_at is null))
"""


class Beside:
    """Notes, while it runs, which images the ready pods of each part have at the same time.

    It watches: what is seen by asking now and then may miss the moment.
    """

    def __init__(self, life: Life) -> None:
        labels = f"app.kubernetes.io/instance={NAME}"
        line = "{.metadata.name} {.metadata.labels.app\\.kubernetes\\.io/component} {.spec.containers[0].image}"
        line += " {.status.containerStatuses[*].ready}{'\\n'}"
        self._command = [
            "kubectl",
            "-n",
            life.namespace,
            "get",
            "pods",
            "-l",
            labels,
            "--watch",
            "-o",
            f"jsonpath={line}",
        ]
        self.seen: dict[str, set[frozenset[str]]] = defaultdict(set)

    def _read(self, lines: Iterable[str]) -> None:
        ready: dict[str, dict[str, str]] = defaultdict(dict)
        for line in lines:
            name, part, image, *containers = line.split()
            ready[part].pop(name, None)
            if containers and set(containers) == {"true"}:
                ready[part][name] = image.rpartition(":")[2]
            self.seen[part].add(frozenset(ready[part].values()))

    def __enter__(self) -> "Beside":
        self._watch = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, args=(self._watch.stdout,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.kill()
        self._watch.wait()
        self._thread.join(30)
        self._watch.stdout.close()


@pytest.fixture(scope="module")
def life(kubectl, wait_for, chart_values, adopt, tmp_path_factory) -> Iterator[Life]:
    helm = pytest.importorskip("helm_python", reason="Helm's engine is missing: pip install -e '.[test,helm]'")
    earlier = earlier_chart(tmp_path_factory.mktemp("earlier"))
    operators = kubectl.list("deployments", labels="app.kubernetes.io/component=operator")
    if any(one["spec"]["replicas"] for one in operators):
        pytest.skip("another installation is on this cluster and serves all namespaces")
    namespace, jobs = f"chart-{os.getpid()}", f"chart-{os.getpid()}-jobs"
    for name in (namespace, jobs):
        meta = {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}))
    disk = {"enabled": True, "size": "1Gi", "storageClassName": namespace}
    # The tests observe how gateways and operators are replaced; of these two, one pod is enough.
    single = {part: chart_values[part] | {"replicas": 1} for part in ("modelProxy", "notifier")}
    values = {
        **chart_values,
        **single,
        "watchedNamespaces": [jobs],
        "postgresql": chart_values["postgresql"] | {"persistence": disk},
    }
    # Whoever tested here before may have left newer ones, and kinds that the earlier version does not have.
    for chart in (CHART, earlier):
        adopt(chart, NAME, namespace)
    with volume(kubectl, namespace, values["image"]), helm.Config(namespace=namespace) as config:
        config.install(earlier, NAME, earlier_values(values, earlier), wait="watcher", timeout=SECONDS)
        yield Life(kubectl, wait_for, config, values, namespace, jobs, earlier)
        with contextlib.suppress(helm.HelmError):  # the story removes it itself, when it gets that far
            config.uninstall(NAME, timeout=SECONDS)
        for name in (namespace, jobs):
            kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def earlier_values(values: dict[str, Any], earlier: Path) -> dict[str, Any]:
    """The values without what the earlier chart does not know, and with the earlier version's images."""
    known = yaml.safe_load((earlier / "values.yaml").read_text())
    tag = f"{values['image']['tag']}-earlier"
    runner = values["runner"]["image"]
    repository = runner["repository"].rpartition("/")[0] + "/agentjobs-runner"
    return {name: value for name, value in values.items() if name in known} | {
        "image": values["image"] | {"tag": tag},
        "runner": values["runner"] | {"image": runner | {"repository": repository, "tag": tag}},
    }


def earlier_chart(folder: Path) -> Path:
    """The chart of the commit that the file `earlier` names; tests/e2e/images.sh makes its images."""
    lines = Path(__file__).with_name("earlier").read_text().splitlines()
    (commit,) = (line for line in lines if not line.startswith("#"))
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True).returncode:
        pytest.skip(
            f"the history of this checkout lacks commit {commit} to upgrade from: git fetch --unshallow brings it"
        )
    archive = [*git, "archive", commit, "helm/agentjobs"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(archive, capture_output=True, check=True).stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "helm" / "agentjobs"


def fields(crd: dict[str, Any]) -> set[str]:
    """What the spec of a kind may hold."""
    (version,) = crd["spec"]["versions"]
    return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


def served(life: Life) -> set[str]:
    return fields(life.kubectl.get("customresourcedefinition", "agentjobs.agentjobs.dev"))


def charted(chart: Path) -> set[str]:
    return fields(yaml.safe_load((chart / "files" / "crds" / "agentjobs.yaml").read_text()))


@contextlib.contextmanager
def volume(kubectl: Any, name: str, image: dict[str, Any]) -> Iterator[None]:
    """A folder of the node as a volume, made PostgreSQL's first: a hostPath belongs to root."""
    host = {"path": f"/tmp/agentjobs-{name}", "type": "DirectoryOrCreate"}
    disk = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": host,
    }
    container = {
        "name": "chown",
        "image": f"{image['repository']}:{image['tag']}",
        "imagePullPolicy": image["pullPolicy"],
        "command": ["python", "-c", "import os; os.chown('/data', 999, 999)"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    maker = {"restartPolicy": "Never", "volumes": [{"name": "data", "hostPath": host}], "containers": [container]}
    for kind, spec in (("PersistentVolume", disk), ("Pod", maker)):
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        kubectl("create", "-f", "-", stdin=json.dumps(body), namespace="default")
    try:
        done = "--for=jsonpath={.status.phase}=Succeeded"
        kubectl("wait", f"pod/{name}", done, "--timeout=240s", namespace="default")
        yield
    finally:
        kubectl("delete", "pod", name, "--wait=false", namespace="default")
        kubectl("delete", "persistentvolume", name, "--wait=false")


def test_an_upgrade_from_an_earlier_version_loses_and_repeats_nothing(life, apply_to, a_job, a_load):
    """Chart and images change under a job that runs, one that waits for it, one that waits to try again, and a load."""
    load = a_load(lambda *objects: apply_to(life.jobs, *objects), "upgraded")
    apply_to(life.jobs, *a_job("before", HELLO))
    assert life.finish("before") == "Succeeded"
    apply_to(life.jobs, *held(a_job, "here-still", **IN_TURN))
    life.running("here-still-1")
    apply_to(life.jobs, *a_job("in-turn", HELLO, **IN_TURN), *a_job("retried", FLAKY, **LATER), yearly(a_job))
    life.reaches("in-turn", "Queued")
    life.reaches("retried", "Retrying")
    secrets, migrated, kinds = life.secrets(), life.migrated(), served(life)

    with load.running(), Beside(life) as beside:
        life.upgrade()

    life.ended_once("before", *load.names)
    queued_behind_one(life, apply_to, a_job, "one-too-many")
    life.open_gate("here-still-1")
    assert max(map(len, beside.seen["gateway"])) == max(map(len, beside.seen["operator"])) == 2
    assert (kinds, served(life)) == (charted(life.earlier), charted(CHART))
    assert migrated < life.migrated() == schema.HEAD
    assert None not in secrets
    # The certificate is a new one of the same authority when this version has more names to be reached by.
    assert life.secrets()[:2] == secrets[:2]
    life.ended_once("here-still", "in-turn", "one-too-many")
    life.ended_once("retried", starts=2)
    life.kubectl("delete", "agentqueue", "agents", namespace=life.jobs)


def queued_behind_one(life, apply_to, a_job, name):
    """A limit that only this version knows counts the one job that the earlier version started."""
    meta = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": "agents"}}
    apply_to(life.jobs, {**meta, "spec": {"concurrency": {"max": 1}}})

    def counted():
        status = life.kubectl.get("agentqueue", "agents", life.jobs).get("status") or {}
        return (status.get("max"), status.get("running")) == (1, 1)

    life.wait_for(counted, "the queue counts what runs")
    apply_to(life.jobs, *a_job(name, HELLO))
    life.reaches(name, "Queued")


def held(a_job, name, **spec):
    """A job that runs until the gate of its pod is opened, by a tool of its own."""
    inline = {"instruction": "Wait.", "tools": [{"name": "gate:wait"}]}
    volume = {
        "volumes": [{"name": "gate", "configMap": {"name": "gate"}}],
        "volumeMounts": [{"name": "gate", "mountPath": "/app"}],
    }
    agent = {"model": f"scripted/{name}/script", "inline": inline}
    gate = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gate"}, "data": {"gate.py": GATE}}
    return [gate, *a_job(name, HELD, agent=agent, runtime=volume, **spec)]


def yearly(a_job):
    """A schedule whose jobs are done immediately."""
    job = a_job("yearly", None, agent={"model": "scripted/before/script", "inline": {"instruction": "Be brief."}})[-1]
    spec = {"schedule": "@yearly", "jobTemplate": {"spec": job["spec"]}}
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentSchedule", "metadata": job["metadata"], "spec": spec}


def test_a_trigger_of_a_schedule_of_the_earlier_version_creates_one_job(life):
    life.kubectl("annotate", "agentschedule", "yearly", "agentjobs.dev/trigger=now", namespace=life.jobs)
    triggered = life.wait_for(lambda: [name for name in made(life) if name.startswith("yearly")], "the schedule's job")

    life.ended_once(*triggered)
    assert len(triggered) == 1


def made(life):
    return [job["metadata"]["name"] for job in life.kubectl.list("agentjobs", life.jobs)]


def test_a_rollback_on_the_newer_schema_loses_and_repeats_nothing(life, apply_to, a_job, a_load):
    load = a_load(lambda *objects: apply_to(life.jobs, *objects), "rolled-back")
    apply_to(life.jobs, *held(a_job, "here-to-stay"))
    life.running("here-to-stay-1")
    ended = {name: account for name, account in life.accounts().items() if name != "here-to-stay"}

    with load.running():
        life.config.rollback(NAME, timeout=SECONDS, wait="watcher")

    apply_to(life.jobs, *a_job("afterwards", HELLO))
    assert (served(life), life.migrated()) == (charted(life.earlier), schema.HEAD)
    life.ended_once("afterwards")
    assert ended.items() <= life.accounts().items()


def test_an_upgrade_after_the_rollback_continues_the_jobs(life, apply_to, a_job):
    # The earlier version can neither read what a later one accepted nor store a step. What was accepted waits, and a
    # start that has a step to record leaves without it; a running tool is not disturbed.
    load = [name for name in made(life) if name.startswith("rolled-back")]
    life.upgrade()
    life.open_gate("here-to-stay-1")

    assert [entry["revision"] for entry in life.config.history(NAME)] == [1, 2, 3, 4]
    assert served(life) == charted(CHART)
    apply_to(life.jobs, *a_job("upgraded-again", HELLO))
    life.ended_once("upgraded-again", "here-to-stay")
    life.ended_once(*load, at_most=2)


def test_jobs_and_pods_can_be_deleted_after_the_operator_is_uninstalled(life, apply_to, a_job):
    apply_to(life.jobs, *a_job("endless", ENDLESS, runtime={"terminationGracePeriodSeconds": 5}))
    life.running("endless-1")

    life.config.uninstall(NAME, timeout=SECONDS)

    pod = life.kubectl.get("pod", "endless-1", life.jobs)
    left = life.kubectl.list("all", life.namespace, labels=f"app.kubernetes.io/instance={NAME}")
    assert pod["metadata"].get("finalizers") is None
    assert life.phase("endless") == "Running"
    assert [one["metadata"]["name"] for one in left if not one["metadata"].get("deletionTimestamp")] == []
    assert life.kubectl.list("leases", life.namespace) == []


def test_uninstalling_keeps_only_the_trial_databases_volume_and_password(life):
    secrets = {one["metadata"]["name"] for one in life.kubectl.list("secrets", life.namespace)}
    claims = {one["metadata"]["name"] for one in life.kubectl.list("persistentvolumeclaims", life.namespace)}

    assert (secrets, claims) == ({f"{FULLNAME}-postgresql"}, {f"data-{FULLNAME}-postgresql-0"})


def test_a_reinstallation_has_the_earlier_password_and_history(life, apply_to, a_job):
    password = life.secrets()[0]

    life.config.install(CHART, NAME, life.values, wait="watcher", timeout=SECONDS)

    assert life.secrets()[0] == password
    assert life.sql("select count(*) from agentjobs.jobs where name = 'before'") == "1"
    apply_to(life.jobs, *a_job("again", HELLO))
    assert life.finish("again") == "Succeeded"


def test_a_namespace_with_a_running_job_can_be_deleted_after_the_installation(life):
    assert life.phase("endless") in ("Running", "Retrying", "Queued")
    life.config.uninstall(NAME, timeout=SECONDS)

    life.kubectl("delete", "namespace", life.jobs, "--timeout=240s", seconds=250)
