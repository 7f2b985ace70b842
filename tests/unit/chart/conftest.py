"""The chart through Helm's own engine, as a library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "agentjobs"
TRIAL = {"postgresql": {"enabled": True}}
# CRDs take most of the time of a rendering, so tests render them only when they look at them.
WITH_CRDS, WITHOUT_CRDS = {"crds": {"install": True}}, {"crds": {"install": False}}
# Everything on, so that every template is seen.
FULL: dict[str, Any] = {
    **TRIAL,
    "commonLabels": {"team": "platform"},
    "imagePullSecrets": ["registry"],
    "gateway": {"autoscaling": {"enabled": True}, "extraEnv": [{"name": "A", "value": "b"}]},
    "modelProxy": {"autoscaling": {"enabled": True}, "podAnnotations": {"a": "b"}},
    "models": {
        "providers": [
            {
                "name": "gemini",
                "kind": "Gemini",
                "keys": [
                    {"name": "first", "secretKeyRef": {"name": "models", "key": "gemini"}},
                    {"name": "second", "secretKeyRef": {"name": "others", "key": "gemini"}},
                ],
            }
        ],
    },
    "triggers": [
        {
            "namespace": "engineering",
            "template": "triage",
            "signature": "GitHub",
            "secrets": [{"name": "hooks", "key": "github"}],
            "when": {"action": ["opened"]},
        }
    ],
    "notifications": {
        "sinks": [
            {"name": "chat", "format": "Slack", "urlSecretKeyRef": {"name": "sinks", "key": "chat"}},
            {
                "name": "audit",
                "url": "https://audit.example.com/hooks",
                "signingKeySecretKeyRef": {"name": "audit", "key": "key"},
                "headers": [
                    {"name": "Authorization", "secretKeyRef": {"name": "audit", "key": "token"}},
                    {"name": "X-Team", "value": 'a "b"'},
                ],
                "timeout": "30s",
                "concurrency": 2,
            },
        ],
    },
    "operator": {"priorityClassName": "high", "tolerations": [{"operator": "Exists"}], "podAnnotations": {"a": "b"}},
    "runner": {
        "serviceAccounts": ["reader", "writer"],
        "images": ["ghcr.io/acme/*", "tools:1"],
        "imagePullSecrets": ["pull"],
        "env": {"REGION": "eu", "QUOTED": 'a "b" $(c)'},
        "nodeSelector": {"agents": "yes"},
        "tolerations": [{"key": "agents", "operator": "Exists"}],
    },
    "workspaces": {
        "storageClassName": "ssd",
        "accessModes": ["ReadWriteOncePod"],
        "cache": {"enabled": True, "storageClassName": "nfs"},
    },
    "proxy": {"http": "http://proxy:3128", "https": "http://proxy:3128", "noProxy": ".svc"},
    "dashboard": {
        "enabled": True,
        "publicUrl": "https://agentjobs.example.com",
        "allowedHosts": ["agentjobs.internal"],
        "signIn": {
            "oidc": {
                "issuer": "https://id.example.com/realm",
                "clientId": "agentjobs",
                "clientSecretKeyRef": {"name": "oidc"},
                "caConfigMapKeyRef": {"name": "company-ca"},
                "groupsClaim": "groups",
                "groupsPrefix": "oidc:",
            },
            "headers": {"user": "X-Forwarded-User", "groups": "X-Forwarded-Groups"},
            "trustedProxies": ["10.0.0.0/8"],
        },
        "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "agentjobs-example-com"},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]},
    },
    "networkPolicy": {
        "metricsFrom": [{"namespaceSelector": {}}],
        "dnsEgress": [{"ports": [{"protocol": "UDP", "port": 53}]}],
    },
    "monitoring": {
        "monitors": {"enabled": True},
        "rules": {"enabled": True},
        "labels": {"release": "prometheus"},
        "grafana": {"enabled": True, "folder": "Agents", "annotations": {"team": "platform"}},
    },
}


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """Helm's own way to lay values over each other."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


class Rendered(list[dict[str, Any]]):
    """The objects of one rendering."""

    notes: str

    def of(self, kind: str, end: str = "") -> list[dict[str, Any]]:
        return [obj for obj in self if obj["kind"] == kind and obj["metadata"]["name"].endswith(end)]

    def one(self, kind: str, end: str = "") -> dict[str, Any]:
        (found,) = self.of(kind, end)
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """Every pod template, by kind and name."""
        return {
            f"{obj['kind']}/{obj['metadata']['name']}": obj["spec"]["template"]
            for obj in self
            if "template" in (obj.get("spec") or {})
        }


@pytest.fixture(scope="session")
def helm() -> Any:
    return pytest.importorskip("helm_python", reason="Helm's engine is not installed: pip install 'agentjobs[helm]'")


@pytest.fixture(scope="session")
def chart(helm: Any) -> Any:
    with helm.Chart.load(CHART) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def render(chart: Any) -> Callable[..., Rendered]:
    def rendered(*layers: dict[str, Any], name: str = "agentjobs", namespace: str = "agentjobs-system") -> Rendered:
        found = Rendered()
        values = merged(WITHOUT_CRDS, *layers)
        for path, text in chart.render(values, name=name, namespace=namespace, is_install=True).items():
            if path.endswith("NOTES.txt"):
                found.notes = text
            else:
                found.extend(obj for obj in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if obj)
        return found

    return rendered


@pytest.fixture(scope="session")
def trial(render: Callable[..., Rendered]) -> Rendered:
    return render(TRIAL, WITH_CRDS)


@pytest.fixture(scope="session")
def full(render: Callable[..., Rendered]) -> Rendered:
    return render(FULL, WITH_CRDS)
