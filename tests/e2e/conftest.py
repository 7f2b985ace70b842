"""A real cluster, the one KUBECONFIG names, with AgentJobs installed in it by Helm once a session.

Tests are blocking and speak kubectl, as users do. Fixtures: `kubectl`, `provider` (a fake, of models), `outside` (who
calls and is told), `release` (the installation), `namespace` (one a test, Pod Security level Restricted), `apply`,
`jobs` (read, wait, history), `wait_for`. What failed is explained: the namespace's objects and events and the ends of
our parts' logs are printed below the failure. At the end no call of ours may have been denied.

With `-n 2 --dist loadgroup` one worker installs for both. Tests that kill a part, drain the node or fill it take turns
in one worker (`DISTURBING`), the others run next to them. A test marked `disturbs` has the installation to itself. The
chart's own tests need a pytest of their own then.
"""

import base64
import contextlib
import fcntl
import functools
import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from . import coding
from .gitserver import GitServer
from .outside import Outside

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "agentjobs"
REPOSITORY = os.environ.get("AGENTJOBS_E2E_REPOSITORY", "localhost")
TAG = os.environ.get("AGENTJOBS_E2E_TAG", "dev")
PULL_POLICY = os.environ.get("AGENTJOBS_E2E_PULL_POLICY", "Never")
RELEASE = "agentjobs"
DEPLOYMENTS = ("dashboard", "gateway", "model-proxy", "notifier", "operator")
RELEASE_NAMESPACE = os.environ.get("AGENTJOBS_E2E_NAMESPACE", "agentjobs-e2e")
STORAGE_CLASS = "agentjobs-e2e"
KEEP = "AGENTJOBS_E2E_KEEP"
"""Set it to leave the installation for the next session, which then upgrades it."""

INSTALL_SECONDS = 240
SECONDS = 240.0
"""Waits end when what they wait for is there; only a failure on a busy machine takes as long as this."""
POLL_SECONDS = 0.5
"""Each look starts a kubectl, which takes 0.1 s of the processors that pods start on."""
DISTURBING = ("test_availability.py", "test_diagnosis.py", "test_faults.py", "test_queues.py")
_DENIED = re.compile(r'is forbidden: User \\?"system:serviceaccount:')
_FAILED = pytest.StashKey[bool]()
_FIGURES = pytest.StashKey[list[str]]()
_numbers = itertools.count(1)

Object = dict[str, Any]


class Workers:
    """The processes that run a session's tests: the first one installs for all, and their tests take turns."""

    def __init__(self) -> None:
        session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(8)
        self.folder = Path(tempfile.gettempdir()) / f"agentjobs-e2e-{session}"
        self._ready = self.folder / "ready"
        try:
            self.folder.mkdir()
            self.first = True
        except FileExistsError:
            self.first = False
        self._members, self._turn = contextlib.ExitStack(), contextlib.ExitStack()
        if not self.first:
            self._members.enter_context(self._locked("members", fcntl.LOCK_SH))

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        with (self.folder / name).open("w") as file:
            fcntl.flock(file, how)
            yield

    @contextlib.contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Run a test next to those of other workers, or alone; not before the first worker has installed."""
        if not self.first:
            until(self._ready.exists, "another worker has installed", seconds=2 * INSTALL_SECONDS)
        with self._turn:
            # A test that waits here to be alone is the next one.
            with self._locked("door", fcntl.LOCK_EX):
                self._turn.enter_context(self._locked("tests", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
            yield

    def installed(self) -> None:
        """Let the others begin."""
        self._ready.touch()

    def end(self) -> None:
        """Leave; the first one waits until all others have, and may then remove what they shared."""
        self._turn.close()
        self._members.close()
        if self.first:
            self.installed()  # who still waits for it fails now
            with self._locked("members", fcntl.LOCK_EX):
                pass


workers = functools.cache(Workers)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []
    config.addinivalue_line("markers", "disturbs: no test of another worker runs at the same time")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The chart's own tests install for themselves, which must not meet the session's installation of all namespaces.
    items.sort(key=lambda item: item.path.name != "test_chart.py")
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        item.add_marker(pytest.mark.xdist_group("disturbing" if item.path.name in DISTURBING else item.path.stem))
        if not item.get_closest_marker("timeout"):
            # Above what waiting for a busy cluster takes; each wait has a limit and words of its own. Not for fixtures:
            # at the end, one worker waits for the others before it removes the installation.
            item.add_marker(pytest.mark.timeout(900, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if item.path.parent != Path(__file__).parent:
        return (yield)
    with workers().turn(alone=item.get_closest_marker("disturbs") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when in ("setup", "call") and report.failed:
        item.stash[_FAILED] = True
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash[_FIGURES]
    if workers.cache_info().currsize:
        workers().end()
        if workers().first:
            shutil.rmtree(workers().folder)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Absent where a worker has died.
    node.config.stash[_FIGURES] += getattr(node, "workeroutput", {}).get("figures", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for figure in config.stash[_FIGURES]:
        terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Have a sentence with a measured figure printed at the end."""
    return pytestconfig.stash[_FIGURES].append


class CommandFailed(Exception):
    """A command ended with another status than 0."""

    def __init__(self, arguments: tuple[str, ...], done: "subprocess.CompletedProcess[str]") -> None:
        super().__init__(f"{' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr


def run(*command: str, stdin: str | None = None, seconds: float = SECONDS, **environ: str) -> str:
    """Run a program and return what it printed; raises `CommandFailed`."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=seconds, env={**os.environ, **environ}
    )
    if done.returncode:
        raise CommandFailed(command, done)
    return done.stdout


class Kubectl:
    """Run it: `kubectl("get", "pods", namespace="x")` returns what it printed; it raises `CommandFailed`."""

    def __call__(
        self, *arguments: str, namespace: str | None = None, stdin: str | None = None, seconds: float = SECONDS
    ) -> str:
        where = ["-n", namespace] if namespace else []
        return run("kubectl", *where, *arguments, stdin=stdin, seconds=seconds)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, None when there is none."""
        found = self("get", kind, name, "-o", "json", "--ignore-not-found", namespace=namespace)
        return json.loads(found) if found.strip() else None

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "", fields: str = "") -> list[Object]:
        """Return the objects of a kind, in one namespace or in all."""
        where = [] if namespace else ["-A"]
        selectors = [f"--selector={labels}"] * bool(labels) + [f"--field-selector={fields}"] * bool(fields)
        return json.loads(self("get", kind, *where, *selectors, "-o", "json", namespace=namespace))["items"]

    def may(self, verb: str, kind: str, *account: str, namespace: str) -> bool:
        """Whether someone, `--as=…`, has a right."""
        try:
            return self("auth", "can-i", verb, kind, *account, namespace=namespace).strip() == "yes"
        except CommandFailed as error:
            if error.stdout.strip() != "no":
                raise
            return False

    def patch(self, kind: str, name: str, change: Object, namespace: str | None = None, *more: str) -> None:
        """Apply a merge patch."""
        self("patch", kind, name, "--type=merge", "-p", json.dumps(change), *more, namespace=namespace)


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    if not os.environ.get("KUBECONFIG"):
        pytest.exit("the end-to-end tests install into a cluster: name it by KUBECONFIG", returncode=4)
    return Kubectl()


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    return until


def until(check: Callable[[], Any], what: str, *, seconds: float = SECONDS) -> Any:
    """Call `check` until it returns something true, and return that; what it last said is the failure's message."""
    said: object = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            said = check()
            if said:
                return said
        except CommandFailed as error:
            said = error
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"{what}: not within {seconds:.0f} s; last: {said}")


@dataclass
class Release:
    """AgentJobs as Helm installed it."""

    kubectl: Kubectl
    name: str = RELEASE
    namespace: str = RELEASE_NAMESPACE
    values: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    """From `helm install` to all parts ready."""
    token: str = ""
    """Of an administrator, for the gateway."""
    folder: Path = Path()
    """Where the parts' logs are collected."""

    def pods(self, component: str) -> list[Object]:
        """Pods of a part, such as `operator`, that are not being deleted."""
        labels = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        found = self.kubectl.list("pods", self.namespace, labels=labels)
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def holder(self) -> str:
        """Identity of the operator that leads, empty for none."""
        lease = self.kubectl.get("lease", f"{self.name}-operator", self.namespace)
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    def leader(self) -> str:
        """Name of the operator's pod that leads."""
        holder = self.holder()
        return next((name for pod in self.pods("operator") if holder.startswith(name := pod["metadata"]["name"])), "")

    def ready(self) -> None:
        """Wait until every part is ready."""
        for part in ("statefulset/{}-postgresql", *(f"deployment/{{}}-{one}" for one in DEPLOYMENTS)):
            self.kubectl(
                "rollout",
                "status",
                part.format(self.name),
                f"--timeout={INSTALL_SECONDS}s",
                namespace=self.namespace,
                seconds=INSTALL_SECONDS + 20,
            )
        until(self.leader, "an operator that leads")

    @contextlib.contextmanager
    def gateway(self) -> Iterator[dict[str, str]]:
        """Forward a local port to a gateway; gives what `agentjobs` needs in its environment to use it."""
        with self.forwarded("gateway") as url:
            yield {
                "AGENTJOBS_GATEWAY_URL": url,
                "AGENTJOBS_GATEWAY_CA": str(self.authority()),
                "AGENTJOBS_TOKEN": self.token,
            }

    @contextlib.contextmanager
    def forwarded(self, part: str) -> Iterator[str]:
        """Forward a local port to a part that serves TLS; gives its address."""
        command = ["kubectl", "-n", self.namespace, "port-forward", f"service/{self.name}-{part}", ":443"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as forward:
            try:
                line = forward.stdout.readline()
                found = re.search(r":(\d+) ->", line)
                if not found:  # as while all gateways start again
                    forward.kill()
                    said = forward.stderr.read()
                    done = subprocess.CompletedProcess(command, forward.wait() or 1, line, said)
                    raise CommandFailed(tuple(command), done)
                yield f"https://localhost:{found[1]}"
            finally:
                forward.kill()

    def authority(self) -> Path:
        """Return the file of the certificate that vouches for what the parts serve."""
        path = self.folder / "gateway-ca.crt"
        if not path.exists():
            found = self.kubectl.get("configmap", f"{self.name}-gateway-ca", self.namespace)
            path.write_text(found["data"]["ca.crt"])
        return path

    def agentjobs(self, *arguments: str) -> str:
        """Run our command line against the cluster and its gateway; returns what it printed."""
        with self.gateway() as environ:
            return run("agentjobs", *arguments, **environ)

    def plugin(self, *arguments: str) -> str:
        """Do the same as `kubectl agentjobs …`."""
        with self.gateway() as environ:
            return run("kubectl", "agentjobs", *arguments, **environ)


class NodeHand:
    """A privileged pod that sees the node's processes: what happens to a node, done from within the cluster."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace

    def start(self) -> None:
        container = {
            "name": "hand",
            "image": f"{REPOSITORY}/agentjobs-operator:{TAG}",
            "imagePullPolicy": PULL_POLICY,
            "command": ["sleep", "infinity"],
            "securityContext": {"privileged": True, "runAsUser": 0},
        }
        spec = {
            "hostPID": True,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hand"}, "spec": spec}
        self._kubectl("create", "-f", "-", namespace=self._namespace, stdin=json.dumps(body))
        self._kubectl(
            "wait", "pod/hand", "--for=condition=Ready", f"--timeout={SECONDS:.0f}s", namespace=self._namespace
        )

    def run(self, program: str, *arguments: str) -> str:
        """Run a Python program as root, with the processes of the whole node in /proc."""
        return self._kubectl("exec", "hand", "--", "python", "-c", program, *arguments, namespace=self._namespace)

    def kill(self, pod: Object, container: str, number: str = "KILL") -> None:
        """Send a signal to all processes of a pod's container."""
        states = pod["status"]["containerStatuses"]
        container_id = next(one["containerID"] for one in states if one["name"] == container).rpartition("/")[2]
        killed = self.run(_KILL, container_id, number)
        assert killed.strip(), f"no process of container {container_id} was found"

    def freeze_agent(self, seconds: float) -> None:
        """Stop the kubelet for a while; comes back immediately. Nothing can be asked of the node meanwhile."""
        assert self.run(_FREEZE, str(seconds)).strip(), "no kubelet was found"


_KILL = """
import os, pathlib, signal, sys
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        mine = sys.argv[1] in (process / "cgroup").read_text()
    except OSError:
        continue
    if mine:
        try:
            os.kill(int(process.name), getattr(signal, "SIG" + sys.argv[2]))
        except ProcessLookupError:  # gone with its parent, killed just now
            continue
        print(process.name)
"""
_FREEZE = """
import os, pathlib, signal, sys, time
found = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if (p / "comm").read_text().strip() == "kubelet"]
print(*found, flush=True)
if not os.fork():
    os.setsid()
    for number in range(3):
        os.close(number)
    time.sleep(1)  # the answer goes through the kubelet
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(float(sys.argv[1]))
    for pid in found:
        os.kill(pid, signal.SIGCONT)
"""


@pytest.fixture(scope="session")
def node(kubectl: Kubectl, release: Release) -> Iterator[NodeHand]:
    """What a saboteur with root on the node can do."""
    with a_namespace(kubectl, "node", **{"pod-security.kubernetes.io/enforce": "privileged"}) as namespace:
        hand = NodeHand(kubectl, namespace)
        hand.start()
        yield hand


class LogKeeper(threading.Thread):
    """Follows the logs of all our parts' containers, of pods that come later too, into files."""

    def __init__(self, release: Release) -> None:
        super().__init__(daemon=True)
        self._release = release
        self._ended = threading.Event()
        self._followed: dict[tuple[str, str, int], subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        while not self._ended.wait(1.0):
            with contextlib.suppress(CommandFailed, subprocess.TimeoutExpired):
                self._look()

    def _look(self) -> None:
        release = self._release
        for pod in release.kubectl.list("pods", release.namespace, labels=f"app.kubernetes.io/instance={release.name}"):
            for status in (pod.get("status") or {}).get("containerStatuses") or []:
                name, container = pod["metadata"]["name"], status["name"]
                key = (name, container, status["restartCount"])
                if key in self._followed or "running" not in status["state"]:
                    continue
                command = ["kubectl", "-n", release.namespace, "logs", "-f", name, "-c", container]
                with (release.folder / f"{name}.{container}.{key[2]}.log").open("wb") as file:
                    self._followed[key] = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        self._ended.set()
        self.join(10)
        for follower in self._followed.values():
            follower.kill()
            follower.wait()


def denied(folder: Path) -> list[str]:
    """Lines of our parts' logs in which the API server refused them something."""
    found = []
    for file in sorted(folder.glob("*.log")):
        found += [
            f"{file.name}: {line}" for line in file.read_text(errors="replace").splitlines() if _DENIED.search(line)
        ]
    return found


@dataclass
class Provider:
    """Providers of models within the cluster, in one pod, in a namespace of its own.

    `address` is tests/modelproviders.py: it answers immediately, and after 15 seconds what is asked with the words
    `Take your time`. `anthropic` is tests/fakeanthropic.py, with the script that the prompt brings (`coding.prompt`).
    """

    kubectl: Kubectl
    key: str
    """What the model proxy shows it."""
    namespace: str = f"{RELEASE_NAMESPACE}-provider"

    @property
    def address(self) -> str:
        return f"models.{self.namespace}.svc:8000"

    @property
    def anthropic(self) -> str:
        return f"models.{self.namespace}.svc:{coding.PORT}"

    def seen(self) -> list[Object]:
        """What was asked of them: `key` and `body`, those of Anthropic last, each oldest first."""
        told = self.kubectl("exec", "models", "--", "python", "-c", _SEEN, namespace=self.namespace)
        asked: list[Object] = json.loads(told)
        return asked

    def start(self) -> None:
        fakes = (ROOT / "tests" / "modelproviders.py", ROOT / "tests" / "fakeanthropic.py", Path(coding.__file__))
        files = {**{path.name: path.read_text() for path in fakes}, "serve.py": _SERVE}
        container = {
            "name": "models",
            "image": f"{REPOSITORY}/agentjobs-operator:{TAG}",
            "imagePullPolicy": PULL_POLICY,
            "command": ["python", "/fake/serve.py"],
            "readinessProbe": {"periodSeconds": 1, "tcpSocket": {"port": 8000}},
            "volumeMounts": [{"name": "fake", "mountPath": "/fake"}],
        }
        spec = {"containers": [container], "volumes": [{"name": "fake", "configMap": {"name": "fake"}}]}
        ports = [{"name": f"port-{port}", "port": port} for port in (8000, coding.PORT)]
        service = {"selector": {"app": "models"}, "ports": ports}
        labels = {"app": "models"}
        for body in (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fake"}, "data": files},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "models"}, "spec": service},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "models", "labels": labels}, "spec": spec},
        ):
            place = None if body["kind"] == "Namespace" else self.namespace
            self.kubectl("apply", "-f", "-", namespace=place, stdin=json.dumps(body))
        ready = ("wait", "pod/models", "--for=condition=Ready", f"--timeout={SECONDS:.0f}s")
        self.kubectl(*ready, namespace=self.namespace, seconds=SECONDS + 10)


_SERVE = """
import json
import coding
from aiohttp import web
from modelproviders import Answer, FakeProviders

fake = FakeProviders()
fake.choose = lambda seen: Answer(delay=15.0) if b"Take your time" in seen.body else None
app = fake.app()
anthropic = coding.serve()

async def seen(_):
    asked = [{"key": one.key, "body": one.body.decode("utf-8", "replace")} for one in fake.seen]
    more = [{"key": one.headers.get("x-api-key"), "body": json.dumps(one.body)} for one in anthropic.requests]
    return web.json_response(asked + more)

app.router.add_get("/seen", seen)
web.run_app(app, port=8000)
"""
_SEEN = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/seen').read().decode())"


def secret(kubectl: Kubectl, name: str, namespace: str) -> dict[str, str]:
    """Return what a Secret holds."""
    found = kubectl.get("secret", name, namespace)
    assert found, f"secret {name} is not there"
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


@pytest.fixture(scope="session")
def provider(kubectl: Kubectl) -> Iterator[Provider]:
    """A provider of models, whose key is in a Secret of the installation's namespace."""
    if not workers().first:
        yield Provider(kubectl, key=secret(kubectl, "models", RELEASE_NAMESPACE)["gemini"])
        return
    made = Provider(kubectl, key=f"key-{secrets.token_hex(16)}")
    made.start()
    for body in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE_NAMESPACE}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "models"}, "stringData": {"gemini": made.key}},
    ):
        place = None if body["kind"] == "Namespace" else RELEASE_NAMESPACE
        kubectl("apply", "-f", "-", namespace=place, stdin=json.dumps(body))
    yield made
    kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.fixture(scope="session")
def chart_values() -> Object:
    """What the session installs the chart with."""
    small = {"requests": {"cpu": "10m", "memory": "64Mi"}}
    key = {"name": "main", "secretKeyRef": {"name": "models", "key": "gemini"}}
    base = f"http://models.{RELEASE_NAMESPACE}-provider.svc"
    gemini = {"name": "gemini", "kind": "Gemini", "baseUrl": f"{base}:8000/gemini", "keys": [key]}
    anthropic = {"name": "anthropic", "kind": "Anthropic", "baseUrl": f"{base}:{coding.PORT}", "keys": [key]}
    return {
        "models": {"providers": [gemini, anthropic]},
        "image": {"repository": f"{REPOSITORY}/agentjobs-operator", "tag": TAG, "pullPolicy": PULL_POLICY},
        "runner": {
            # A user's image: the runner with the examples' modules in it.
            "image": {"repository": f"{REPOSITORY}/agentjobs-examples", "tag": TAG, "pullPolicy": PULL_POLICY},
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        },
        # No cluster has this one: a test makes the volumes that it needs.
        "workspaces": {"storageClassName": STORAGE_CLASS},
        "operator": {"resources": small},
        "gateway": {"resources": small},
        "modelProxy": {"resources": small},
        "notifier": {"resources": small},
        "dashboard": {"enabled": True, "resources": small},
        "postgresql": {
            "enabled": True,
            "image": f"{REPOSITORY}/agentjobs-postgres:{TAG}",
            "imagePullPolicy": PULL_POLICY,
            "persistence": {"enabled": False},
            "resources": small,
        },
    }


@pytest.fixture(scope="session")
def outside(kubectl: Kubectl) -> Iterator[Outside]:
    """Who calls the installation and is told of its jobs."""
    made = Outside(kubectl, RELEASE_NAMESPACE, f"{REPOSITORY}/agentjobs-operator:{TAG}", PULL_POLICY)
    if workers().first:
        made.start()
        yield made
        made.stop(keep=bool(os.environ.get(KEEP)))
    else:
        made.keep_keys()
        yield made


@pytest.fixture(scope="session")
def release(
    kubectl: Kubectl,
    chart_values: Object,
    provider: Provider,
    outside: Outside,
    figure: Callable[[str], None],
) -> Iterator[Release]:
    """AgentJobs, installed from this checkout; removed at the end unless AGENTJOBS_E2E_KEEP is set."""
    values = {**chart_values, **outside.values}
    made = Release(kubectl, values=values, folder=workers().folder)
    if not workers().first:
        made.token = _administrator(kubectl, made.namespace)
        yield made
        return
    helm = pytest.importorskip("helm_python", reason="Helm's engine is missing: pip install -e '.[test,helm]'")
    began = time.monotonic()
    with helm.Config(namespace=made.namespace) as config:
        adopt_crds(kubectl, CHART, made.name, made.namespace)
        there = next((entry for entry in config.list() if entry["name"] == made.name), None)
        options = {"namespace": made.namespace, "wait": "watcher", "timeout": INSTALL_SECONDS}
        if there and there["status"] != "deployed":  # a session that was cut short
            config.uninstall(made.name, wait="watcher", timeout=INSTALL_SECONDS)
            there = None
        if there:
            try:
                config.upgrade(CHART, made.name, values, **options)
            except helm.HelmReleaseError:  # a test of that session had its hands on the objects
                config.uninstall(made.name, wait="watcher", timeout=INSTALL_SECONDS)
                there = None
        if not there:
            config.install(CHART, made.name, values, create_namespace=True, **options)
        made.ready()
        made.seconds = time.monotonic() - began
        figure(f"helm {'upgrade' if there else 'install'} to all parts ready: {made.seconds:.1f} s")
        keeper = LogKeeper(made)
        keeper.start()
        made.token = _administrator(kubectl, made.namespace)
        made.authority()
        _first_job(kubectl, figure, began)
        workers().installed()
        yield made
        workers().end()
        keeper.close()
        refused = denied(made.folder)
        if not os.environ.get(KEEP):
            config.uninstall(made.name, timeout=INSTALL_SECONDS)
            kubectl("delete", "namespace", made.namespace, "--wait=false")
            kubectl("delete", "clusterrolebinding", f"{made.namespace}-administrator")
    assert not refused, "calls of ours were denied:\n" + "\n".join(refused)


def adopt_crds(kubectl: Kubectl, chart: Path, name: str, namespace: str) -> None:
    """Give a release the CRDs that a development session or a removed release left, as its chart has them.

    Helm touches none but its own. What was stored stays; CRDs that are not there are left to Helm.
    """
    manager = Path(sys.orig_argv[0]).name
    served = {crd["metadata"]["name"] for crd in kubectl.list("customresourcedefinitions")}
    for path in sorted((chart / "files" / "crds").glob("*.yaml")):
        for crd in filter(None, yaml.safe_load_all(path.read_text())):
            if crd["metadata"]["name"] not in served:
                continue
            note = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
            crd["metadata"] |= {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": note}
            # Helm applies under its program's name and gives up where someone else has set a field otherwise.
            words = ("apply", "--server-side", "--force-conflicts", f"--field-manager={manager}", "-f", "-")
            kubectl(*words, stdin=json.dumps(crd))


@pytest.fixture(scope="session")
def adopt(kubectl: Kubectl) -> Callable[[Path, str, str], None]:
    """Give the cluster's CRDs to a release: `adopt(chart, name, namespace)`."""
    return lambda chart, name, namespace: adopt_crds(kubectl, chart, name, namespace)


def _administrator(kubectl: Kubectl, namespace: str) -> str:
    """Make an account with all rights and return a token: the gateway knows users by token, not by certificate."""
    name = f"{namespace}-administrator"
    for words in (
        ("create", "serviceaccount", "administrator", "-n", namespace),
        (
            "create",
            "clusterrolebinding",
            name,
            "--clusterrole=cluster-admin",
            f"--serviceaccount={namespace}:administrator",
        ),
    ):
        with contextlib.suppress(CommandFailed):  # there since an earlier session
            kubectl(*words)
    return kubectl("create", "token", "administrator", "--duration=8h", namespace=namespace).strip()


def _first_job(kubectl: Kubectl, figure: Callable[[str], None], began: float) -> None:
    """See the first job through, as a new user would; says how long all of it took."""
    with a_namespace(kubectl, "first") as namespace:
        kubectl("apply", "-f", str(ROOT / "examples" / "hello.yaml"), namespace=namespace)
        kubectl("wait", "agentjob/hello", "--for=condition=Complete", f"--timeout={SECONDS:.0f}s", namespace=namespace)
        figure(f"helm to first job finished, images present: {time.monotonic() - began:.1f} s (aim 60)")


@contextlib.contextmanager
def a_namespace(kubectl: Kubectl, name: str, **labels: str) -> Iterator[str]:
    """Make a namespace of Pod Security level Restricted for a while; its end is not waited for."""
    unique = f"e2e-{name[:30].strip('-')}-{os.getpid()}-{next(_numbers)}"
    marks = {"pod-security.kubernetes.io/enforce": "restricted", **labels}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": unique, "labels": marks}}
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    try:
        yield unique
    finally:
        kubectl("delete", "namespace", unique, "--wait=false", "--ignore-not-found")


@pytest.fixture
def namespace(request: pytest.FixtureRequest, kubectl: Kubectl, release: Release) -> Iterator[str]:
    """Namespace of the test's own, of Pod Security level Restricted."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    with a_namespace(kubectl, name) as made:
        yield made
        if request.node.stash.get(_FAILED, False):
            explain(kubectl, release, made)


@pytest.fixture(scope="module")
def shared_namespace(request: pytest.FixtureRequest, kubectl: Kubectl, release: Release) -> Iterator[str]:
    """Namespace of a module whose tests look at the same jobs."""
    with a_namespace(kubectl, Path(request.node.name).stem.removeprefix("test_").replace("_", "-")) as made:
        failed = request.session.testsfailed
        yield made
        if request.session.testsfailed > failed:
            explain(kubectl, release, made)


def explain(kubectl: Kubectl, release: Release, namespace: str) -> None:
    """Print what is needed to understand a failure."""
    for words in (
        ("get", "agentjobs,agentqueues,agenttemplates,pods", "-o", "wide"),
        ("describe", "agentjobs"),
        ("get", "events", "--sort-by=.lastTimestamp"),
    ):
        with contextlib.suppress(CommandFailed):
            print(f"\n--- kubectl {' '.join(words)}\n{kubectl(*words, namespace=namespace)[-12_000:]}")
    for file in sorted(release.folder.glob("*.log")):
        if lines := file.read_text(errors="replace").splitlines()[-25:]:
            print(f"\n--- end of {file.name}", *lines, sep="\n")


@pytest.fixture
def apply(kubectl: Kubectl, namespace: str) -> Callable[..., None]:
    """Apply objects or files in the test's namespace: `apply(*objects)`, `apply(path)`."""

    def build(*what: Object | Path) -> None:
        apply_in(kubectl, namespace, *what)

    return build


def apply_in(kubectl: Kubectl, namespace: str, *what: Object | Path) -> None:
    """Apply objects or files in a namespace."""
    texts = [one.read_text() if isinstance(one, Path) else json.dumps(one) for one in what]
    # Begun so, all is read as YAML; after a first document of JSON kubectl would read no other.
    kubectl("apply", "-f", "-", namespace=namespace, stdin="".join(f"---\n{text}\n" for text in texts))


@pytest.fixture
def repository(kubectl: Kubectl, namespace: str, apply: Callable[..., None]) -> GitServer:
    """A repository behind a server in the test's namespace."""
    made = GitServer(kubectl, namespace, f"{REPOSITORY}/agentjobs-runner:{TAG}", PULL_POLICY)
    made.start(apply)
    return made


class Jobs:
    """The AgentJobs of a namespace, and what history says of them."""

    def __init__(self, kubectl: Kubectl, release: Release, namespace: str) -> None:
        self._kubectl = kubectl
        self._release = release
        self.namespace = namespace

    def get(self, name: str) -> Object:
        found = self._kubectl.get("agentjob", name, self.namespace)
        assert found, f"agentjob {name} is not there"
        return found

    def status(self, name: str) -> Object:
        return self.get(name).get("status") or {}

    def until(self, name: str, check: Callable[[Object], Any], what: str, *, seconds: float = SECONDS) -> Object:
        """Return the status as soon as `check` holds for it."""
        seen: Object = {}

        def looked() -> bool:
            nonlocal seen
            seen = self.status(name)
            return bool(check(seen))

        try:
            until(looked, f"agentjob {name}: {what}", seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\nstatus: {yaml.safe_dump(seen)}") from None
        return seen

    def finished(self, name: str, *, seconds: float = SECONDS) -> Object:
        return self.until(name, lambda status: said(status, "Finished") == "True", "finished", seconds=seconds)

    def running(self, name: str, *, start: int = 1, seconds: float = SECONDS) -> Object:
        """Return the pod of a start as soon as its runner has claimed it.

        Earlier a signal can get lost: the first process of a container ignores SIGTERM until it handles it.
        """

        def looked() -> Object | None:
            pod = self.pod(name, start)
            return pod if pod and (pod.get("status") or {}).get("phase") == "Running" else None

        def claimed() -> bool:
            return "attempt.started" in self._kubectl(
                "logs", f"{name}-{start}", "-c", "runner", namespace=self.namespace
            )

        pod: Object = until(looked, f"pod {name}-{start} runs", seconds=seconds)
        until(claimed, f"the runner of pod {name}-{start} claims it", seconds=seconds)
        return pod

    def pod(self, name: str, start: int = 1) -> Object | None:
        return self._kubectl.get("pod", f"{name}-{start}", self.namespace)

    def history(self, name: str) -> Object:
        """What `agentjobs history` tells: `job`, `starts`, `transitions`."""
        told: Object = json.loads(self._release.agentjobs("history", name, "-n", self.namespace, "-o", "json"))
        return told

    def job_history(self, name: str) -> Object:
        """What history tells of a job that has ended, once it knows all its ends: it follows the objects."""

        def complete() -> Object | None:
            told = self.history(name)
            ended = told["job"]["phase"] not in ("Pending", "Running")
            return told if ended and all(start["verdict"] for start in told["starts"]) else None

        told: Object = until(complete, f"history knows the end of {name}")
        return told

    def result(self, name: str) -> str:
        return self._release.agentjobs("result", name, "-n", self.namespace).strip()

    def describe(self, name: str) -> str:
        return self._kubectl("describe", "agentjob", name, namespace=self.namespace)


@pytest.fixture
def jobs(kubectl: Kubectl, release: Release, namespace: str) -> Jobs:
    return Jobs(kubectl, release, namespace)


@pytest.fixture(scope="module")
def shared_jobs(kubectl: Kubectl, release: Release, shared_namespace: str) -> Jobs:
    return Jobs(kubectl, release, shared_namespace)


def said(status: Object, kind: str, key: str = "status") -> Any:
    """Return a key of a condition, None without the condition."""
    return next((one[key] for one in status.get("conditions") or [] if one["type"] == kind), None)


def job_of(name: str, script: Any = None, **spec: Any) -> list[Object]:
    """A job and, with a script, the ConfigMap its model reads. `agent` and `input` have defaults."""
    body: Object = {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "metadata": {"name": name},
        "spec": {
            "agent": {"model": f"scripted/{name}/script", "inline": {"instruction": "Be brief."}},
            "input": {"message": "Go."},
            **spec,
        },
    }
    if script is None:
        return [body]
    data = {"script": yaml.safe_dump(script)}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}, body]


@pytest.fixture(scope="session")
def a_job() -> Callable[..., list[Object]]:
    return job_of


@pytest.fixture(scope="session")
def condition() -> Callable[..., Any]:
    return said


@pytest.fixture(scope="session")
def apply_to(kubectl: Kubectl) -> Callable[..., None]:
    """Apply objects or files in a namespace: `apply_to(namespace, *objects)`."""
    return lambda namespace, *what: apply_in(kubectl, namespace, *what)


class Load:
    """Applies a job of one start every three seconds, from `start` to `stop`, in a thread of its own."""

    SCRIPT: ClassVar[Object] = {"starts": [[{"delay": "1s", "text": "Done."}]]}
    EVERY_SECONDS = 3.0

    def __init__(self, apply: Callable[..., None], prefix: str) -> None:
        self._apply = apply
        self._prefix = prefix
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failures: list[Exception] = []
        self.names: list[str] = []

    def _run(self) -> None:
        while not self._stop.is_set():
            name = f"{self._prefix}-{len(self.names) + 1}"
            try:
                self._apply(*job_of(name, self.SCRIPT))
                self.names.append(name)
            except Exception as error:
                self._failures.append(error)
            self._stop.wait(self.EVERY_SECONDS)

    @contextlib.contextmanager
    def running(self, *, warm: int = 3) -> Iterator[None]:
        """Have it run around a block, in which its first jobs are made already."""
        self._thread.start()
        try:
            until(lambda: len(self.names) >= warm or self._failures, "the load makes its first jobs")
            yield
            time.sleep(self.EVERY_SECONDS)  # one more after whatever happened
        finally:
            self._stop.set()
            self._thread.join(60)
        assert not self._failures, self._failures[:3]


@pytest.fixture(scope="session")
def a_load() -> type[Load]:
    """Make a stream of jobs: `a_load(apply, "prefix")`."""
    return Load
