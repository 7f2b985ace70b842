"""Selectors: matches, and the real server's messages for selectors that cannot be parsed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.kinds import CONFIG_MAP, EVENT, NAMESPACE, NODE, POD
from devcluster.apiserver.selection import parse_fields, parse_labels

LABELS = {"app": "web", "tier": "3", "example.com/owner": "me", "empty": ""}


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "app=web",
        "app==web",
        "app = web , tier=3",
        "app in (web, db)",
        "app notin (db)",
        "absent notin (db)",
        "absent!=x",
        "!absent",
        "! absent",
        "example.com/owner",
        "tier>2",
        "tier<4,tier>-1",
        "empty=",
        "empty in ()",
        "empty in (a,)",
        "app,tier,!absent",
    ],
)
def test_a_label_selector_matches(selector: str) -> None:
    assert parse_labels(selector).matches(LABELS)


@pytest.mark.parametrize(
    "selector",
    [
        "app=db",
        "app!=web",
        "app in (db)",
        "app notin (web)",
        "!app",
        "absent",
        "absent=",
        "tier>3",
        "app>1",
        "in in (in)",
    ],
)
def test_a_label_selector_does_not_match(selector: str) -> None:
    assert not parse_labels(selector).matches(LABELS)


def test_an_object_without_labels_is_matched_like_one_with_none() -> None:
    assert parse_labels("!a").matches(None)
    assert not parse_labels("a").matches(None)


# Messages of kube-apiserver 1.36.
LABEL_ERRORS = {
    "a=b=c": "found '=', expected: ',' or 'end of string'",
    "=": "found '=', expected: !, identifier, or 'end of string'",
    ",": "found ',', expected: !, identifier, or 'end of string'",
    "a,": "found '', expected: identifier after ','",
    "a in b": "unable to parse requirement: found 'b' expected: '('",
    "a in (b": "unable to parse requirement: found '', expected: ',' or ')'",
    "a in (": "unable to parse requirement: found '', expected: ',', ')' or identifier",
    "a b": "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    "a gt 1": "unable to parse requirement: found 'gt', expected: in, notin, =, ==, !=, gt, lt",
    "!a=b": "found '=', expected: ',' or 'end of string'",
    "a=b c": "found 'c', expected: ',' or 'end of string'",
    "a=(b)": "unable to parse requirement: found '(', expected: identifier",
    "a>b": (
        'unable to parse requirement: values[0]: Invalid value: "b": '
        "for 'Gt', 'Lt' operators, the value must be an integer"
    ),
    "x" * 70: (
        f'unable to parse requirement: <nil>: Invalid value: "{"x" * 70}": name part must be no more than 63 bytes'
    ),
    "-a": (
        'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric characters, '
        "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
        "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    ),
    "a=-b": (
        'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string or '
        "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
        "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ),
}


@pytest.mark.parametrize(("selector", "message"), LABEL_ERRORS.items(), ids=[key[:12] for key in LABEL_ERRORS])
def test_a_bad_label_selector_is_refused_with_the_message_of_the_real_server(selector: str, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_labels(selector)

    assert (refused.value.code, refused.value.message) == (400, message)


@given(st.text(alphabet="ab=!(),<> in\n\\é", max_size=12))
def test_any_text_is_a_selector_or_a_bad_request(text: str) -> None:
    codes = set()
    for parse in (parse_labels, lambda fields: parse_fields(fields, POD)):
        try:
            parse(text)
        except StatusError as failure:
            codes.add(failure.code)

    assert codes <= {400}


POD_OBJECT: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n"},
    "spec": {"nodeName": "one"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("metadata.name=p", True),
        ("metadata.namespace==n,status.phase!=Failed", True),
        ("spec.nodeName=", False),
        ("status.nominatedNodeName=", True),
        ("spec.hostNetwork=false", True),
        ("status.phase=Pending", False),
        ("", True),
        ("=", True),
    ],
)
def test_a_field_selector_reads_the_object(selector: str, selected: bool) -> None:
    assert parse_fields(selector, POD).matches(POD_OBJECT) is selected


def test_an_event_is_selected_by_its_object_and_source() -> None:
    event = {"involvedObject": {"name": "p", "uid": "1"}, "reportingComponent": "node", "type": "Normal"}

    assert parse_fields("involvedObject.name=p,involvedObject.uid=1,source=node,type=Normal", EVENT).matches(event)


def test_an_unset_boolean_of_a_node_counts_as_false() -> None:
    assert parse_fields("spec.unschedulable=false", NODE).matches({"metadata": {"name": "n"}})


def test_a_required_name_can_be_looked_up() -> None:
    selector = parse_fields("metadata.name=p,status.phase!=Failed", POD)

    assert selector.required("metadata.name") == "p"
    assert selector.required("status.phase") is None


def test_commas_and_equal_signs_can_be_escaped() -> None:
    assert parse_fields(r"status.phase=a\,b\=c\\", POD).matches({"status": {"phase": "a,b=c\\"}})


@pytest.mark.parametrize(
    ("kind", "selector", "message"),
    [
        (NAMESPACE, "a", "invalid selector: 'a'; can't understand 'a'"),
        (NAMESPACE, "a=b=c", "invalid field selector: unescaped character in value: 61"),
        (NAMESPACE, r"status.phase=a\b", r"invalid field selector: invalid escape sequence: \b"),
        (NAMESPACE, "spec.x=1", "field label not supported: spec.x"),
        (NAMESPACE, "metadata.namespace=x", "field label not supported: metadata.namespace"),
        (
            CONFIG_MAP,
            "foo=1",
            '"foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_a_bad_field_selector_is_refused_with_the_message_of_the_real_server(
    kind: Any, selector: str, message: str
) -> None:
    with pytest.raises(StatusError) as refused:
        parse_fields(selector, kind)

    assert (refused.value.code, refused.value.message) == (400, message)
