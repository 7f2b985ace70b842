"""Requests of kubectl and kopf besides objects: discovery, OpenAPI, tables."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


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


async def test_a_table_has_the_columns_of_its_definition(api, toys, toy):
    await api("POST", toys, toy("a", size=3))

    table = (await api("GET", toys, Accept=TABLE)).body

    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["a", 3]
    assert table["metadata"]["resourceVersion"]


async def test_headers_of_a_watched_table_are_not_repeated(api, toys, toy):
    for name in "ab":
        await api("POST", toys, toy(name))
    admin = {"Authorization": f"Bearer {api.server.token}", "Accept": TABLE}

    async with api.session.get(f"{toys}?watch=true", headers=admin) as watch:
        api.server.close_watches()
        events = [json.loads(line) for line in (await watch.text()).splitlines()]

    assert [bool(event["object"]["columnDefinitions"]) for event in events] == [True, False]
    assert [event["object"]["rows"][0]["cells"][0] for event in events] == ["a", "b"]


async def test_a_new_kind_is_discovered_immediately(api, toys):
    aggregated = await api("GET", "/apis", Accept=AGGREGATED)
    legacy = await api("GET", "/apis/example.dev/v1")

    assert "example.dev" in [item["metadata"]["name"] for item in aggregated.body["items"]]
    assert aggregated.headers["Content-Type"].startswith("application/json;g=apidiscovery.k8s.io")
    assert [item["name"] for item in legacy.body["resources"]] == ["toys", "toys/status"]


async def test_openapi_names_field_validation_which_kubectl_apply_looks_for(api, toys):
    index = (await api("GET", "/openapi/v3")).body["paths"]

    document = (await api("GET", index["apis/example.dev/v1"]["serverRelativeURL"])).body

    path = document["paths"]["/apis/example.dev/v1/namespaces/{namespace}/toys/{name}"]
    assert "fieldValidation" in [parameter["name"] for parameter in path["patch"]["parameters"]]


async def test_a_deleted_kind_is_no_longer_discovered(api, toys):
    await api("DELETE", f"{api.crds}/toys.example.dev")

    assert (await api("GET", "/apis/example.dev/v1")).code == 404


async def test_cel_rules_are_evaluated(api, crd):
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.size < 5", "message": "too big"}]

    made = await api("POST", api.crds, crd)

    toy = {"apiVersion": "example.dev/v1", "kind": "Toy", "metadata": {"name": "big"}, "spec": {"size": 7}}
    refused = await api("POST", "/apis/example.dev/v1/namespaces/default/toys", toy)

    assert (made.code, refused.code) == (201, 422)
    assert refused.body["details"]["causes"][0]["message"] == "Invalid value: too big"


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
