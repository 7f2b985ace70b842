"""A world that operations are driven against by hand: answers and lines in order, a clock that sleeping moves."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.restparameters import unknown_parameters

from agentjobs.client.effects import Emit, Listen, NextLine, Now, Send, Server, Sleep


@dataclass
class World:
    """`answers` and `streams` are given out in order; an exception among them is thrown."""

    answers: list[Any] = field(default_factory=list)
    streams: list[list[Any]] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    emitted: list[Any] = field(default_factory=list)
    now: float = 1000.0
    lines: list[Any] = field(default_factory=list)

    def run(self, operation):
        outcome: Any = None
        while True:
            try:
                raised = isinstance(outcome, Exception)
                effect = operation.throw(outcome) if raised else operation.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = self.outcome(effect)

    def outcome(self, effect):
        match effect:
            case Emit(value):
                self.emitted.append(value)
            case Send():
                self.sent.append(effect)
                if effect.server is Server.GATEWAY:
                    assert unknown_parameters(effect.method, effect.path, effect.params) == []
                return self.answers.pop(0)
            case Listen():
                self.sent.append(effect)
                self.lines = self.streams.pop(0)
            case NextLine():
                return self.lines.pop(0) if self.lines else None
            case Sleep(seconds):
                self.now += seconds
            case Now():
                return self.now
        return None


@pytest.fixture
def world():
    return World


@pytest.fixture
def job_body():
    """An object as the API server answers it."""

    def build(name="hello", *, version="1", uid="u1", phase="", ended="", spec=None, **metadata):
        now = "2026-11-21T09:00:00Z"
        conditions = [
            {"type": kind, "status": "True", "reason": "Because", "message": "said", "lastTransitionTime": now}
            for kind in ((ended, "Finished") if ended else ())
        ]
        return {
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": uid,
                "resourceVersion": version,
                "creationTimestamp": now,
                **metadata,
            },
            "spec": spec or {"agent": {"model": "m", "inline": {}}, "input": {"message": "hi"}},
            "status": {"phase": phase, "conditions": conditions},
        }

    return build


@pytest.fixture
def recorded():
    """The same job in history, at its end or without one."""

    def build(phase, *, ended="2026-11-21T09:01:00Z", deleted=None, **more):
        job = {"uid": "u1", "namespace": "default", "name": "hello", "phase": phase, "reason": "Because"}
        job |= {"message": "said", "created": "2026-11-21T09:00:00Z", "changed": ended, "finished": ended}
        job |= {"deleted": deleted, "attempts": 1, "starts": 1, **more}
        return {"job": job, "specHash": None, "starts": [], "transitions": []}

    return build
