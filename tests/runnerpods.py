"""Runners' pods in a real API server, and what the operator would have written of their jobs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from agentjobs.dev.backends import Server, place_of
from agentjobs.history.operator_writes import OperatorWrites
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartEnd, StartRecord, TransitionRecord

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
RESOLVED = {"spec": {"retry": {"maxAttempts": 3}, "input": {"message": "hi"}}, "scripts": {}}


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

    async def uid(self) -> str:
        return str((await self.http.get("/api/v1/namespaces/kube-system")).json()["metadata"]["uid"])

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def add_runner(self, job: str, start: int, uid: str, *, budget: str | None = None, queue: str = "") -> str:
        """Make a runner's pod and return the token it would find."""
        assert not place_of(self.server).shared, "mark it alone: its job is a row, and pods without a job are collected"
        owner = {
            "apiVersion": "agentjobs.dev/v1alpha1",
            "kind": "AgentJob",
            "name": job,
            "uid": uid,
            "controller": True,
        }
        meta: dict[str, Any] = {
            "name": f"{job}-{start}",
            "labels": {"agentjobs.dev/job": job} | ({"agentjobs.dev/queue": queue} if queue else {}),
            "ownerReferences": [owner],
        }
        meta |= {"annotations": {"agentjobs.dev/budget": budget}} if budget is not None else {}
        spec = {"containers": [{"name": "runner", "image": "x"}], **self.placement}
        pod = await self.create(f"/api/v1/namespaces/{self.namespace}/pods", {"metadata": meta, "spec": spec})
        return await self.token(audience="agentjobs-gateway", pod=pod)

    async def token(self, *, audience: str | None = None, pod: dict[str, Any] | None = None) -> str:
        """A token of the service account `default`; without an audience for the API server."""
        spec: dict[str, Any] = {"audiences": [audience] if audience else [], "expirationSeconds": 3600}
        if pod:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made = await self.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token", body)
        return made["status"]["token"]


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
            Acceptance(record, StartRecord(job=job, start=start, attempt=1, pod=f"{name}-{start}", time=NOW))
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
