"""Discovery and OpenAPI, which kubectl and other clients read first."""

import json
from pathlib import Path
from typing import Any

import pytest

from devcluster.apiserver import builtin_schemas, discovery, openapi
from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import BUILTIN, STATUS_VERBS, Kind, Subresource, version_order

RESOURCES = json.loads((Path(__file__).parent / "golden" / "discovery.json").read_text())["resources"]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
KUBECTL = f"{AGGREGATED.format('v2')},{AGGREGATED.format('v2beta1')},application/json"

BAR = Kind(
    "example.com",
    "v1",
    "bars",
    "bar",
    "Bar",
    short_names=("b",),
    categories=("all",),
    subresources=(Subresource("status", "Bar", STATUS_VERBS),),
    custom=True,
)
OLD_BAR = Kind("example.com", "v1beta1", "bars", "bar", "Bar", custom=True)
KINDS = (*BUILTIN, OLD_BAR, BAR)
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}


def document(path: str, accept: str = "*/*") -> dict[str, Any]:
    found = discovery.document(path, accept, KINDS)
    assert found is not None
    return json.loads(found[0])


def aggregated(path: str) -> dict[tuple[str, str], dict[str, Any]]:
    groups = document(path, KUBECTL)["items"]
    return {
        (group["metadata"].get("name", ""), resource["resource"]): resource
        for group in groups
        for version in group["versions"]
        for resource in version["resources"]
    }


# The real server has subresources that this one does not have: exec, proxy, eviction and others.
@pytest.mark.parametrize("resource", RESOURCES, ids=[resource["resource"] for resource in RESOURCES])
def test_a_built_in_resource_is_described_as_by_a_real_server(resource: dict[str, Any]) -> None:
    ours = aggregated("/apis" if resource["group"] else "/api")[resource["group"], resource["resource"]]
    theirs = {key: value for key, value in resource.items() if key not in ("group", "subresources", "responseKind")}

    assert {key: value for key, value in ours.items() if key not in ("subresources", "responseKind")} == theirs
    for one in ours.get("subresources", []):
        (match,) = (other for other in resource["subresources"] if other["subresource"] == one["subresource"])
        assert (one["verbs"], one["responseKind"]["kind"]) == (match["verbs"], match["responseKind"]["kind"])


@pytest.mark.parametrize(
    ("accept", "content_type", "kind"),
    [
        (KUBECTL, AGGREGATED.format("v2"), "APIGroupDiscoveryList"),
        (f"{AGGREGATED.format('v2beta1')},application/json", AGGREGATED.format("v2beta1"), "APIGroupDiscoveryList"),
        ("application/json", "application/json", "APIGroupList"),
        ("application/json, */*", "application/json", "APIGroupList"),
        ("*/*", "application/json", "APIGroupList"),
        ("", "application/json", "APIGroupList"),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json", "APIGroupList"),
        (f"{AGGREGATED.format('v9')},application/json", "application/json", "APIGroupList"),
    ],
)
def test_the_first_type_that_is_served_is_the_answer(accept: str, content_type: str, kind: str) -> None:
    found = discovery.document("/apis", accept, KINDS)

    assert found is not None
    assert (json.loads(found[0])["kind"], found[1]) == (kind, content_type)


def test_a_type_that_is_not_served_is_refused() -> None:
    with pytest.raises(StatusError) as refused:
        discovery.document("/apis", "text/html", KINDS)

    assert refused.value.code == 406


def test_a_group_prefers_its_stable_version() -> None:
    group = document("/apis/example.com")

    assert [version["version"] for version in group["versions"]] == ["v1", "v1beta1"]
    assert group["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}
    assert document("/apis")["groups"][-1]["name"] == "example.com"


def test_legacy_discovery_lists_resources_and_subresources() -> None:
    resources = {one["name"]: one for one in document("/apis/example.com/v1")["resources"]}

    assert resources["bars"]["shortNames"] == ["b"]
    assert resources["bars"]["categories"] == ["all"]
    assert resources["bars/status"]["verbs"] == list(STATUS_VERBS)
    token = next(one for one in document("/api/v1")["resources"] if one["name"] == "serviceaccounts/token")
    assert (token["group"], token["kind"]) == ("authentication.k8s.io", "TokenRequest")


@pytest.mark.parametrize(
    "path", ["/apis/nope", "/apis/example.com/v9", "/api/v2", "/", "/healthz", "/apis/a/b/c", "/apis/"]
)
def test_other_paths_have_no_document(path: str) -> None:
    assert discovery.document(path, "*/*", KINDS) is None


def test_the_version_is_one_that_kubectl_can_read() -> None:
    version = document("/version")

    assert (version["major"], version["minor"]) == ("1", "36")
    assert version["gitVersion"].startswith("v1.36.")


def test_versions_sort_by_stability_and_then_by_number() -> None:
    names = ["v1alpha1", "v2", "foo", "v1beta2", "v1", "v10", "v1beta10"]

    assert sorted(names, key=version_order) == ["v10", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"]


SCHEMAS: dict[Kind, dict[str, Any] | None] = {**dict.fromkeys(BUILTIN), BAR: SCHEMA}


def openapi_document(path: str) -> dict[str, Any]:
    found = openapi.document(path, SCHEMAS)
    assert found is not None
    return json.loads(found[0])


def test_the_index_lists_every_group_version() -> None:
    paths = openapi_document("/openapi/v3")["paths"]

    assert {"api/v1", "apis/example.com/v1"} <= set(paths)
    for entry in paths.values():
        assert openapi.document(entry["serverRelativeURL"].partition("?")[0], SCHEMAS) is not None


def test_the_address_of_a_document_changes_with_its_schema() -> None:
    changed = {**SCHEMAS, BAR: {"type": "object"}}
    before, after = (openapi.index(schemas)["paths"] for schemas in (SCHEMAS, changed))

    assert before["apis/example.com/v1"] != after["apis/example.com/v1"]
    assert before["api/v1"] == after["api/v1"]


def test_kubectl_finds_that_patches_are_validated_here() -> None:
    paths = openapi_document("/openapi/v3/apis/example.com/v1")["paths"]
    patch = paths["/apis/example.com/v1/namespaces/{namespace}/bars/{name}"]["patch"]

    assert "fieldValidation" in [one["name"] for one in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "example.com", "version": "v1", "kind": "Bar"}
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]


def test_explain_finds_the_schema_with_its_kind() -> None:
    components = openapi_document("/openapi/v3/apis/example.com/v1")["components"]["schemas"]
    schema = components["com.example.v1.Bar"]

    assert schema["properties"]["spec"] == SCHEMA["properties"]["spec"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Bar"}]
    reference = schema["properties"]["metadata"]["allOf"][0]["$ref"].removeprefix("#/components/schemas/")
    assert "labels" in components[reference]["properties"]
    assert "properties" in SCHEMA
    assert "metadata" not in SCHEMA["properties"]


def test_every_built_in_kind_is_known_in_depth() -> None:
    known = builtin_schemas.load()

    assert set(known.kinds) == set(BUILTIN)
    for kind, schema in known.kinds.items():
        assert "V1ObjectMeta" in known.behind(schema), kind.kind
    assert '"anyOf": [' not in json.dumps([dict(known.components), list(known.kinds.values())])


def test_kubectl_merges_lists_by_the_keys_the_server_merges_them_by() -> None:
    components = openapi_document("/openapi/v3/api/v1")["components"]["schemas"]
    finalizers = components["V1ObjectMeta"]["properties"]["finalizers"]
    volumes, env = (
        components[model]["properties"][field] for model, field in (("V1PodSpec", "volumes"), ("V1Container", "env"))
    )
    said = [
        (each["x-kubernetes-patch-strategy"], each.get("x-kubernetes-patch-merge-key"))
        for each in (finalizers, volumes, env)
    ]

    assert said == [("merge", None), ("merge,retainKeys", "name"), ("merge", "name")]
    assert components["V1EnvVar"]["required"] == ["name"]
    assert components["V1HTTPGetAction"]["properties"]["port"]["format"] == "int-or-string"
    assert "openapi_types" not in json.dumps(components)


def test_the_old_document_is_an_empty_protobuf_message() -> None:
    assert openapi.document("/openapi/v2", SCHEMAS) == (
        b"",
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    )


@pytest.mark.parametrize("path", ["/openapi/v3/apis/nope/v1", "/openapi/v3/", "/openapi", "/openapi/v4"])
def test_an_unknown_document_is_none(path: str) -> None:
    assert openapi.document(path, SCHEMAS) is None
