from collections.abc import Callable
from typing import Any

import pytest

AnyJob = dict[str, Any]


def build_job(name: str = "hello", **changes: Any) -> AnyJob:
    """Return a valid AgentJob whose spec has `changes` applied; None takes a field away."""
    spec: dict[str, Any] = {
        "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
        "input": {"message": "Say hello."},
    }
    spec |= changes
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentJob",
        "metadata": {"name": name, "namespace": "default", "uid": "6c0c1a52", "generation": 1},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


@pytest.fixture
def a_job() -> Callable[..., AnyJob]:
    return build_job


@pytest.fixture
def a_team() -> Callable[..., AnyJob]:
    def build(*agents: dict[str, Any], sub_agents: list[str], **inline: Any) -> AnyJob:
        root = {"name": "root", "agentClass": "SequentialAgent", "subAgents": sub_agents, "agents": list(agents)}
        return build_job(agent={"model": "gemini-flash-latest", "inline": root | inline})

    return build
