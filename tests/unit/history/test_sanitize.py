"""Whatever a model writes becomes text and JSON that PostgreSQL takes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.history.sanitize import clean_text, dump_json

any_text = st.text(st.characters())
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        pytest.param("plain ü 🙂", "plain ü 🙂", id="harmless"),
        pytest.param("a\x00b", "a\ufffdb", id="nul"),
        pytest.param("a\ud800b", "a\ufffdb", id="lone-high-surrogate"),
        pytest.param("a\udc00b", "a\ufffdb", id="lone-low-surrogate"),
        pytest.param("\ud83d\ude42", "🙂", id="pair-of-surrogates"),
        pytest.param("\x00\ud800", "\ufffd\ufffd", id="both"),
    ],
)
def test_only_what_cannot_be_stored_is_replaced(text, clean):
    assert clean_text(text) == clean


@given(any_text)
def test_sanitized_text_is_always_storable_and_unchanged_by_sanitizing_again(text):
    clean = clean_text(text)

    assert "\x00" not in clean
    assert clean.encode().decode() == clean == clean_text(clean)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        pytest.param({"a": "x\x00y"}, {"a": "x\ufffdy"}, id="nul"),
        pytest.param({"a\x00": 1}, {"a\ufffd": 1}, id="nul-in-a-key"),
        pytest.param({"a": ["\ud800"]}, {"a": ["\ufffd"]}, id="surrogate"),
        pytest.param({"a": "\\u0000"}, {"a": "\\u0000"}, id="words-that-look-like-it"),
        pytest.param([float("nan"), float("inf"), 1.5], [None, None, 1.5], id="no-numbers"),
        pytest.param(("a", {"b": ("\x00",)}), ["a", {"b": ["\ufffd"]}], id="tuples"),
        pytest.param({"b": 1, "a": 2}, {"b": 1, "a": 2}, id="order"),
    ],
)
def test_json_keeps_everything_else(value, stored):
    text = dump_json(value)

    assert list(json.loads(text)) == list(stored)
    assert json.loads(text) == stored


@given(any_json)
def test_json_is_always_storable(value):
    text = dump_json(value)

    text.encode()
    assert "\x00" not in json.dumps(json.loads(text, parse_constant=pytest.fail), ensure_ascii=False)


def test_a_value_that_is_nested_too_deep_is_invalid():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(ValueError, match="too deeply"):
        dump_json(deep)


def test_a_value_that_contains_itself_is_invalid():
    loop: list = []
    loop.append(loop)

    with pytest.raises(ValueError, match="Circular"):
        dump_json(loop)
