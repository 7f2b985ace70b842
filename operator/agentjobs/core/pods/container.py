"""The runner's container, as a plain dict: image, environment, resources, security and mounts, each a function."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from agentjobs.api.job.agent import Agent
from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import (
    ENGINE_ADK,
    ENV_ENGINE,
    ENV_GATEWAY_CA,
    ENV_GATEWAY_URL,
    ENV_GRACE_SECONDS,
    ENV_JOB,
    ENV_MODEL_ALIASES,
    ENV_MODELS_URL,
    ENV_NAMESPACE,
    ENV_START,
    ENV_TERMINATION_FILE,
    ENV_TOKEN_FILE,
    GATEWAY_CA_FILE,
    RUNNER_COMMAND,
    RUNNER_CONTAINER,
    TERMINATION_FILE,
    TOKEN_MOUNT,
    mcp_header_variable,
)
from agentjobs.core.pods.defaults import PodDefaults


def runner_container(
    *, namespace: str, job: str, start: int, spec: AgentJobSpec, defaults: PodDefaults
) -> dict[str, Any]:
    """Return the container in which the agent of start `start` of a job runs."""
    runtime = spec.runtime
    place = {ENV_NAMESPACE: namespace, ENV_JOB: job, ENV_START: str(start), ENV_ENGINE: ENGINE_ADK}
    return {
        "name": RUNNER_CONTAINER,
        "image": runtime.image or defaults.image,
        "command": list(RUNNER_COMMAND),
        "env": _environment(place, spec, defaults),
        "resources": _resources(runtime, defaults),
        "securityContext": _security(spec),
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(runtime),
        "envFrom": dumped(runtime.env_from),
        **_pull_policy(runtime, defaults),
    }


def dumped(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """Return models as they stand in a pod."""
    return [model.model_dump(by_alias=True, exclude_none=True) for model in models]


def _environment(place: Mapping[str, str], spec: AgentJobSpec, defaults: PodDefaults) -> list[dict[str, Any]]:
    """Ours last: of two variables of one name the last counts."""
    ours = _ours(place, spec.runtime, defaults)
    theirs = dumped([item for item in spec.runtime.env if item.name not in ours])
    names = {item["name"] for item in theirs}
    # The root is read-only, and libraries want a home for their caches.
    usual = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", **defaults.env}  # noqa: S108  the pod's own emptyDir
    left = {name: value for name, value in usual.items() if name not in names and name not in ours}
    return [*_variables(left), *theirs, *_mcp_headers(spec.agent), *_variables(ours)]


def _ours(place: Mapping[str, str], runtime: Runtime, defaults: PodDefaults) -> dict[str, str]:
    """The variables by which a runner finds its gateway and its models, and knows its start."""
    authorities = GATEWAY_CA_FILE if defaults.gateway_authorities else defaults.gateway_ca
    return {
        ENV_GATEWAY_URL: defaults.gateway_url,
        ENV_TOKEN_FILE: f"{TOKEN_MOUNT}/token",
        **place,
        ENV_TERMINATION_FILE: TERMINATION_FILE,
        ENV_GRACE_SECONDS: str(runtime.termination_grace_period_seconds),
        **({ENV_GATEWAY_CA: authorities} if authorities else {}),
        **({ENV_MODELS_URL: defaults.models_url} if defaults.models_url else {}),
        **({ENV_MODEL_ALIASES: _aliases(defaults)} if defaults.model_aliases else {}),
    }


def _aliases(defaults: PodDefaults) -> str:
    return json.dumps(dict(defaults.model_aliases), sort_keys=True, separators=(",", ":"))


def _resources(runtime: Runtime, defaults: PodDefaults) -> dict[str, Any]:
    if runtime.resources is None:
        return dict(defaults.resources)
    return runtime.resources.model_dump(by_alias=True, exclude_none=True)


def _mounts(runtime: Runtime) -> list[dict[str, Any]]:
    return [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
        {"name": "token", "mountPath": TOKEN_MOUNT, "readOnly": True},
        *dumped(runtime.volume_mounts),
    ]


def _pull_policy(runtime: Runtime, defaults: PodDefaults) -> dict[str, str]:
    """The installation's policy is about the installation's image."""
    policy = runtime.image_pull_policy or (None if runtime.image else defaults.image_pull_policy)
    return {"imagePullPolicy": policy} if policy else {}


def _security(spec: AgentJobSpec) -> dict[str, Any]:
    if spec.isolation.profile == "Baseline":
        return {"allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _mcp_headers(agent: Agent) -> list[dict[str, Any]]:
    """The secret headers of tool servers, for the kubelet to fill in."""
    members = () if agent.inline is None else (agent.inline, *agent.inline.agents)
    return [
        {
            "name": mcp_header_variable(place, server_place, header_place),
            "valueFrom": {"secretKeyRef": header.secret_key_ref.model_dump()},
        }
        for place, member in enumerate(members)
        for server_place, server in enumerate(member.mcp_servers)
        for header_place, header in enumerate(server.headers_from)
    ]


def _variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
