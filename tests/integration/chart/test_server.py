"""A real API server takes every object the chart makes, to the last field, and Helm keeps over upgrades what it made.

What the chart makes for operators that are not here (cert-manager, Prometheus) is looked at in tests/unit/chart.
"""

import base64
import copy
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentjobs.dev.backends import Server
from devcluster.client import Client, Resource
from devcluster.envtest import ASSETS

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("chart"),
    pytest.mark.skipif(not os.environ.get(ASSETS), reason=f"{ASSETS} is unset: it names a real API server to ask"),
]
CHART = Path(__file__).parents[3] / "helm" / "agentjobs"
TRIAL = {"postgresql": {"enabled": True}}
EVERYTHING: dict[str, Any] = {
    "postgresql": {"enabled": True, "nodeSelector": {"disk": "ssd"}},
    "commonLabels": {"team": "platform"},
    "imagePullSecrets": ["registry"],
    "gateway": {"autoscaling": {"enabled": True}, "extraVolumes": [{"name": "x", "emptyDir": {}}]},
    "modelProxy": {"autoscaling": {"enabled": True}, "extraVolumes": [{"name": "x", "emptyDir": {}}]},
    "models": {
        "providers": [
            {"name": "a", "kind": "Gemini", "keys": [{"name": "k", "secretKeyRef": {"name": "models", "key": "k"}}]}
        ]
    },
    "operator": {
        "priorityClassName": "high",
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
    },
    "networkPolicy": {"gatewayFrom": [{"namespaceSelector": {}}], "metricsFrom": [{"podSelector": {}}]},
}
SECRETS = Resource("", "v1", "secrets", "Secret")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)


@pytest.fixture(scope="module")
def helm() -> Any:
    return pytest.importorskip("helm_python", reason="Helm's engine is not installed: pip install 'agentjobs[helm]'")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(real_server: Server) -> AsyncIterator[Client]:
    async with Client(real_server.url, token=real_server.token, ca=real_server.ca) as made:
        yield made


async def a_namespace(client: Client, name: str) -> str:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    await client.create(NAMESPACES, None, {"metadata": {"name": name, "labels": labels}})
    return name


def apply(server: Server, text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [Path(os.environ[ASSETS]) / "kubectl", f"--kubeconfig={server.kubeconfig}", "apply", "-f", "-"]
    more = ["--server-side", "--force-conflicts", "--cache-dir=/tmp/agentjobs-kubectl", *options]
    return subprocess.run([*command, *more], input=text, capture_output=True, text=True)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(TRIAL, id="trial"),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param({**TRIAL, "watchedNamespaces": ["default"]}, id="some-namespaces"),
        pytest.param(
            {"database": {"existingSecret": "db"}, "tls": {"mode": "Secret", "secretName": "mine"}}, id="own-everything"
        ),
    ],
)
async def test_all_fields_are_known_and_all_pods_meet_the_restricted_standard(
    helm, real_server, client, values, request
):
    namespace = await a_namespace(client, f"chart-{request.node.callspec.id}")
    with helm.Chart.load(CHART) as chart:
        made = chart.render(values, name=namespace, namespace=namespace, is_install=True)
    text = "\n---\n".join(manifest for path, manifest in made.items() if not path.endswith("NOTES.txt"))

    done = apply(real_server, text, "--dry-run=server", "--validate=strict")

    # The server warns of pod templates that the namespace's level would refuse.
    warnings = [line for line in done.stderr.splitlines() if line.startswith("Warning:")]
    assert (done.returncode, warnings) == (0, []), done.stderr


async def test_an_upgrade_keeps_password_ca_and_certificate_unless_they_are_to_be_replaced(helm, real_server, client):
    namespace = await a_namespace(client, "chart-upgrade")
    kept = {"crds": {"install": False}, **TRIAL}
    names = ["chart-upgrade-agentjobs-postgresql", "chart-upgrade-agentjobs-gateway-authority"]

    async def secret(name: str) -> Any:
        return (await client.get(SECRETS, namespace, name))["data"]

    with helm.Config(kubeconfig_path=real_server.kubeconfig, namespace=namespace) as config:
        config.install(CHART, "chart-upgrade", kept, timeout=60)
        first = [await secret(name) for name in [*names, "chart-upgrade-agentjobs-gateway-tls"]]
        config.upgrade(CHART, "chart-upgrade", kept | {"gateway": {"replicas": 3}}, timeout=60)
        second = [await secret(name) for name in [*names, "chart-upgrade-agentjobs-gateway-tls"]]
        config.upgrade(CHART, "chart-upgrade", kept | {"tls": {"renew": True}}, timeout=60)
        renewed = [await secret(name) for name in [*names, "chart-upgrade-agentjobs-gateway-tls"]]
        config.upgrade(CHART, "chart-upgrade", kept | {"tls": {"extraNames": ["gateway.example.com"]}}, timeout=60)
        renamed = [await secret(name) for name in [*names, "chart-upgrade-agentjobs-gateway-tls"]]

    assert first == second
    assert renewed[:2] == renamed[:2] == first[:2]
    assert len({json.dumps(one[2]) for one in (second, renewed, renamed)}) == 3
    assert b"agentjobs" in base64.b64decode(first[0]["url"])


async def test_a_certificate_in_its_last_third_is_renewed(helm, real_server, client):
    namespace = await a_namespace(client, "chart-renew")
    values = {"crds": {"install": False}, **TRIAL}
    name = "chart-renew-agentjobs-gateway-tls"

    with helm.Config(kubeconfig_path=real_server.kubeconfig, namespace=namespace) as config:
        config.install(CHART, "chart-renew", values, timeout=60)
        before = await client.get(SECRETS, namespace, name)
        due = copy.deepcopy(before)
        due["metadata"]["annotations"]["agentjobs.dev/renew-after"] = "2020-01-01"
        # Under Helm's own name, or it would take the change for someone else's.
        (manager,) = {field["manager"] for field in due["metadata"].pop("managedFields")}
        assert apply(real_server, json.dumps(due), f"--field-manager={manager}").returncode == 0
        config.upgrade(CHART, "chart-renew", values, timeout=60)
        after = await client.get(SECRETS, namespace, name)

    assert after["data"] != before["data"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
