"""`kubectl apply` and `agentjobs apply` take turns on one file, and leave it as the other did."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agentjobs.cli.app import run
from agentjobs.cli.manifests import LAST_APPLIED

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


@pytest.fixture
def kubectl(server, tmp_path):
    """Run kubectl; return what it says of each object, whole, so that warnings are seen."""
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
async def test_an_unchanged_file_is_unchanged_to_both(first, kubectl, agentjobs, file, toys, api):
    programs = [kubectl, agentjobs] if first == "kubectl" else [agentjobs, kubectl]
    shown = ["toy.example.dev/hard", "configmap/hard", "namespace/hard"]

    assert await programs[0]("apply", "-f", file) == [f"{name} created" for name in shown]
    for program in (programs[1], programs[0]):
        assert await program("apply", "-f", file) == [f"{name} unchanged" for name in shown]

    remembered = (await api("GET", f"{toys}/hard")).body["metadata"]["annotations"][LAST_APPLIED]
    assert remembered.startswith(
        '{"apiVersion":"example.dev/v1","kind":"Toy","metadata":{"annotations":{"note":"\\u003cb'
    )
    assert remembered.endswith('"name":"hard","namespace":"default"},"spec":{"color":"red","size":1}}\n')


async def test_kubectl_patches_built_in_kinds_without_a_warning(kubectl, tmp_path, api):
    (tmp_path / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1', b: '2'}\n")
    (tmp_path / "two.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '3'}\n")
    await kubectl("apply", "-f", str(tmp_path / "one.yaml"))

    assert await kubectl("apply", "-f", str(tmp_path / "two.yaml")) == ["configmap/c configured"]
    assert (await api("GET", f"{api.core}/configmaps/c")).body["data"] == {"a": "3"}


async def test_kubectl_explains_built_in_and_custom_kinds_in_depth(kubectl, toys):
    pod = await kubectl("explain", "pod.spec.containers.env.valueFrom.secretKeyRef")
    finalizers = await kubectl("explain", "toy.metadata.finalizers")

    assert "  key\t<string> -required-" in pod
    assert finalizers[:4] == ["GROUP:      example.dev", "KIND:       Toy", "VERSION:    v1", ""]
    assert "FIELD: finalizers <[]string>" in finalizers
