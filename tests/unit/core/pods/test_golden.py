"""Pods and policies to the byte: how they are built may change, what is built only on purpose.

After a wanted change: `GOLDEN=write pytest -n 0 tests/unit/core/pods/test_golden.py`, and look at the diff.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentjobs.api.job.budget import limits_of
from agentjobs.api.job.isolation import EgressRule
from agentjobs.api.job.runtime import Toleration
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.pods.defaults import PodDefaults, Storage
from agentjobs.core.pods.manifests import runner_pod
from agentjobs.core.pods.prerequisites import egress_policy

FOLDER = Path(__file__).parent / "golden"
PLAIN = PodDefaults(gateway_url="https://gateway", image="runner")
FULL = replace(
    PLAIN,
    image_pull_policy="IfNotPresent",
    gateway_ca_bundle="-----BEGIN CERTIFICATE-----",
    resources={"requests": {"cpu": "100m"}},
    node_selector={"pool": "agents"},
    tolerations=(Toleration.model_validate({"key": "agents", "operator": "Exists"}),),
    env={"HTTPS_PROXY": "http://proxy", "HOME": "/home"},
    image_pull_secrets=("registry", "mirror"),
    gateway_egress=(EgressRule.model_validate({"ports": [{"port": 8443}]}),),
    max_llm_calls=500,
    models_url="https://proxy",
    models_egress=(EgressRule.model_validate({"ports": [{"port": 8444}]}),),
    model_aliases={"team/fast": "gemini-x"},
    dns_egress=(EgressRule.model_validate({"ports": [{"port": 53, "protocol": "UDP"}]}),),
)
SPEC: dict[str, Any] = {
    "agent": {"model": "gemini-x", "inline": {"instruction": "Be brief."}},
    "input": {"message": "Hi."},
}
SERVER = {
    "name": "papers",
    "url": "http://papers:8080/mcp",
    "headersFrom": [{"header": "Authorization", "secretKeyRef": {"name": "papers", "key": "token"}}],
}
RUNTIME = {
    "image": "ghcr.io/acme/agent:1",
    "imagePullPolicy": "Always",
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    "env": [
        {"name": "PYTHONUNBUFFERED", "value": "0"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "settings"}}],
    "terminationGracePeriodSeconds": 120,
    "imagePullSecrets": [{"name": "registry"}],
    "labels": {"team": "a"},
    "annotations": {"note": "b"},
    "runAsUser": 1000,
    "fsGroup": 2000,
    "serviceAccountName": "reader",
    "automountServiceAccountToken": True,
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1}],
    "priorityClassName": "low",
    "runtimeClassName": "gvisor",
    "volumes": [{"name": "data", "emptyDir": {}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
}
EVERYTHING = {
    **SPEC,
    "agent": {"model": "gemini-x", "inline": {"instruction": "Be brief.", "mcpServers": [SERVER]}},
    "queue": "scheduled",
    "budget": {"maxCostUSD": "2.50", "maxToolCalls": 10, "onExceeded": "Suspend"},
    "timeouts": {"attempt": "20m", "running": "1h"},
    "session": {"appName": "app", "userId": "u", "sessionId": "s"},
    "runtime": RUNTIME,
}
GIT = {"url": "https://github.com/acme/papers", "ref": "main", "secretRef": {"name": "reader"}}
PUBLISH = {"mode": "PullRequest", "branch": "agents/hello", "secretRef": {"name": "writer"}}
CODING = {
    **SPEC,
    "agent": {"model": "sonnet", "claudeCode": {}},
    "workspace": {"git": GIT, "size": "5Gi", "publish": PUBLISH},
    "runtime": {
        "image": "ghcr.io/acme/agent:1",
        "env": [{"name": "GIT_DIR", "value": "/elsewhere"}],
        "resources": {"limits": {"memory": "2Gi", "nvidia.com/gpu": "1"}},
    },
}
NAMED = {"mode": "Named", "name": "a-worktree-whose-name-is-as-long-as-names-of-labels-can-be"}
OWN = {"container": {"command": ["node"], "args": ["main.js", ""]}}
PODS = {
    "smallest": (SPEC, PLAIN),
    "everything": (EVERYTHING, FULL),
    "defaults": (SPEC, FULL),
    "baseline": ({**SPEC, "isolation": {"profile": "Baseline"}, "runtime": {"runAsUser": 0}}, PLAIN),
    "publishing": (CODING, replace(FULL, git_cache=Storage("10Gi"))),
    "worktree": ({**SPEC, "workspace": {"git": GIT, "worktree": NAMED}}, PLAIN),
    "own-program": (
        {**SPEC, "agent": OWN, "workspace": {"git": {"url": GIT["url"]}}, "runtime": {"image": "own:1"}},
        PLAIN,
    ),
    "authorities-by-path": (SPEC, replace(PLAIN, gateway_ca="/etc/ca.pem")),
}
PEERS = [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}]
RESTRICTED = {**SPEC, "isolation": {"egress": {"mode": "Restricted", "allow": PEERS}}}


def check(name: str, found: dict[str, Any]) -> None:
    path, text = FOLDER / f"{name}.json", json.dumps(found, indent=1) + "\n"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", PODS)
def test_a_pod_equals_the_golden_file(name: str) -> None:
    spec, defaults = PODS[name]
    model = AgentJobSpec.model_validate(spec)

    check(
        name,
        runner_pod(
            namespace="default",
            job="hello",
            uid="uid-1",
            start=2,
            attempt=1,
            ran=3000,
            spec=model,
            defaults=defaults,
            limits=limits_of(model.budget, max_llm_calls=defaults.max_llm_calls),
        ),
    )


def test_a_networkpolicy_equals_the_golden_file() -> None:
    model = AgentJobSpec.model_validate(RESTRICTED)

    check("policy", egress_policy(namespace="default", job="hello", uid="uid-1", spec=model, defaults=FULL))
