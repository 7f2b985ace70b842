"""CustomResourceDefinitions: refusals of a real kube-apiserver, and the kinds of accepted definitions."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver import crds
from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import Kind

ANSWERS = json.loads((Path(__file__).parent / "golden" / "crds.json").read_text())["answers"]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def kinds_of(obj: dict[str, Any]) -> list[Kind]:
    return [resource.kind for resource in crds.resources_of(obj)]


def a_crd(**spec: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "bars", "kind": "Bar", "shortNames": ["b"], "categories": ["all"]}
    return {
        "metadata": {"name": "bars.t.dev"},
        "spec": {"group": "t.dev", "scope": "Namespaced", "names": names, "versions": [version]} | spec,
    }


def completed(crd: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    crd = copy.deepcopy(crd)
    crds.prune(crd)
    crds.complete(crd, old)
    return crd


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer["id"] for answer in ANSWERS])
def test_a_definition_is_refused_as_by_a_real_server(answer: dict[str, Any]) -> None:
    crd = completed(answer["crd"])

    def order(cause: dict[str, str]) -> list[str]:
        return sorted(cause.values())

    assert sorted(crds.check(crd), key=order) == sorted(answer["causes"], key=order)


def with_version(**fields: Any) -> dict[str, Any]:
    crd = a_crd()
    crd["spec"]["versions"][0] |= fields
    return crd


@pytest.mark.parametrize(
    ("crd", "field"),
    [
        pytest.param(a_crd(versions=[]), "spec.versions", id="no-version"),
        pytest.param(with_version(storage=False), "spec.versions", id="no-storage-version"),
        pytest.param(a_crd(conversion={"strategy": "Webhook"}), "spec.conversion.strategy", id="webhook"),
        pytest.param(with_version(subresources={"scale": {}}), "spec.subresources.scale", id="scale"),
        pytest.param(a_crd(group="dev"), "metadata.name", id="other-name"),
        pytest.param(
            with_version(schema={"openAPIV3Schema": {"type": "object", "default": {}}}),
            "spec.validation.openAPIV3Schema.default",
            id="default-at-the-root",
        ),
    ],
)
def test_an_unsupported_feature_is_refused_at_its_field(crd: dict[str, Any], field: str) -> None:
    assert crds.check(completed(crd))[0]["field"] == field


def test_unknown_fields_are_removed_and_named_down_into_the_schema() -> None:
    crd = with_version(
        odd=1, schema={"openAPIV3Schema": {"type": "object", "foo": 1, "properties": {"foo": {"bar": 1}}}}
    )
    base = "spec.versions[0].schema.openAPIV3Schema"

    assert crds.prune(crd) == ["spec.versions[0].odd", f"{base}.foo", f"{base}.properties.foo.bar"]
    assert crds.prune(crd) == []


@pytest.mark.parametrize(
    "crd",
    [
        a_crd(versions="x"),
        a_crd(names=[]),
        a_crd(group=1),
        {"metadata": {}, "spec": 1},
        with_version(schema={"openAPIV3Schema": {"required": "a"}}),
        with_version(schema={"openAPIV3Schema": {"properties": {"a": 1}}}),
        with_version(schema={"openAPIV3Schema": 1}),
    ],
    ids=["versions", "names", "group", "spec", "required", "property", "schema"],
)
def test_a_value_of_the_wrong_type_is_a_bad_request(crd: dict[str, Any]) -> None:
    with pytest.raises(StatusError, match="cannot be handled as a CustomResourceDefinition") as refused:
        crds.prune(crd)

    assert refused.value.code == 400


def test_a_schema_of_any_depth_is_accepted_or_refused() -> None:
    raw: dict[str, Any] = {"type": "string"}
    for _ in range(3_000):
        raw = {"type": "object", "properties": {"a": raw}}

    with pytest.raises(StatusError, match="nested deeper than"):
        crds.prune(with_version(schema={"openAPIV3Schema": raw}))


def test_names_and_stored_versions_are_completed() -> None:
    crd = completed(a_crd())

    assert (crd["spec"]["names"]["singular"], crd["spec"]["names"]["listKind"]) == ("bar", "BarList")
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert crd["status"]["storedVersions"] == ["v1"]


def test_an_accepted_definition_is_established_once() -> None:
    crd = completed(a_crd())
    crds.establish(crd, [], NOW)
    later = completed(a_crd(), old=crd)

    assert crds.establish(later, [], NOW.replace(hour=13))

    conditions = {one["type"]: (one["status"], one["lastTransitionTime"]) for one in later["status"]["conditions"]}
    assert conditions == {
        "NamesAccepted": ("True", "2026-11-21T12:00:00Z"),
        "Established": ("True", "2026-11-21T12:00:00Z"),
    }
    assert later["status"]["acceptedNames"]["plural"] == "bars"


def test_names_in_use_by_another_kind_of_the_group_are_not_accepted() -> None:
    taken = kinds_of(completed(a_crd()))
    names = {"plural": "others", "singular": "other", "kind": "Bar", "shortNames": ["b"]}
    crd = completed(a_crd(names=names) | {"metadata": {"name": "others.t.dev"}})

    assert not crds.establish(crd, taken, NOW)
    assert crd["status"]["conditions"][0]["reason"] == "KindConflict"
    assert crd["status"]["conditions"][1]["status"] == "False"


def test_group_scope_kind_and_stored_versions_cannot_be_changed() -> None:
    old = completed(a_crd())
    new = a_crd(scope="Cluster", names={"plural": "bars", "kind": "Baz"})
    new["spec"]["versions"][0]["name"] = "v2"

    fields = [cause["field"] for cause in crds.check(completed(new, old), old)]

    assert fields == ["spec.scope", "spec.names.kind", "status.storedVersions"]


def test_a_definition_becomes_a_kind_and_a_schema() -> None:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}]
    crd = completed(with_version(subresources={"status": {}}, additionalPrinterColumns=columns))

    (resource,) = crds.resources_of(crd)

    kind = resource.kind
    assert (kind.api_version, kind.plural, kind.short_names, kind.categories) == ("t.dev/v1", "bars", ("b",), ("all",))
    assert kind.status_subresource
    assert [(column.name, column.priority) for column in kind.columns] == [("Name", 0), ("Size", 1)]
    assert resource.schema.prune({"spec": {"size": 1, "x": 1}}) == ["spec.x"]


def test_versions_are_in_the_order_of_discovery() -> None:
    base = a_crd()["spec"]["versions"][0]
    names = ["v1alpha1", "v2", "foo", "v1beta2", "v1", "v10", "v1beta10"]
    versions = [base | {"name": name, "storage": name == "v1"} for name in names]

    kinds = kinds_of(completed(a_crd(versions=versions)))

    assert [kind.version for kind in kinds] == ["v10", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"]


def test_a_version_that_is_not_served_has_no_kind() -> None:
    assert kinds_of(completed(with_version(served=False))) == []


keywords = st.sampled_from(
    ["type", "properties", "items", "anyOf", "not", "default", "enum", "required", "pattern", "foo"]
)
junk = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["object", "array", "string", "("])
schemas = st.recursive(junk, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keywords, inner, max_size=4))


@given(st.dictionaries(keywords, schemas, max_size=4))
def test_any_schema_is_accepted_or_refused_but_never_raises_anything_else(raw: dict[str, Any]) -> None:
    crd = with_version(schema={"openAPIV3Schema": raw})

    outcome = attempt(lambda: crds.check(completed(crd)) or crds.resources_of(completed(crd)))

    assert outcome is not None


def attempt(action: Callable[[], object]) -> object:
    try:
        return action()
    except StatusError as refused:
        return refused
