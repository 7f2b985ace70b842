"""`kubectl apply` and `agentjobs apply` agree on whether an object has changed."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import pytest_asyncio

from agentjobs.cli.app import run
from agentjobs.cli.manifests import LAST_APPLIED
from devcluster.apiserver import ApiServer
from devcluster.client import CRDS, Client, Resource

TOYS = Resource("example.dev", "v1", "toys", "Toy")
SPEC = {"type": "object", "properties": {"size": {"type": "integer"}, "color": {"type": "string"}}}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "toys.example.dev"},
    "spec": {
        "group": "example.dev",
        "scope": "Namespaced",
        "names": {"plural": "toys", "singular": "toy", "kind": "Toy", "listKind": "ToyList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
            }
        ],
    },
}
FILE = """
apiVersion: example.dev/v1
kind: Toy
metadata:
  name: hard
  labels: {b: "1", a: "2"}
  annotations:
    note: "<b>&'quoted' \\t \\a \\u2028 \\ufeff é \\U0001F600"
spec: {size: 1.0, color: red}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: hard
  annotations: null
data:
  1: |
    one
  on: "a > b"
---
apiVersion: v1
kind: Namespace
metadata: {name: hard}
"""


@pytest_asyncio.fixture
async def server(backend, tmp_path):
    if backend != "embedded":
        pytest.skip("one server is enough; devcluster's conformance tests compare ours with a real one")
    async with ApiServer(tmp_path / "server") as running:
        yield running


@pytest_asyncio.fixture
async def client(server):
    async with Client(server.url, token=server.token, ca=server.ca) as connected:
        await connected.create(CRDS, None, CRD)
        yield connected


@pytest.fixture
def kubectl(server, tmp_path):
    """Run kubectl; return all lines of its output, with warnings."""
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/nonexistent") / "kubectl"
    program = assets if assets.exists() else shutil.which("kubectl")
    if not program:
        pytest.skip("there is no kubectl, neither in KUBEBUILDER_ASSETS nor in PATH")

    async def call(*arguments):
        environment = {"KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path)}
        done = await asyncio.to_thread(
            subprocess.run, [program, *arguments], env=environment, capture_output=True, text=True, timeout=60
        )
        return (done.stdout + done.stderr).splitlines()

    return call


@pytest.fixture
def agentjobs(server, capfd, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))

    def left(arguments):
        with pytest.raises(SystemExit):
            run(list(arguments))

    async def call(*arguments):
        await asyncio.to_thread(left, arguments)
        return "".join(capfd.readouterr()).splitlines()

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "hard.yaml"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("first", ["kubectl", "agentjobs"])
async def test_kubectl_and_our_apply_agree_that_a_file_is_unchanged(first, kubectl, agentjobs, file, client):
    programs = [kubectl, agentjobs] if first == "kubectl" else [agentjobs, kubectl]
    shown = ["toy.example.dev/hard", "configmap/hard", "namespace/hard"]

    assert await programs[0]("apply", "-f", file) == [f"{name} created" for name in shown]
    for program in (programs[1], programs[0]):
        assert await program("apply", "-f", file) == [f"{name} unchanged" for name in shown]

    remembered = (await client.get(TOYS, "default", "hard"))["metadata"]["annotations"][LAST_APPLIED]
    assert remembered.startswith(
        '{"apiVersion":"example.dev/v1","kind":"Toy","metadata":{"annotations":{"note":"\\u003cb'
    )
    assert remembered.endswith('"name":"hard","namespace":"default"},"spec":{"color":"red","size":1}}\n')
