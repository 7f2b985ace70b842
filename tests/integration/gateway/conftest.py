"""A gateway over real sockets, between a real PostgreSQL and an API server, embedded or real."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agentjobs.api.generate.crd import FILES
from agentjobs.cli.app import run
from agentjobs.dev.backends import Server, place_of
from agentjobs.gateway.serve import serving
from agentjobs.history.database import Database
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import JobKey, JobRecord, StartEnd, StartRecord, TransitionRecord
from agentjobs.settings import gateway_settings
from devcluster.client import CONFIG_MAPS, PODS, ApiError, Client, Resource

AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AGENTSCHEDULES = Resource("agentjobs.dev", "v1alpha1", "agentschedules", "AgentSchedule")
EMPTIED = (AGENTSCHEDULES, AGENTJOBS, PODS, CONFIG_MAPS)
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
RESOLVED = {"spec": {"retry": {"maxAttempts": 3}, "input": {"message": "hi"}}, "scripts": {}}


@pytest.fixture
def shared_server(request, backend):
    """The session's real API server, or None where the test gets one of its own."""
    own = backend == "embedded" or request.node.get_closest_marker("stops_the_server")
    return None if own else request.getfixturevalue("real_server")


@pytest.fixture
async def apiserver(shared_server, make_server, tmp_path):
    """An API server of the test's own; a real one is shared and emptied, for it takes seconds to start."""
    if shared_server is None:
        async with make_server(tmp_path / "apiserver") as server:
            yield server
        return
    server = shared_server
    namespace = place_of(server).namespace
    yield server
    async with Client(server.url, token=server.token, ca=server.ca) as client:
        for resource in EMPTIED:
            items, _ = await client.list(resource, namespace)
            for item in items:
                try:
                    await client.delete(resource, namespace, item["metadata"]["name"], grace_seconds=0)
                except ApiError as error:
                    if error.code != 404:  # a garbage collector was sooner
                        raise


@dataclass
class Cluster:
    """The API server as an administrator and as the operator's hand would use it."""

    http: httpx.AsyncClient
    server: Server

    @property
    def namespace(self) -> str:
        return place_of(self.server).namespace

    @property
    def placement(self) -> dict[str, Any]:
        return place_of(self.server).placement

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def add_runner(self, job: str, start: int, uid: str) -> str:
        """Make a runner's pod and return the token it would find."""
        assert not place_of(self.server).shared, "mark it alone: its job is a row, and pods without a job are collected"
        owner = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentJob",
            "name": job,
            "uid": uid,
            "controller": True,
        }
        meta = {"name": f"{job}-{start}", "labels": {"agentjobs.dev/job": job}, "ownerReferences": [owner]}
        spec = {"containers": [{"name": "runner", "image": "x"}], **self.placement}
        pod = await self.create(f"/api/v1/namespaces/{self.namespace}/pods", {"metadata": meta, "spec": spec})
        return await self.token(audience="agentjobs-gateway", pod=pod)

    async def token(self, *, audience: str, pod: dict[str, Any] | None = None) -> str:
        spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": 3600}
        if pod:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = await self.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token", body)
        return made["status"]["token"]


@pytest.fixture
async def cluster(apiserver):
    trust = ssl.create_default_context(cafile=str(apiserver.ca))
    headers = {"Authorization": f"Bearer {apiserver.token}"}
    async with httpx.AsyncClient(base_url=apiserver.url, verify=trust, headers=headers, trust_env=False) as http:
        cluster = Cluster(http=http, server=apiserver)
        for file, definition in FILES.items():
            made = await http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition())
            assert made.status_code in (201, 409), made.text
            for _ in range(500):
                # The kind is served a moment after its CRD is stored.
                if (await http.get(f"/apis/agentjobs.dev/v1alpha1/{Path(file).stem}")).status_code == 200:
                    break
                await asyncio.sleep(0.01)
        accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
        if (await http.get(f"{accounts}/default")).status_code == 404:
            await cluster.create(accounts, {"metadata": {"name": "default"}})
        yield cluster


@dataclass
class Story:
    """What the operator would have written."""

    operator: OperatorWrites
    namespace: str

    async def begin(
        self, *, uid: str = "u1", name: str = "hello", start: int = 1, schedule: str = "", message: str = "hi"
    ) -> None:
        job = JobKey(uid=uid, namespace=self.namespace, name=name, created=NOW, schedule=schedule)
        resolved = {**RESOLVED, "spec": {**RESOLVED["spec"], "input": {"message": message}}}
        record = JobRecord(job=job, resolved=resolved, spec_hash="abc")
        await self.operator.accept(
            record, StartRecord(job=job, start=start, attempt=1, pod=f"{name}-{start}", time=NOW)
        )

    async def end(self, *, uid: str = "u1", name: str = "hello") -> None:
        job = JobKey(uid=uid, namespace=self.namespace, name=name, created=NOW)
        await self.operator.write(
            [
                StartEnd(job, 1, 1, f"{name}-1", NOW, NOW, "Succeed", "Succeeded", True, "fine"),
                TransitionRecord(job, 1, NOW, "Running", "Started"),
                TransitionRecord(job, 2, NOW, "Succeeded", "Succeeded", finished=True),
            ]
        )


@pytest.fixture
async def story(database, cluster):
    namespace = (await cluster.http.get("/api/v1/namespaces/kube-system")).json()
    async with Database(database) as connection:
        yield Story(OperatorWrites(connection, cluster=namespace["metadata"]["uid"]), cluster.namespace)


@pytest.fixture
def settings(database, apiserver):
    """Build settings; keywords win."""

    def build(**values):
        return gateway_settings(
            **{
                "database_url": database,
                "kubeconfig": str(apiserver.kubeconfig),
                "host": "127.0.0.1",
                "port": 0,
                **values,
            }
        )

    return build


@pytest.fixture
async def gateway(settings):
    """URL of a running gateway."""
    async with serving(settings()) as url:
        yield url


@pytest.fixture
async def http(gateway):
    async with httpx.AsyncClient(base_url=gateway, trust_env=False) as client:
        yield client


@pytest.fixture
def kubeconfig(apiserver, cluster, gateway, tmp_path):
    """An administrator's kubeconfig that knows the gateway."""
    config = yaml.safe_load(Path(apiserver.kubeconfig).read_text())
    config["clusters"][0]["cluster"]["extensions"] = [{"name": "agentjobs.dev/gateway", "extension": {"url": gateway}}]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def cli(kubeconfig, capfd, monkeypatch):
    """Run a command line and return its exit code, output and errors."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def build(*arguments):
        # In a thread, because the servers live in this one.
        code = await asyncio.to_thread(left, list(arguments))
        out, err = capfd.readouterr()
        return code, out, err

    return build
