"""CEL rules: evaluated when a real server evaluates them, refused when a real server or this one cannot."""

from typing import Any

import pytest

from devcluster.apiserver import rules
from devcluster.apiserver.rules import compile_rules

TEXT = {"type": "string"}


def root(spec: dict[str, Any], *said: dict[str, Any]) -> dict[str, Any]:
    spec = {"x-kubernetes-validations": list(said), **spec} if said else spec
    return {"type": "object", "properties": {"spec": spec}}


def objects(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def told(schema: dict[str, Any], new: Any, old: Any = None) -> list[tuple[str, str]]:
    causes = compile_rules(schema).evaluate({"spec": new}, None if old is None else {"spec": old})
    return [(one["field"], one["message"]) for one in causes]


def refused(schema: dict[str, Any]) -> list[str]:
    return [one["message"] for one in rules.problems(schema, "schema")]


FIXED = {"rule": "self == oldSelf", "message": "fixed"}


def test_a_transition_rule_applies_only_to_updates() -> None:
    schema = root(objects(a={**TEXT, "x-kubernetes-validations": [FIXED]}))

    assert told(schema, {"a": "x"}) == told(schema, {"a": "x"}, {"a": "x"}) == told(schema, {"a": "x"}, {}) == []
    assert told(schema, {"a": "y"}, {"a": "x"}) == [("spec.a", 'Invalid value: "y": fixed')]


def test_a_violated_rule_on_an_unchanged_value_is_ignored() -> None:
    schema = root(objects(a=TEXT, b=TEXT), {"rule": "has(self.a)", "message": "a is required"})

    assert told(schema, {}, {}) == []
    assert told(schema, {"b": "x"}, {}) == [("spec", "Invalid value: a is required")]


def test_elements_of_a_keyed_list_are_matched_by_their_keys() -> None:
    item = {**objects(k=TEXT, v=TEXT), "x-kubernetes-validations": [FIXED]}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = root(objects(l={"type": "array", "items": item, **keyed}))
    old = {"l": [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]}

    assert told(schema, {"l": [{"k": "b", "v": "2"}, {"k": "c"}, {"k": "a", "v": "1"}]}, old) == []
    assert told(schema, {"l": [{"k": "b", "v": "3"}]}, old) == [("spec.l[0]", "Invalid value: fixed")]


def test_values_of_a_map_are_named_by_their_key() -> None:
    schema = root(
        {"type": "object", "additionalProperties": {**TEXT, "x-kubernetes-validations": [{"rule": "self != 'x'"}]}}
    )

    assert told(schema, {"a.b": "x"}) == [("spec[a.b]", "Invalid value: \"x\": failed rule: self != 'x'")]


@pytest.mark.parametrize(
    ("new", "same"),
    [
        pytest.param({"a": 1}, True, id="the-same"),
        pytest.param({"a": 2}, False, id="another-value"),
        pytest.param({"a": 1, "b": 1}, False, id="one-more"),
        # As in kube-apiserver 1.36, which compares only fields without a schema that both have.
        pytest.param({"b": 1}, True, id="another-name"),
    ],
)
def test_fields_without_a_schema_count_in_comparisons_as_on_a_real_server(new: Any, same: bool) -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = root(objects(free=free), FIXED)

    assert (told(schema, {"free": new}, {"free": {"a": 1}}) == []) is same


def test_the_order_of_a_set_or_map_is_not_a_change() -> None:
    schema = root(objects(s={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}), FIXED)

    assert told(schema, {"s": ["b", "a"]}, {"s": ["a", "b"]}) == []
    assert told(schema, {"s": ["b", "c"]}, {"s": ["a", "b"]}) != []


def test_a_rule_that_fails_to_evaluate_refuses_the_write() -> None:
    schema = root(objects(a={"type": "integer"}, b=TEXT), {"rule": "self.a > 0", "message": "small"})

    (missing,), (fraction,) = told(schema, {}), told(schema, {"a": 3.0})

    assert missing[0] == "spec"
    assert missing[1].endswith("evaluating rule: small")
    assert fraction[1] == 'Invalid value: "object": invalid data, expected int, got float64 evaluating rule: small'


@pytest.mark.parametrize("reason", ["FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"])
def test_the_reason_of_a_rule_is_the_reason_of_the_cause(reason: str) -> None:
    schema = root(objects(a=TEXT), {"rule": "has(self.a)", "message": "no", "reason": reason})

    assert [one["reason"] for one in compile_rules(schema).evaluate({"spec": {}}, None)] == [reason]


def test_a_rule_names_the_field_and_the_values_that_it_is_about() -> None:
    rule = {"rule": "self.a == oldSelf.a", "fieldPath": ".a", "message": "fixed"}
    schema = root(objects(a=TEXT), rule | {"messageExpression": "'not ' + self.a + ' but ' + oldSelf.a"})

    assert told(schema, {"a": "y"}, {"a": "x"}) == [("spec.a", "Invalid value: not y but x")]


@pytest.mark.parametrize("expression", ["self.b", "' '", r"'two\nlines'"], ids=["fails", "is-empty", "has-two-lines"])
def test_a_message_that_cannot_be_made_is_replaced_by_the_fixed_one(expression: str) -> None:
    schema = root(objects(a=TEXT, b=TEXT), {"rule": "false", "messageExpression": expression, "message": "fixed"})

    assert told(schema, {"a": "x"}) == [("spec", "Invalid value: fixed")]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        pytest.param({"rule": "self.nope == 'x'"}, "undefined field 'nope'", id="no-such-field"),
        pytest.param({"rule": "has(self.nope)"}, "undefined field 'nope'", id="presence-of-no-field"),
        pytest.param({"rule": "isSorted(self.l)"}, "undeclared reference to 'isSorted'", id="function-of-kubernetes"),
        pytest.param({"rule": "self.a ==="}, "compilation failed", id="syntax"),
        pytest.param({"rule": "1 + 1"}, "must evaluate to a bool", id="a-number"),
        pytest.param({"rule": "self.at == self.at"}, "format date-time", id="time"),
        pytest.param({"rule": "self == oldSelf"}, "format date-time", id="time-inside"),
        pytest.param({"rule": "true", "optionalOldSelf": True}, "optionalOldSelf", id="optional-old-self"),
        pytest.param({"rule": "true", "messageExpression": "1"}, "must evaluate to a string", id="message-is-a-number"),
        pytest.param({"rule": "true", "messageExpression": "self.nope"}, "undefined field 'nope'", id="message-reads"),
        pytest.param({"rule": "true", "fieldPath": ".nope"}, "does not refer to a valid field", id="path-of-no-field"),
        pytest.param({"rule": "true", "fieldPath": "['a']"}, "use fields alone", id="path-with-brackets"),
    ],
)
def test_a_definition_with_an_unsupported_rule_is_refused(rule: dict[str, Any], words: str) -> None:
    at = {"type": "string", "format": "date-time"}
    (message,) = refused(root(objects(a=TEXT, at=at, l={"type": "array", "items": TEXT}), rule))

    assert words in message


def test_old_self_is_refused_on_an_uncorrelatable_value() -> None:
    listed = {"type": "array", "items": {**TEXT, "x-kubernetes-validations": [FIXED]}}

    assert "uncorrelatable" in refused(root(objects(l=listed)))[0]


def test_rules_can_check_whether_a_time_is_present() -> None:
    at = {"type": "string", "format": "date-time"}
    schema = root(objects(at=at), {"rule": "has(self.at)", "message": "when?"})

    assert (refused(schema), told(schema, {"at": "2026-12-01t00:00:00z"})) == ([], [])
    assert told(schema, {}) == [("spec", "Invalid value: when?")]


def test_names_in_string_literals_are_not_fields() -> None:
    schema = root(objects(a=TEXT), {"rule": r"""self.a.matches(r'^self\.nope["]$') || self.a == "oldSelf.nope" """})

    assert refused(schema) == []
    assert told(schema, {"a": "oldSelf.nope"}) == []


def test_fields_whose_names_are_not_identifiers_are_escaped_as_in_kubernetes() -> None:
    schema = root(objects(**{"a-b": TEXT, "namespace": TEXT}), {"rule": "self.a__dash__b == self.__namespace__"})

    assert told(schema, {"a-b": "x", "namespace": "x"}) == []
    assert told(schema, {"a-b": "x", "namespace": "y"}) != []
