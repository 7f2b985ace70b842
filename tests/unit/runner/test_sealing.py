"""The journal's steps are exact, and hold no secret."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentjobs_runner.redaction import Redactor
from agentjobs_runner.sealing import Seals

SECRETS = {
    "OPENAI_API_KEY": "sk-0123456789abcdef",
    "DB_PASSWORD": 'p"w\\ö/ü?',
    "DSN": 'postgresql://u:p"w\\ö/ü?@db',
    "AGENTJOBS_MCP_HEADER_0_0_0": "Bearer abc+def/012",
    "ODD⟧NAME": "something⟦odd",
}
PIECES = st.sampled_from(
    [*SECRETS.values(), "⟦", "⟧", "⟦OPENAI_API_KEY⟧", "⟦=NaN⟧", "⟦⟧", "\x00", "\ud800", "abc+def/012", "something", "p"]
)
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=6).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def seals():
    return Seals(SECRETS, frozenset(SECRETS), "the-pods-own-token")


def same(one, other):
    """Equality that takes NaN for itself and tells 1 from 1.0 and True."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(value=VALUES)
def test_sealed_values_are_strict_json_and_can_be_restored(seals, value):
    written = json.dumps(seals.seal(value), ensure_ascii=False, allow_nan=False).encode()

    assert same(seals.unseal(json.loads(written)), value)


@given(before=TEXTS, after=TEXTS, secret=st.sampled_from(sorted(SECRETS.values())))
def test_no_secret_remains_in_any_spelling(seals, before, after, secret):
    said = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)]

    sealed = json.dumps(seals.seal([f"{before}{text}{after}" for text in said]), ensure_ascii=False)

    assert secret not in sealed
    assert json.dumps(secret)[1:-1] not in sealed
    assert json.dumps(json.dumps(secret)[1:-1])[1:-1] not in sealed


@given(name=st.text(min_size=1, max_size=12), value=st.text(min_size=6, max_size=20), around=st.text(max_size=9))
def test_any_variable_can_be_sealed(name, value, around):
    assume("=" not in name)
    seals = Seals({name: value}, frozenset({name}))
    text = f"{around}{value}{around}"

    assert seals.unseal(seals.seal(text)) == text


@pytest.mark.parametrize(
    ("text", "sealed"),
    [
        ("key sk-0123456789abcdef!", "key ⟦OPENAI_API_KEY⟧!"),
        ("?k=abc%2Bdef%2F012", "?k=⟦AGENTJOBS_MCP_HEADER_0_0_0|word|url⟧"),
        ("it is ⟦OPENAI_API_KEY⟧", "it is ⟦⟧OPENAI_API_KEY⟧"),
        ("the-pods-own-token", "⟦=token⟧"),
        ("\x00", "⟦=u0000⟧"),
    ],
)
def test_a_placeholder_names_the_variable(seals, text, sealed):
    assert seals.seal(text) == sealed


def test_a_rotated_secret_is_restored_as_the_new_one():
    old, new = {"API_KEY": "old-value-1"}, {"API_KEY": "new-value-2"}
    sealed = Redactor(old).seal({"said": "use old-value-1"})

    assert Redactor(new).unseal(sealed) == {"said": "use new-value-2"}


def test_a_missing_variable_is_named(seals):
    sealed = seals.seal("sk-0123456789abcdef")

    with pytest.raises(LookupError, match="OPENAI_API_KEY"):
        Seals({}, frozenset()).unseal(sealed)


def test_the_pods_own_name_is_not_a_secret():
    redactor = Redactor({"HOSTNAME": "nightly-report-of-2026-1"})

    assert redactor.seal("nightly-report-of-2026-1") == "nightly-report-of-2026-1"


def test_a_short_header_value_is_not_replaced_in_other_texts():
    assert Redactor({"AGENTJOBS_MCP_HEADER_0_0_0": "1"}).seal("1 + 1") == "1 + 1"


def test_renewed_and_previous_tokens_have_the_same_placeholder_which_becomes_the_newest():
    seals = Seals({}, frozenset(), "the-first-token")
    seals.renew("the-second-token")

    kept = seals.seal(["the-first-token", "the-second-token"])

    assert kept[0] == kept[1]
    assert seals.unseal(kept) == ["the-second-token"] * 2


def test_a_renewed_token_is_redacted_in_texts():
    redactor = Redactor({}, "the-first-token")
    redactor.renew("the-second-token")
    assert redactor.text("the-first-token, the-second-token") == "[redacted], [redacted]"
