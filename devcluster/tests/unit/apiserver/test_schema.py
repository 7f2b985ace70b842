"""Structural schemas: responses of a real kube-apiserver, properties of pruning, hostile input."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver.schema import MAX_CAUSES, MAX_DEPTH, Schema, SchemaError, depth_of

GOLDEN = json.loads((Path(__file__).parent / "golden" / "schema.json").read_text())
SCHEMA = Schema(GOLDEN["schema"])
# Not supported: a second cause for one invalid number, and the syntax of group-versions and labels in embedded
# resources.
DIFFERENT = [
    {"int": 1.5},
    {"int": 1e20},
    {"int64": 9223372036854775808},
    {"num": 0},
    {"num": 1},
    {"emb": {"apiVersion": 1, "kind": "Pod"}},
    {"emb": {"apiVersion": "a/b/c", "kind": "Po/d", "metadata": {"labels": {"-": "x"}}}},
]
ANSWERS = [answer for answer in GOLDEN["answers"] if answer["spec"] not in DIFFERENT]


def a_thing(spec: object) -> dict[str, Any]:
    return {"apiVersion": "t.dev/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": copy.deepcopy(spec)}


def written(schema: Schema, obj: dict[str, Any]) -> tuple[list[str], list[dict[str, str]]]:
    dropped = schema.prune(obj)
    schema.default(obj)
    return dropped, schema.validate(obj)


@pytest.mark.parametrize("answer", ANSWERS, ids=[json.dumps(answer["spec"])[:50] for answer in ANSWERS])
def test_a_write_is_answered_as_by_a_real_server(answer: dict[str, Any]) -> None:
    obj = a_thing(answer["spec"])

    _, causes = written(SCHEMA, obj)

    def order(cause: dict[str, str]) -> list[str]:
        return sorted(cause.values())

    assert sorted(causes, key=order) == sorted(answer.get("causes", []), key=order)
    if "result" in answer:
        assert obj.get("spec") == answer["result"]


@pytest.mark.parametrize(
    ("spec", "dropped"),
    [
        ({"zzz": 1, "yyy": {"a": 1}}, ["spec.yyy", "spec.zzz"]),
        (
            {"objs": [{"q": 1}, {"b c": 1}], "free": {"known": {"y": 1}, "other": {"z": 1}}},
            ["spec.free.known.y", "spec.objs[0].q", "spec.objs[1].b c"],
        ),
        ({"emb": {"apiVersion": "v1", "kind": "P", "metadata": {"x": 1}}}, ["spec.emb.metadata.x"]),
        ({"apo": {"a.b": {"z": 1}}}, ["spec.apo.a.b.z"]),
        ({"str": {"a": {"b": 1}}}, ["spec.str.a"]),
    ],
)
def test_unknown_fields_are_removed_and_named(spec: dict[str, Any], dropped: list[str]) -> None:
    obj = a_thing(spec)

    assert SCHEMA.prune(obj) == dropped
    assert SCHEMA.prune(obj) == []


def test_unknown_fields_next_to_spec_are_reported_but_metadata_is_not_pruned() -> None:
    obj = {**a_thing({}), "bar": 1, "status": {"z": 1}, "metadata": {"name": "x", "odd": 1}}

    assert SCHEMA.prune(obj) == ["bar", "status.z"]
    assert obj["metadata"] == {"name": "x", "odd": 1}


names = st.sampled_from(
    [*GOLDEN["schema"]["properties"]["spec"]["properties"], "k", "p", "a", "b", "apiVersion", "other"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4)
)


@given(st.dictionaries(names, json_values, max_size=6) | json_values)
def test_any_object_is_pruned_defaulted_and_validated_without_raising(spec: object) -> None:
    obj = a_thing(spec)

    _, causes = written(SCHEMA, obj)

    assert all(set(cause) == {"reason", "message", "field"} for cause in causes)


@given(st.dictionaries(names, json_values, max_size=6))
def test_a_second_pruning_and_defaulting_change_nothing(spec: object) -> None:
    obj = a_thing(spec)
    written(SCHEMA, obj)
    once = repr(obj)

    dropped, _ = written(SCHEMA, obj)

    assert dropped == []
    assert repr(obj) == once


def test_an_object_deeper_than_the_stack_is_handled() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep, "b": [deep]} if deep == {} else {"a": deep}
    obj = {
        "spec": {"any": deep, "free": deep, "str": deep, "set": [deep, deep], "enum": deep, "emb": {"metadata": deep}}
    }

    _, causes = written(SCHEMA, obj)

    assert "spec.str" in {cause["field"] for cause in causes}


def test_a_schema_deeper_than_the_limit_is_refused() -> None:
    raw: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_DEPTH):
        raw = {"type": "object", "properties": {"a": raw}}

    with pytest.raises(SchemaError, match="nested deeper than"):
        Schema(raw)


def test_depth_counts_nesting_and_stops_at_the_limit() -> None:
    assert [depth_of(value, 10) for value in (1, {}, {"a": 1}, {"a": [{}]})] == [0, 1, 1, 3]
    assert depth_of({"a": {"a": {"a": {"a": 1}}}}, 2) == 3


def test_a_million_causes_are_truncated() -> None:
    schema = Schema({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "string"}}}})

    assert len(schema.validate({"list": [1] * (2 * MAX_CAUSES)})) == MAX_CAUSES


def test_the_message_of_a_limit_of_one_item_is_in_the_singular() -> None:
    schema = Schema({"type": "object", "properties": {"list": {"type": "array", "maxItems": 1}}})

    assert schema.validate({"list": [1, 2]})[0]["message"] == "Too many: 2: must have at most 1 item"


def test_a_wrong_type_does_not_hide_other_violations() -> None:
    schema = Schema({"type": "object", "properties": {"a": {"type": "object", "not": {"required": ["b"]}}}})

    messages = [cause["message"] for cause in schema.validate({"a": 1.0})]

    assert messages == [
        'Invalid value: "number": a in body must be of type object: "number"',
        'Invalid value: "": "a" must not validate the schema (not)',
    ]


def test_without_a_schema_everything_is_kept_and_accepted() -> None:
    obj: dict[str, Any] = {"spec": {"a": None, "b": [{}]}}

    assert written(Schema(None), obj) == ([], [])
    assert obj == {"spec": {"a": None, "b": [{}]}}


def test_each_default_is_a_new_copy() -> None:
    schema = Schema(
        {"type": "object", "properties": {"tags": {"type": "array", "default": ["a"], "items": {"type": "string"}}}}
    )
    first: dict[str, Any] = {}
    schema.default(first)
    first["tags"].append("b")
    second: dict[str, Any] = {}

    schema.default(second)

    assert second == {"tags": ["a"]}


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        pytest.param({"str": "a"}, {"str": "a", "int": 1}, [], id="unchanged"),
        pytest.param({"str": "a"}, {"str": "b"}, ["spec.str"], id="changed"),
        pytest.param({"req": {"x": "1"}}, {"req": {"x": "1"}, "int": 1}, [], id="still-missing"),
        pytest.param({"req": {"x": "1"}}, {"req": {"x": "2"}}, ["spec.req.y"], id="missing-and-its-object-changed"),
        pytest.param({"list": []}, {"list": [], "int": 0}, ["spec.int"], id="only-the-new-one"),
        pytest.param(
            {"map": [{"k": "a", "v": "x"}, {"k": "b"}]},
            {"map": [{"k": "b"}, {"k": "a", "v": "x"}]},
            [],
            id="a-keyed-element-that-moved",
        ),
        pytest.param({"set": ["a", "a"]}, {"set": ["a", "a"]}, ["spec.set[1]"], id="duplicates-never"),
        pytest.param({"one": {}}, {"one": {}, "int": 1}, ["<nil>", "spec.one.a"], id="oneOf-never"),
    ],
)
def test_an_update_ignores_violations_of_unchanged_values(old: Any, new: Any, fields: list[str]) -> None:
    causes = Schema({**GOLDEN["schema"]}).validate(a_thing(new), a_thing(old))

    assert [cause["field"] for cause in causes if "some validation rules" not in cause["message"]] == fields
