"""An API server of a few lines and a history in memory, at the gateway's two seams."""

from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from agentjobs import contract, errors
from agentjobs.auth import Authenticator
from agentjobs.gateway.app import create_app
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.gateway.services import GatewayHistory, Services
from agentjobs.gateway.user_limits import Streams
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_actions import MemoryActions
from agentjobs.history.memory_changes import MemoryChanges
from agentjobs.history.memory_kept_files import MemoryKeptFiles
from agentjobs.history.memory_model_calls import MemoryModelCalls, MemoryModelReports
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.history.memory_outbox import MemoryOutbox
from agentjobs.history.memory_overview import MemoryOverview, MemoryProcesses
from agentjobs.history.memory_sessions import MemorySessions
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord

OURS = contract.TOKEN_AUDIENCE
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeKube:
    """Answers reviews and pods as a real API server does; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.reviews: dict[str, dict[str, Any]] = {}
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.rights: dict[str, set[tuple[str, str, str]]] = {}

    def add_runner(self, token, *, job, start, namespace="default", uid="job-uid", pod_uid="pod-uid", pod=None):
        pod = pod or f"{job}-{start}"
        extra = {
            "authentication.kubernetes.io/pod-name": [pod],
            "authentication.kubernetes.io/pod-uid": [pod_uid],
        }
        user = {"username": f"system:serviceaccount:{namespace}:default", "uid": "sa", "extra": extra}
        self.reviews[token] = {"authenticated": True, "audiences": [OURS], "user": user}
        owner = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentJob",
            "name": job,
            "uid": uid,
            "controller": True,
        }
        meta = {"name": pod, "uid": pod_uid, "labels": {contract.LABEL_JOB: job}, "ownerReferences": [owner]}
        self.pods[namespace, pod] = {"metadata": meta}

    def spoil(self, pod, *, gone=False, owner=None, **metadata):
        meta = self.pods["default", pod]["metadata"]
        meta.update(metadata)
        if owner:
            meta["ownerReferences"][0].update(owner)
        if gone:
            del self.pods["default", pod]

    def add_user(self, token, name, *, may=frozenset()):
        user = {"username": name, "uid": name, "groups": ["system:authenticated"]}
        self.reviews[token] = {"authenticated": True, "audiences": ["https://kubernetes.default.svc"], "user": user}
        self.rights[name] = set(may)

    async def create(self, resource, namespace, body):
        self.asked.append(resource.kind)
        if self.away:
            raise errors.Unavailable("connection refused")
        spec = body["spec"]
        if resource.kind == "TokenReview":
            return body | {"status": self._reviewed(spec)}
        asked = spec["resourceAttributes"]
        verb = asked["verb"] if asked["resource"] == "agentjobs" else f"{asked['verb']} {asked['resource']}"
        key = (verb, asked["namespace"], asked.get("name", ""))
        return body | {"status": {"allowed": key in self.rights.get(spec["user"], ())}}

    async def get(self, resource, namespace, name):
        if self.away:
            raise errors.Unavailable("connection refused")
        if resource.kind == "Namespace":
            return {"metadata": {"name": name, "uid": "cluster-uid"}}
        self.asked.append(resource.kind)
        if (namespace, name) not in self.pods:
            raise errors.NotFound(f"pods {name!r} not found")
        return self.pods[namespace, name]

    def _reviewed(self, spec):
        known = self.reviews.get(spec["token"])
        if known is None:
            return {"authenticated": False, "error": "invalid bearer token"}
        wanted = spec.get("audiences") or ["https://kubernetes.default.svc"]
        # An authenticator without audiences says yes and names its own.
        heard = set(known["audiences"]) & set(wanted) or spec["token"] == "deaf"
        return known if heard else {"authenticated": False, "error": "token audiences are invalid"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def kube():
    return FakeKube()


@pytest.fixture
def authenticator(kube, clock):
    return Authenticator(kube, clock=clock)


def read(value):
    """Read what is JSON text in a value."""
    return msgspec.json.decode(msgspec.json.encode(value))


class SpyHistory:
    """A history in memory that notes what it is asked; `raises` is what the next calls meet instead."""

    def __init__(self) -> None:
        self.memory = MemoryHistory(now=lambda: NOW)
        self.calls: list[tuple[Any, ...]] = []
        self.raises: Exception | None = None

    def __getattr__(self, name):
        method = getattr(self.memory, name)

        async def noted(*args, **kwargs):
            self.calls.append((name, *map(read, args), *kwargs.values()))
            if self.raises:
                raise self.raises
            return await method(*args, **kwargs)

        return noted

    async def accept(self, namespace="default", start=1):
        """Accept the job `hello`, and let the pod `p1` claim its start."""
        key = JobKey("u1", namespace, "hello", NOW, "brief")
        spec = {"input": {"message": "from a ConfigMap"}, "retry": {"maxAttempts": 3}, "partitionKey": "shop"}
        spec["session"] = {"appName": "shop", "userId": "ann", "sessionId": "s1", "mode": "Continue"}
        begun = StartRecord(key, start, 1, f"hello-{start}", NOW)
        await self.memory.accept(Acceptance(JobRecord(key, {"spec": spec, "scripts": {}}, "abc"), begun))
        await self.memory.claim("u1", start, "p1", namespace=namespace, job="hello")
        return self.memory.jobs_by_uid["u1"]


@pytest.fixture
def history():
    return SpyHistory()


@pytest.fixture
def sessions(history):
    """Sessions and artifacts of the jobs of `history`."""
    return MemorySessions(history.memory)


@pytest.fixture
def files(history):
    """Kept files of the jobs of `history`."""
    return MemoryKeptFiles(history.memory)


@pytest.fixture
def ledger(history):
    """What proxies record of model calls."""
    return MemoryModelCalls(history.memory)


@pytest.fixture
def outbox(history):
    """The notifications of the jobs of `history`."""
    return MemoryOutbox(history.memory)


@pytest.fixture
def processes(history):
    """The processes of the installation."""
    return MemoryProcesses(history.memory)


@pytest.fixture
def actions():
    """What people did."""
    return MemoryActions(now=lambda: NOW)


@pytest.fixture
def model_limits():
    """How the limits of keys stand."""
    return MemoryModelLimits(lambda: NOW)


@pytest.fixture
def database():
    """Whether the database is there: raises what `problem` holds."""

    class Database:
        problem = None

        async def check(self):
            if self.problem:
                raise self.problem

    return Database()


@pytest.fixture
def changes(history):
    """What has changed of the jobs of `history`."""
    return MemoryChanges(history.memory)


@pytest.fixture
def streams():
    """How long streams of changes last."""
    return Streams()


@pytest.fixture
def app(
    history, sessions, files, ledger, model_limits, outbox, processes, changes, actions, kube, database, clock, streams
):
    reports = MemoryModelReports(history.memory, ledger, model_limits)
    read = reports, outbox, MemoryOverview(history.memory), processes, changes, actions
    services = Services(
        lambda cluster: GatewayHistory(history, history, sessions, sessions, files, sessions, *read),
        kube,
        metrics=GatewayMetrics(),
        clock=clock,
        streams=streams,
        callers=kube,
    )
    return create_app(services, check_history=database.check)


@pytest.fixture
async def http(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client
