"""The chart's own life on a cluster: upgraded from its first version, rolled back, removed, installed again.

An installation of its own, for one namespace, with a volume that outlives it. Runs before the session's installation is
made, because that one serves all namespaces. The tests are one story, in their order.
"""

import contextlib
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "agentjobs"
FIRST = "Install operator, gateway and PostgreSQL with Helm"
NAME = "chart"
FULLNAME = "chart-agentjobs"
SECONDS = 240
HELLO = {"starts": [[{"text": "Hello."}]]}
SLOW = {"starts": [[{"delay": "20s", "text": "I saw an upgrade."}]]}
ENDLESS = {"starts": [[{"delay": "10m", "text": "Nobody waited for this."}]]}
KEPT = ("postgresql", "gateway-authority", "gateway-tls")


@dataclass
class Life:
    """The release, and what a test wants to know of it."""

    kubectl: Any
    wait_for: Callable[..., Any]
    config: Any
    values: dict[str, Any]
    namespace: str
    jobs: str

    def upgrade(self) -> None:
        self.config.upgrade(CHART, NAME, self.values, wait="watcher", timeout=SECONDS)

    def secrets(self) -> list[Any]:
        return [(self.kubectl.get("secret", f"{FULLNAME}-{name}", self.namespace) or {}).get("data") for name in KEPT]

    def phase(self, job: str) -> str:
        found = self.kubectl.get("agentjob", job, self.jobs) or {}
        return str((found.get("status") or {}).get("phase"))

    def running(self, pod: str) -> None:
        def runs() -> bool:
            return ((self.kubectl.get("pod", pod, self.jobs) or {}).get("status") or {}).get("phase") == "Running"

        self.wait_for(runs, f"pod {pod} runs")

    def finish(self, job: str) -> str:
        self.kubectl("wait", f"agentjob/{job}", "--for=condition=Finished", "--timeout=120s", namespace=self.jobs)
        return self.phase(job)

    def sql(self, question: str) -> str:
        psql = ["psql", "-h", "/var/run/postgresql", "-U", "agentjobs", "-tAc", question]
        answer: str = self.kubectl("exec", f"{FULLNAME}-postgresql-0", "--", *psql, namespace=self.namespace)
        return answer.strip()


@pytest.fixture(scope="module")
def life(kubectl, wait_for, chart_values, tmp_path_factory) -> Iterator[Life]:
    helm = pytest.importorskip("helm_python", reason="Helm's engine is missing: pip install -e '.[test,helm]'")
    operators = kubectl.list("deployments", labels="app.kubernetes.io/component=operator")
    if any(one["spec"]["replicas"] for one in operators):
        pytest.skip("another installation is on this cluster and serves all namespaces")
    namespace, jobs = f"chart-{os.getpid()}", f"chart-{os.getpid()}-jobs"
    for name in (namespace, jobs):
        meta = {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": meta}))
    disk = {"enabled": True, "size": "1Gi", "storageClassName": namespace}
    values = {
        **chart_values,
        # The kinds are the cluster's: whoever tested here before may have left them.
        "crds": {"install": kubectl.get("customresourcedefinition", "agentjobs.agentjobs.dev") is None},
        "watchedNamespaces": [jobs],
        "postgresql": chart_values["postgresql"] | {"persistence": disk},
    }
    with volume(kubectl, namespace, values["image"]), helm.Config(namespace=namespace) as config:
        config.install(first_version(tmp_path_factory.mktemp("first")), NAME, values, wait="watcher", timeout=SECONDS)
        yield Life(kubectl, wait_for, config, values, namespace, jobs)
        with contextlib.suppress(helm.HelmError):  # the story removes it itself, when it gets that far
            config.uninstall(NAME, timeout=SECONDS)
        for name in (namespace, jobs):
            kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def first_version(folder: Path) -> Path:
    """The chart as it was when it came to the repository."""
    git = ["git", "-C", str(ROOT)]
    asked = [*git, "log", "--format=%H", "--fixed-strings", f"--grep={FIRST}", "--", "helm"]
    commits = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    if not commits:
        pytest.skip("this clone's history does not reach back to the first chart: `git fetch --unshallow`")
    archive = [*git, "archive", commits[-1], "helm/agentjobs"]
    with tarfile.open(fileobj=BytesIO(subprocess.run(archive, capture_output=True, check=True).stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "helm" / "agentjobs"


@contextlib.contextmanager
def volume(kubectl: Any, name: str, image: dict[str, Any]) -> Iterator[None]:
    """A folder of the node as a volume, made PostgreSQL's first: a hostPath is nobody's but root's."""
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
        kubectl("wait", f"pod/{name}", done, "--timeout=120s", namespace="default")
        yield
    finally:
        kubectl("delete", "pod", name, "--wait=false", namespace="default")
        kubectl("delete", "persistentvolume", name, "--wait=false")


def test_an_upgrade_from_the_first_version_keeps_a_running_job_and_all_secrets(life, apply_to, a_job):
    apply_to(life.jobs, *a_job("before", HELLO))
    assert life.finish("before") == "Succeeded"
    apply_to(life.jobs, *a_job("during", SLOW))
    life.running("during-1")
    secrets = life.secrets()

    life.upgrade()

    assert None not in secrets
    assert life.secrets() == secrets
    assert life.finish("during") == "Succeeded"
    assert life.sql("select count(*) from agentjobs.starts") == "2"


def test_a_rollback_runs_jobs_and_the_next_upgrade_too(life, apply_to, a_job):
    life.config.rollback(NAME, timeout=SECONDS, wait="watcher")
    apply_to(life.jobs, *a_job("rolled-back", HELLO))
    assert life.finish("rolled-back") == "Succeeded"

    life.upgrade()

    assert [entry["revision"] for entry in life.config.history(NAME)] == [1, 2, 3, 4]


def test_without_an_operator_nothing_holds_a_job_or_its_pod(life, apply_to, a_job):
    apply_to(life.jobs, *a_job("endless", ENDLESS))
    life.running("endless-1")

    life.config.uninstall(NAME, timeout=SECONDS)

    pod = life.kubectl.get("pod", "endless-1", life.jobs)
    left = life.kubectl.list("all", life.namespace, labels=f"app.kubernetes.io/instance={NAME}")
    assert pod["metadata"].get("finalizers") is None
    assert life.phase("endless") == "Running"
    assert [one["metadata"]["name"] for one in left if not one["metadata"].get("deletionTimestamp")] == []
    assert life.kubectl.list("leases", life.namespace) == []


def test_what_stays_is_the_trial_databases_volume_and_its_password(life):
    secrets = {one["metadata"]["name"] for one in life.kubectl.list("secrets", life.namespace)}
    claims = {one["metadata"]["name"] for one in life.kubectl.list("persistentvolumeclaims", life.namespace)}

    assert (secrets, claims) == ({f"{FULLNAME}-postgresql"}, {f"data-{FULLNAME}-postgresql-0"})


def test_installed_again_it_knows_its_password_and_its_history(life, apply_to, a_job):
    password = life.secrets()[0]

    life.config.install(CHART, NAME, life.values, wait="watcher", timeout=SECONDS)

    assert life.secrets()[0] == password
    assert life.sql("select count(*) from agentjobs.jobs where name = 'before'") == "1"
    apply_to(life.jobs, *a_job("again", HELLO))
    assert life.finish("again") == "Succeeded"


def test_a_namespace_with_a_running_job_goes_after_the_installation(life):
    assert life.phase("endless") in ("Running", "Retrying", "Queued")
    life.config.uninstall(NAME, timeout=SECONDS)

    life.kubectl("delete", "namespace", life.jobs, "--timeout=120s", seconds=130)
