"""The runner's container, as a plain dict: image, environment, resources, security and mounts, each a function.

A job's own program (`agent.container`) runs in it instead of our runner, with the image's command or its own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from agentjobs.api.job.agent import Agent
from agentjobs.api.job.runtime import Runtime
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.contract import (
    ENGINE_ADK,
    ENGINE_CLAUDE_CODE,
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
    ENV_WORKSPACE,
    GATEWAY_CA_FILE,
    RUNNER_COMMAND,
    RUNNER_CONTAINER,
    TERMINATION_FILE,
    TOKEN_MOUNT,
    TREE,
    WORKSPACE_MOUNT,
    WORKSPACE_VOLUME,
    mcp_header_variable,
)
from agentjobs.core.pods.defaults import PodDefaults

RESTRICTED: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def start_variables(namespace: str, job: str, start: int) -> dict[str, str]:
    """Return the variables that identify the start to a container."""
    return {ENV_NAMESPACE: namespace, ENV_JOB: job, ENV_START: str(start)}


def runner_container(place: Mapping[str, str], spec: AgentJobSpec, defaults: PodDefaults) -> dict[str, Any]:
    """Return the container in which the agent of a start runs."""
    runtime = spec.runtime
    return {
        "name": RUNNER_CONTAINER,
        "image": runtime.image or defaults.image,
        **_command(spec),
        "env": _environment({**place, **_engine(spec.agent)}, spec, defaults),
        "resources": resources_of(runtime, defaults),
        "securityContext": _security(spec),
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(spec),
        "envFrom": dumped(runtime.env_from),
        **pull_policy(runtime, defaults),
    }


def _command(spec: AgentJobSpec) -> dict[str, Any]:
    own = spec.agent.container
    if own is None:
        # Python imports modules from the working directory, so the runner never starts in a checkout.
        return {"command": list(RUNNER_COMMAND)}
    folder = {"workingDir": f"{WORKSPACE_MOUNT}/{TREE}"} if spec.workspace is not None else {}
    command = {"command": list(own.command)} if own.command else {}
    return {**command, **({"args": list(own.args)} if own.args else {}), **folder}


def _engine(agent: Agent) -> dict[str, str]:
    if agent.container is not None:
        return {}
    return {ENV_ENGINE: ENGINE_ADK if agent.claude_code is None else ENGINE_CLAUDE_CODE}


def dumped(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """Return models in the form of a pod."""
    return [model.model_dump(by_alias=True, exclude_none=True) for model in models]


def _environment(place: Mapping[str, str], spec: AgentJobSpec, defaults: PodDefaults) -> list[dict[str, Any]]:
    """Return the environment; our variables come last, because the last of two equal names wins."""
    ours = {**_ours(place, spec.runtime, defaults), **_models(defaults)}
    if spec.workspace is not None:
        ours[ENV_WORKSPACE] = WORKSPACE_MOUNT
    theirs = dumped([item for item in spec.runtime.env if item.name not in ours])
    names = {item["name"] for item in theirs}
    left = {name: value for name, value in _usual(defaults).items() if name not in names and name not in ours}
    return [*_variables(left), *theirs, *_mcp_headers(spec.agent), *_variables(ours)]


def installation_environment(place: Mapping[str, str], runtime: Runtime, defaults: PodDefaults) -> list[dict[str, Any]]:
    """Return the variables of our containers other than the agent's: none from the job."""
    ours = _ours(place, runtime, defaults)
    left = {name: value for name, value in _usual(defaults).items() if name not in ours}
    return [*_variables(left), *_variables(ours)]


def _usual(defaults: PodDefaults) -> dict[str, str]:
    """Return a writable home, because the root is read-only and libraries cache files there."""
    return {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", **defaults.env}  # noqa: S108  the pod's own emptyDir


def _ours(place: Mapping[str, str], runtime: Runtime, defaults: PodDefaults) -> dict[str, str]:
    """Return the variables for the gateway and the start."""
    ca_bundle = GATEWAY_CA_FILE if defaults.gateway_ca_bundle else defaults.gateway_ca
    return {
        ENV_GATEWAY_URL: defaults.gateway_url,
        ENV_TOKEN_FILE: f"{TOKEN_MOUNT}/token",
        **place,
        ENV_TERMINATION_FILE: TERMINATION_FILE,
        ENV_GRACE_SECONDS: str(runtime.termination_grace_period_seconds),
        **({ENV_GATEWAY_CA: ca_bundle} if ca_bundle else {}),
    }


def _models(defaults: PodDefaults) -> dict[str, str]:
    return {
        **({ENV_MODELS_URL: defaults.models_url} if defaults.models_url else {}),
        **({ENV_MODEL_ALIASES: _aliases(defaults)} if defaults.model_aliases else {}),
    }


def _aliases(defaults: PodDefaults) -> str:
    return json.dumps(dict(defaults.model_aliases), sort_keys=True, separators=(",", ":"))


def resources_of(runtime: Runtime, defaults: PodDefaults) -> dict[str, Any]:
    """Return requests and limits of the agent's container."""
    if runtime.resources is None:
        return dict(defaults.resources)
    return runtime.resources.model_dump(by_alias=True, exclude_none=True)


def _mounts(spec: AgentJobSpec) -> list[dict[str, Any]]:
    files = [] if spec.workspace is None else [{"name": WORKSPACE_VOLUME, "mountPath": WORKSPACE_MOUNT}]
    return [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own emptyDir
        {"name": "token", "mountPath": TOKEN_MOUNT, "readOnly": True},
        *files,
        *dumped(spec.runtime.volume_mounts),
    ]


def pull_policy(runtime: Runtime | None, defaults: PodDefaults) -> dict[str, str]:
    """Return the pull policy; the installation's only applies to the installation's image."""
    policy = defaults.image_pull_policy
    if runtime is not None:
        policy = runtime.image_pull_policy or (None if runtime.image else policy)
    return {"imagePullPolicy": policy} if policy else {}


def _security(spec: AgentJobSpec) -> dict[str, Any]:
    if spec.isolation.profile == "Baseline":
        return {"allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}
    return dict(RESTRICTED)


def _mcp_headers(agent: Agent) -> list[dict[str, Any]]:
    """Return the secret headers of MCP servers, as references for the kubelet."""
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
