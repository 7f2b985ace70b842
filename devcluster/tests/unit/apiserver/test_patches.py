"""Patches: the properties of RFC 7396 and 6902, and the lists of strategic merge patches."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import CONFIG_MAP, NODE, POD
from devcluster.apiserver.patches import PatchTestFailed, json_patch, merge_patch, strategic_merge

keys = st.sampled_from(["a", "b", "c"])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3))
objects = st.dictionaries(keys, values, max_size=3)


@given(objects, objects)
def test_a_merge_patch_changes_neither_target_nor_patch(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((target, patch))

    merge_patch(target, patch)

    assert (target, patch) == before


@given(objects, objects)
def test_a_merge_patch_applied_twice_is_applied_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once


@given(objects)
def test_an_empty_merge_patch_changes_nothing(target: dict[str, Any]) -> None:
    assert merge_patch(target, {}) == target


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        pytest.param({"a": 1}, {"a": None}, {}, id="null-removes"),
        pytest.param({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, id="lists-are-replaced"),
        pytest.param(
            {"a": "x"}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}, id="objects-replace-scalars-without-nulls"
        ),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}, id="siblings-stay"),
        pytest.param({}, {"a": [None]}, {"a": [None]}, id="nulls-in-lists-stay"),
    ],
)
def test_a_merge_patch_follows_rfc_7396(target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert merge_patch(target, patch) == result


def test_a_merge_patch_of_any_depth_does_not_overflow_the_stack() -> None:
    patch: dict[str, Any] = {}
    for _ in range(5_000):
        patch = {"a": patch}

    assert "a" in merge_patch({}, patch)


@pytest.mark.parametrize("patch", [None, 1, "x", [], True], ids=repr)
def test_a_merge_patch_must_be_an_object(patch: object) -> None:
    with pytest.raises(StatusError, match="expected a JSON object") as refused:
        merge_patch({}, patch)

    assert refused.value.code == 400


def test_a_json_patch_applies_in_order_and_does_not_change_its_target() -> None:
    target = {"metadata": {"finalizers": ["a"]}}

    result = json_patch(
        target,
        [
            {"op": "test", "path": "/metadata/finalizers", "value": ["a"]},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "b"},
            {"op": "remove", "path": "/metadata/finalizers/0"},
        ],
    )

    assert result == {"metadata": {"finalizers": ["b"]}}
    assert target == {"metadata": {"finalizers": ["a"]}}


def test_a_failed_test_operation_is_an_error_of_its_own_with_422() -> None:
    operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]

    with pytest.raises(PatchTestFailed) as refused:
        json_patch({"metadata": {"resourceVersion": "2"}}, operations)

    assert refused.value.code == 422
    assert refused.value.reason == "Invalid"


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        pytest.param({}, 400, id="no-list"),
        pytest.param([1], 400, id="no-operation"),
        pytest.param([{"op": "remove", "path": "/x"}], 422, id="remove-of-nothing"),
        pytest.param([{"op": "add", "path": "/x/y", "value": 1}], 422, id="no-parent"),
        pytest.param([{"op": "bad", "path": "/x"}], 422, id="unknown-operation"),
        pytest.param([{"path": "/x"}], 422, id="no-operation-name"),
        pytest.param([{"op": "add", "path": "x", "value": 1}], 422, id="no-pointer"),
        pytest.param([{"op": "add", "path": "/x"}], 422, id="no-value"),
        pytest.param([{"op": "copy", "path": "/x", "from": "/q"}], 422, id="copy-of-nothing"),
        pytest.param([{"op": "replace", "path": "", "value": 3}], 422, id="no-object-left"),
        pytest.param([{"op": "add", "path": "/a/9", "value": 3}], 422, id="outside-of-the-list"),
        pytest.param([{"op": "test", "path": "/a/b/c", "value": 3}], 422, id="path-through-a-list"),
        pytest.param([{"op": "test", "path": "/b", "value": 3}] * 10_001, 413, id="too-many"),
    ],
)
def test_a_json_patch_that_cannot_be_applied_is_refused(operations: object, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({"a": [1], "b": 2}, operations)

    assert refused.value.code == code


def test_a_refused_json_patch_has_the_reason_without_repeating_the_object() -> None:
    with pytest.raises(StatusError) as refused:
        json_patch({"data": {"secret": "x" * 500}}, [{"op": "test", "path": "/spec/a", "value": 1}])

    assert refused.value.message.endswith("error in our request: member 'spec' not found")


def test_copies_that_double_the_object_are_refused_at_the_limit() -> None:
    operations = [{"op": "copy", "from": "", "path": f"/x{n}"} for n in range(40)]

    with pytest.raises(StatusError, match="copy operations may add") as refused:
        json_patch({"a": "x" * 1000}, operations)

    assert refused.value.code == 422


def pod(**spec: object) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        pytest.param(
            {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]},
            {"containers": [{"name": "b", "image": "2"}, {"name": "c"}]},
            {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}]},
            id="by-merge-key",
        ),
        pytest.param(
            {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]},
            {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]},
            {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]},
            id="below-a-list",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": [{"name": "b"}]},
            id="delete-an-element",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"$patch": "replace"}, {"name": "c"}]},
            {"containers": [{"name": "c"}]},
            id="replace-a-list",
        ),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="lists-without-a-key-are-replaced",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1", "b": "2"}},
            {"nodeSelector": {"$patch": "replace", "c": "3"}},
            {"nodeSelector": {"c": "3"}},
            id="replace-a-map",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1"}}, {"nodeSelector": {"$patch": "delete"}}, {"nodeSelector": {}}, id="empty"
        ),
        pytest.param({"nodeSelector": {"a": "1"}}, {"nodeSelector": None}, {}, id="null-removes"),
        pytest.param(
            {}, {"nodeSelector": {"a": None, "b": "1"}}, {"nodeSelector": {"b": "1"}}, id="new-maps-lose-nulls"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]},
            {"volumes": [{"name": "v", "configMap": {"name": "c"}}]},
            id="retain-keys",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "b", "image": "2"}],
            },
            {"containers": [{"name": "b", "image": "2"}, {"name": "a"}]},
            id="element-order",
        ),
    ],
)
def test_a_strategic_merge_patch_merges_pods(old: dict[str, Any], new: dict[str, Any], merged: dict[str, Any]) -> None:
    assert strategic_merge(pod(**old), {"spec": new}, POD) == pod(**merged)


def test_scalar_lists_merge_as_sets_and_can_lose_items() -> None:
    target = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}

    assert strategic_merge(target, patch, CONFIG_MAP) == {"metadata": {"finalizers": ["b", "c"]}}


def test_node_conditions_merge_by_type() -> None:
    target = {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Other"}]}}

    result = strategic_merge(target, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, NODE)

    assert result["status"]["conditions"] == [{"type": "Ready", "status": "True"}, {"type": "Other"}]


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param([], id="no-object"),
        pytest.param({"data": {"$patch": "foo"}}, id="unknown-directive"),
        pytest.param({"data": {"$retainKeys": ["x"], "y": "1"}}, id="retain-keys-omit-a-key"),
        pytest.param({"metadata": {"ownerReferences": [{"name": "x"}]}}, id="no-merge-key"),
        pytest.param({"metadata": {"ownerReferences": [1]}}, id="scalar-in-a-keyed-list"),
    ],
)
def test_a_malformed_strategic_patch_is_refused(patch: object) -> None:
    with pytest.raises(StatusError) as refused:
        strategic_merge({"metadata": {}, "data": {"x": "1"}}, patch, CONFIG_MAP)

    assert refused.value.code == 400


@given(objects, objects)
def test_a_strategic_patch_does_not_change_its_target(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((target, patch))

    strategic_merge(target, patch, CONFIG_MAP)

    assert (target, patch) == before
