"""An API server and a history of a few lines, at the gateway's two seams."""

from typing import Any

import pytest

from agentjobs import contract, errors
from agentjobs.gateway.auth import Authenticator

OURS = contract.TOKEN_AUDIENCE


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
        key = (asked["verb"], asked["namespace"], asked.get("name", ""))
        return body | {"status": {"allowed": key in self.rights.get(spec["user"], ())}}

    async def get(self, resource, namespace, name):
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
