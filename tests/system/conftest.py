"""A whole development cluster: real API semantics, real PostgreSQL, operator, gateway and runner pods as processes."""

import asyncio
import contextlib
import itertools
import os
import re
import signal
import ssl
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
import yaml
from tests.fakeanthropic import FakeAnthropic
from tests.gitservers import HttpServer, Repositories

from agentjobs.dev.parts import PartEnded
from agentjobs.dev.up import DevCluster, up
from devcluster.client import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    SECRETS,
    ApiError,
    Client,
    Resource,
)

ROOT = Path(__file__).parents[2]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
AGENTQUEUES = Resource("agentjobs.dev", "v1alpha1", "agentqueues", "AgentQueue")
AGENTTEMPLATES = Resource("agentjobs.dev", "v1alpha1", "agenttemplates", "AgentTemplate")
RESOURCES = {
    "AgentJob": AGENTJOBS,
    "AgentQueue": AGENTQUEUES,
    "AgentSchedule": AGENTSCHEDULES,
    "AgentTemplate": AGENTTEMPLATES,
    "ConfigMap": CONFIG_MAPS,
    "Pod": PODS,
}
SECONDS = 120.0
STAND_IN = ROOT / "tests" / "claudecli.py"
PROVIDER_KEY = "sk-of-the-installation-0123456789"
_numbers = itertools.count(1)


class System:
    """What a user and a saboteur can do to a cluster."""

    def __init__(self, cluster: DevCluster, client: Client | None = None, namespace: str = "") -> None:
        self.cluster = cluster
        self.client = client or cluster.client
        self.namespace = namespace or cluster.place.namespace

    async def apply(self, *objects):
        for obj in objects:
            await self.client.create(RESOURCES[obj["kind"]], self.namespace, obj)

    async def refusal(self, *objects):
        """Apply; return what the API server has against it, or None."""
        try:
            await self.apply(*objects)
        except ApiError as error:
            return error
        return None

    async def apply_file(self, path):
        await self.apply(*(obj for obj in yaml.safe_load_all(path.read_text()) if obj))

    async def job(self, name):
        return await self.client.get(AGENTJOBS, self.namespace, name)

    async def status(self, name):
        return (await self.job(name)).get("status") or {}

    async def pod(self, name):
        try:
            return await self.client.get(PODS, self.namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def policy(self, name):
        """The network policy of that name, or None."""
        found, _ = await self.client.list(NETWORK_POLICIES, self.namespace, field_selector=f"metadata.name={name}")
        return found[0] if found else None

    async def events(self, name):
        """What Events say about the object of that name: reason and message."""
        found, _ = await self.client.list(EVENTS, self.namespace, field_selector=f"involvedObject.name={name}")
        return {event["reason"]: event["message"] for event in found}

    async def event(self, name, reason):
        """Wait for an Event: the recorder writes them next to the status, not before it."""
        await self.until(name, lambda events: reason in events, status_of=self.events)

    async def edit(self, name, **spec):
        await self.client.patch(AGENTJOBS, self.namespace, name, {"spec": spec})

    async def hold(self, pod, finalizer):
        """Put a finalizer of someone else on a pod, or with None take it off."""
        while True:
            meta = (await self.pod(pod))["metadata"]
            ours = [one for one in meta.get("finalizers") or [] if not one.startswith("example.com/")]
            kept = [*ours, finalizer] if finalizer else ours
            change = {"finalizers": kept or None, "resourceVersion": meta["resourceVersion"]}
            try:
                await self.client.patch(PODS, self.namespace, pod, {"metadata": change})
            except ApiError as error:
                if error.code != 409:
                    raise
                continue  # the garbage collector changes finalizers, too
            return

    async def delete(self, resource, name):
        await self.client.delete(resource, self.namespace, name)

    async def schedule(self, name):
        """A schedule's status."""
        return (await self.client.get(AGENTSCHEDULES, self.namespace, name)).get("status") or {}

    async def queue(self, name):
        """A queue's status."""
        return (await self.client.get(AGENTQUEUES, self.namespace, name)).get("status") or {}

    async def edit_queue(self, name, **spec):
        await self.client.patch(AGENTQUEUES, self.namespace, name, {"spec": spec})

    async def edit_schedule(self, name, **changes):
        subresource = "status" if "status" in changes else None
        await self.client.patch(AGENTSCHEDULES, self.namespace, name, changes, subresource=subresource)

    async def until(self, name, check, seconds=SECONDS, *, status_of=None):
        """Poll a job's status, or what `status_of` reads, until `check` holds; the last is the failure's message."""
        status = {}
        async with asyncio.timeout(seconds + 1):
            for _ in range(int(seconds / 0.05)):
                status = await (status_of or self.status)(name)
                if check(status):
                    return status
                await asyncio.sleep(0.05)
        raise AssertionError(f"{name} did not get there in {seconds} s: {status}")

    async def finished(self, name, seconds=SECONDS):
        return await self.until(name, lambda status: condition(status, "Finished") == "True", seconds)

    async def phase(self, name, phase, seconds=SECONDS):
        return await self.until(name, lambda status: status.get("phase") == phase, seconds)

    async def running(self, name):
        """Until the runner's process of the current start is there."""
        status = await self.phase(name, "Running")
        pod = f"{name}-{status['starts']}"
        return await self.until(pod, runs, status_of=self.pod)

    async def gone(self, name):
        """Until the object is no more."""

        async def listed(_):
            found, _ = await self.client.list(AGENTJOBS, self.namespace, field_selector=f"metadata.name={name}")
            return found

        await self.until(name, lambda found: not found, status_of=listed)

    async def history(self, name=""):
        """What the gateway tells an administrator."""
        path = f"/v1/namespaces/{self.namespace}/agentjobs/{name}".rstrip("/")
        trust = ssl.create_default_context(cafile=self.cluster.gateway_ca)
        async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
            answer = await http.get(
                self.cluster.gateway_url + path, headers={"Authorization": f"Bearer {self.cluster.token}"}
            )
        answer.raise_for_status()
        return answer.json()

    async def job_history(self, name):
        """What history tells of a job that has ended, once it says so too: it follows the objects."""

        async def read(_):
            return await self.history(name)

        def complete(found):
            return found["job"]["phase"] not in ("Pending", "Running") and all(
                one["verdict"] for one in found["starts"]
            )

        return await self.until("history", complete, status_of=read)

    async def told(self, wanted):
        """Phases of the jobs whose row is `wanted`, once all have ended in history, which follows the objects."""

        async def phases(_):
            return sorted(row["phase"] for row in (await self.history())["items"] if wanted(row))

        return await self.until("history", lambda found: not {"Pending", "Running"} & {*found}, status_of=phases)

    async def event_count(self, name):
        """How many entries history has of a job's starts."""
        uid = (await self.job(name))["metadata"]["uid"]
        count = "SELECT count(*) FROM agentjobs.events WHERE uid = %s"
        async with await psycopg.AsyncConnection.connect(self.cluster.dsn) as connection:
            return (await (await connection.execute(count, [uid])).fetchone())[0]

    def trust(self):
        """The API server's authority."""
        return ssl.create_default_context(cafile=self.cluster.ca)

    def metric(self, name, **labels):
        """One number of the operator's metrics, summed over labels not given."""
        with urllib.request.urlopen(self.cluster.operator_url + "/metrics") as answer:
            text = answer.read().decode()
        total = 0.0
        for line in text.splitlines():
            found = re.match(rf"{name}(?:{{(.*)}})? (\S+)$", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                total += float(found[2])
        return total

    async def crash(self, part):
        await self.cluster.parts[part].end(signal.SIGKILL)

    def start(self, part):
        self.cluster.parts[part].start()

    def postgres_pid(self):
        return int(next((self.cluster.folder / "postgres").rglob("postmaster.pid")).read_text().split()[0])


def runs(pod):
    return bool(pod) and pod["status"].get("phase") == "Running"


def condition(status, kind, field="status"):
    return next((one[field] for one in status.get("conditions", []) if one["type"] == kind), None)


def a_job(name, script=None, **spec):
    """A job and, with a script, the ConfigMap its model reads."""
    body = {
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
def job_of():
    return a_job


@pytest.fixture(scope="session")
def said():
    return condition


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken_system(backend, tmp_path_factory) -> AsyncIterator[System]:
    """A cluster for the tests of a module that break it. Its runners are executed: tests find them by variables."""
    # A dead leader is waited for; tests need not wait as long as clusters do.
    lease = {"AGENTJOBS_LEASE_DURATION": "4s", "AGENTJOBS_LEASE_DEADLINE": "3s", "AGENTJOBS_LEASE_RETRY": "500ms"}
    async with (
        up(tmp_path_factory.mktemp("cluster"), settings=lease, apiserver=backend, working_folder=ROOT) as cluster,
        restarting_operators(cluster),
    ):
        yield System(cluster)


@contextlib.asynccontextmanager
async def restarting_operators(cluster: DevCluster) -> AsyncIterator[None]:
    """Start operators again that end by themselves, as a kubelet does: a busy one may lose a short Lease."""

    async def restart(name):
        while True:
            with contextlib.suppress(PartEnded):
                await cluster.parts[name].watch()
            cluster.parts[name].start()

    restarting = [asyncio.create_task(restart(name)) for name in cluster.parts if name.startswith("operator")]
    yield
    for task in restarting:
        task.cancel()
    await asyncio.gather(*restarting, return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counted_system(backend, forks, tmp_path_factory) -> AsyncIterator[System]:
    """A cluster for the tests of a module that count everything that happens in it.

    With a Lease as long as clusters have: a leader that loses a short one on a busy machine starts its counts again.
    """
    async with up(tmp_path_factory.mktemp("cluster"), apiserver=backend, working_folder=ROOT, forks=forks) as cluster:
        yield System(cluster)


@pytest_asyncio.fixture(loop_scope="module")
async def system(shared_cluster) -> AsyncIterator[System]:
    """The session's cluster, in a namespace of the test's own."""
    async with in_a_namespace(shared_cluster) as system:
        yield system


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_system(shared_cluster) -> AsyncIterator[System]:
    """The session's cluster, in a namespace of a module whose tests look at the same jobs."""
    async with in_a_namespace(shared_cluster) as system:
        yield system


@contextlib.asynccontextmanager
async def in_a_namespace(cluster: DevCluster) -> AsyncIterator[System]:
    """A new namespace of the cluster, seen through a client of the running event loop."""
    async with Client(cluster.url, token=cluster.token, ca=cluster.ca) as client:
        if cluster.place.shared:
            yield (system := System(cluster, client))
            await _forget_limits(system)
            return
        name = f"system-{next(_numbers)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await client.create(NAMESPACES, None, body)
        yield System(cluster, client, name)
        await client.delete(NAMESPACES, None, name)


async def _forget_limits(system: System) -> None:
    """Delete the queues and templates of a namespace that the next test gets as well, and would run under."""
    for resource in (AGENTQUEUES, AGENTTEMPLATES):
        found, _ = await system.client.list(resource, system.namespace)
        for one in found:
            await system.delete(resource, one["metadata"]["name"])


@pytest.fixture(scope="session")
def systems():
    """Clusters of one's own."""
    return System


@pytest.fixture(scope="session")
def checkout():
    return ROOT


@pytest.fixture
def kill():
    return os.kill


class Coding(System):
    """A cluster whose jobs of Claude Code ask a scripted API, with a server of repositories."""

    def __init__(self, cluster, client, namespace, api, site, repositories):
        super().__init__(cluster, client, namespace)
        self.api, self.site, self.repositories = api, site, repositories

    def url(self, name):
        """Address of a repository, without credentials."""
        return f"{self.site.url}/{name}.git"

    async def secret(self, name, **keys):
        """Make a Secret of credentials."""
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": keys}
        await self.client.create(SECRETS, self.namespace, body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def coding_cluster(backend, forks, tmp_path_factory):
    """A cluster with Claude Code: the one that AGENTJOBS_CLAUDE names, else the stand-in."""
    api = FakeAnthropic()
    keys = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": PROVIDER_KEY}
    # The CLI refuses BypassPermissions to root elsewhere.
    given = {"AGENTJOBS_CLAUDE": os.environ.get("AGENTJOBS_CLAUDE") or str(STAND_IN), "IS_SANDBOX": "1"}
    folder = tmp_path_factory.mktemp("cluster")
    async with up(
        folder, apiserver=backend, working_folder=ROOT, providers=keys, inherit_env=given, forks=forks
    ) as cluster:
        yield cluster, api
    api.close()


@pytest_asyncio.fixture(loop_scope="module")
async def coding(coding_cluster, tmp_path) -> AsyncIterator[Coding]:
    """That cluster in a namespace of the test's own, and repositories of its own."""
    cluster, api = coding_cluster
    root = tmp_path / "repositories"
    root.mkdir()
    site = HttpServer(root)
    async with in_a_namespace(cluster) as system:
        yield Coding(cluster, system.client, system.namespace, api, site, Repositories(root))
    site.close()
