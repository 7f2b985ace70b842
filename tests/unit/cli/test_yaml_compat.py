"""YAML is read and JSON written as kubectl 1.36 does; the expectations are its answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.cli.yaml_compat import dump, load

SCALARS = {
    "true": ("yes", "on", "y", "Y", "True", "!!bool y"),
    "false": ("No", "OFF", "n"),
    "null": ("~", "Null", ""),
    "3": ("0b11", "+3", "3.", "!!float 3", '!!int "3"', "30e-1"),
    "15": ("017", "0o17", "0O17", "0xF", "0X_f", "1_5", "0_17"),
    "-15": ("-017", "-0xf", "-15.0"),
    "0": ("-0", "-0.0", "0_", "00"),
    "8": ("08", "8.0"),
    "1000": ("1e3", "1_000", "1_e3", "1E+3"),
    "0.5": (".5", "+.5", "5e-1", ".5_0"),
    "9223372036854775807": ("9223372036854775807", "0x7fffffffffffffff"),
    "9223372036854776000": ("9223372036854775808", "0x8000000000000000"),
    "100000000000000000000": ("1e20",),
    "1e+21": ("1e21",),
    "0.000001": ("1e-6",),
    "1e-7": ("1e-7", ".0000001"),
    "1.5e+300": ("1.5e300",),
    '"hi"': ("!!binary aGk=", "'hi'"),
    '"a\\n"': ("|\n  a\n",),
    '{"0.5":1,"1.5":2,"15":3,"1e+21":4,"true":5}': ("{.5: 1, 1.5: 2, 017: 3, 1e21: 4, on: 5}",),
    '{"a":1,"b":2}': ("{<<: {b: 2}, a: 1}",),
}
TEXTS = "2026-11-21T09:00:00Z 2026-11-21 12:30 90s 1.2.3 0b2 0b 0x _1 1e + oFF = << ._1 nan 1e400 0x1.8p1 inf"


@pytest.mark.parametrize(
    ("written", "read"), [(word, value) for value, words in SCALARS.items() for word in words], ids=repr
)
def test_a_value_is_parsed_as_by_kubectl(written, read):
    (found,) = load(f"x: {written}")

    assert dump(found["x"]) == read + "\n"


@pytest.mark.parametrize("text", TEXTS.split())
def test_a_value_that_is_not_a_number_to_kubectl_is_text(text):
    assert load(f"x: {text}") == [{"x": text}]


def test_text_is_escaped_like_in_go():
    text = "<b>&'\"\\\t\r\a\b\f\x7f\x85\u2028\u2029\ufeff\U0001f600é"

    written = dump({text: text})

    shown = r"\u003cb\u003e\u0026'\"\\\t\r\u0007\b\f" + "\x7f\x85" + r"\u2028\u2029" + "\ufeff\U0001f600é"
    assert written == f'{{"{shown}":"{shown}"}}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: .inf", "^inf .*JSON"),
        ("x: !!timestamp 2001-01-01", "JSON"),
        ("x: !!set {a}", "JSON"),
        ('x: "\\ud83d"', "lone surrogate"),
        ("{~: a}", "None cannot be a key"),
        ("{[a]: b}", "cannot be a key"),
        ("{1: a, 01: b}", "key '1' is given twice"),
        ('{"a": 1, "a": 2}', "key 'a' is given twice"),
    ],
)
def test_values_that_json_cannot_represent_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        load(text)


def test_json_can_have_tabs_and_surrogate_pairs():
    assert load('{\n\t"x":\t"\\ud83d\\ude00"\n}') == [{"x": "\U0001f600"}]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Without surrogates, which are not characters.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab<\u2028é", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_written_yaml_is_read_back_unchanged(value):
    (document,) = load(json.dumps({"x": value}))

    assert load(dump(document)) == [document]
