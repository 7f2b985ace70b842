"""Builders of observations: a test spells only what it is about."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentjobs.api.job.budget import limits_of
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import FINALIZER, LABEL_JOB, TerminationMessage, Verdict
from agentjobs.core.job import progress
from agentjobs.core.job.actions import Claim, EndStart, Finish, Suspend, Wait
from agentjobs.core.job.observation import FinalResult, Job, Observation, Progress, parse_job
from agentjobs.core.pods.pod import Pod, parse_pod
from agentjobs.core.queues.admission import Granted
from agentjobs.models.budget import Spend

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
UID = "6c0c1a52-1b5e-4a6e-9a52-0d9f0a7f5a11"


class Scene:
    """One job and its surroundings, built step by step; every method returns the scene."""

    def __init__(self, **spec: Any) -> None:
        self.now = NOW
        self.raw: dict[str, Any] = {
            "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
            "input": {"message": "Say hello."},
            **spec,
        }
        self.meta = {
            "namespace": "default",
            "name": "hello",
            "uid": UID,
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": "2026-11-21T09:00:00Z",
        }
        self.status: dict[str, Any] = {}
        self.pods: list[dict[str, Any]] = []
        self.changes: dict[str, Any] = {}

    @property
    def job(self) -> Job:
        return parse_job({"metadata": self.meta, "spec": self.raw, "status": self.status})

    @property
    def observation(self) -> Observation:
        spec = AgentJobSpec.model_validate(self.raw)
        seen = Observation(
            job=self.job,
            spec=spec,
            limits=limits_of(spec.budget, max_llm_calls=None),
            pods=tuple(parse_pod(pod) for pod in self.pods),
            pod_problems=(),
            progress=Progress(),
            spent=Spend(),
            result=FinalResult(),
        )
        return replace(seen, **self.changes)

    def knowing(self, **changes: Any) -> "Scene":
        self.changes |= changes
        return self

    def later(self, **passed: float) -> "Scene":
        self.now += timedelta(**passed)
        return self

    def granted(self) -> "Scene":
        return self.knowing(slot=Granted())

    def claimed(self, start: int = 1, attempt: int = 1) -> "Scene":
        claim = Claim(start=start, attempt=attempt)
        self.status = progress.claimed(self.job, claim, spec_hash="9f2c", queue="agents", now=self.now).to_dict()
        return self

    def written(self, verdict: Wait | EndStart | Finish | Suspend) -> "Scene":
        """Let the status be what this verdict leaves behind."""
        if isinstance(verdict, Wait):
            spec = self.observation.spec
            queue = spec.queue if spec else ""
            status = progress.waiting(self.job, verdict, spec_hash="9f2c", queue=queue, now=self.now)
        elif isinstance(verdict, Suspend):
            status = progress.suspended(self.job, verdict, spec_hash="9f2c", now=self.now)
        elif isinstance(verdict, EndStart):
            status = progress.start_ended(self.job, verdict, now=self.now)
        else:
            status = progress.finished(self.job, verdict, now=self.now)
        self.status = status.to_dict()
        return self

    def pod(self, start: int = 1, *, phase: str = "Running", **status: Any) -> "Scene":
        meta: dict[str, Any] = {
            "namespace": "default",
            "name": f"hello-{start}",
            "uid": f"pod-{start}",
            "resourceVersion": "7",
            "labels": {LABEL_JOB: "hello"},
            "finalizers": [FINALIZER],
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ownerReferences": [
                {
                    "apiVersion": "agentjobs.dev/v1alpha1",
                    "kind": "AgentJob",
                    "uid": UID,
                    "controller": True,
                    "name": "hello",
                }
            ],
        }
        meta |= status.pop("meta", {})
        node = status.pop("node", "node-1")
        self.pods = [pod for pod in self.pods if pod["metadata"]["name"] != meta["name"]]
        self.pods.append({"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": phase, **status}})
        return self

    def running(self, start: int = 1) -> "Scene":
        began = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.pod(start, containerStatuses=[{"name": "runner", "state": {"running": {"startedAt": began}}}])

    def ended(
        self, start: int = 1, *, message: str = "", code: int = 0, reason: str = "Completed", **status: Any
    ) -> "Scene":
        began = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        state = {"exitCode": code, "reason": reason, "message": message, "startedAt": began, "finishedAt": began}
        phase = status.pop("phase", "Succeeded" if code == 0 else "Failed")
        containers = [{"name": "runner", "state": {"terminated": state}}]
        return self.pod(start, phase=phase, containerStatuses=containers, **status)

    def said(
        self,
        verdict: Verdict,
        reason: str = "",
        *,
        start: int = 1,
        delay: float | None = None,
        outcome: str | None = None,
    ) -> "Scene":
        word = TerminationMessage(verdict, reason, "because", start, UID, delay, summary="Hello.", outcome=outcome)
        return self.ended(start, message=word.dump(), code=0 if verdict is Verdict.SUCCEED else 70)


@pytest.fixture
def scene() -> Callable[..., Scene]:
    return Scene


@pytest.fixture
def pod_of() -> Callable[[dict[str, Any]], Pod]:
    return parse_pod
