"""A body that two parsers may read differently is refused; in any other the positions of all values are known."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.proxy.apis.body import Json, RejectedBody

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPACES = st.sampled_from([None, 1, "\t"])


@given(st.dictionaries(st.text(), VALUES), SPACES, st.booleans())
def test_every_member_is_found_at_its_position(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return

    found = Json.whole(text).members()

    for name, each in value.items():
        member = found._found[name]
        assert json.loads(text[member.begin : member.end]) == each


@given(st.lists(VALUES), SPACES)
def test_every_item_is_found_at_its_position(value, indent):
    text = json.dumps(value, indent=indent).encode()

    assert [json.loads(item.bytes) for item in Json.whole(text).items()] == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"x":1,"model":"a","x":2}',
        b'{"x":1,"y":2,"x":1,"y":2}',
        b'{"x":"\\"y\\":1","y":1,"x":"\\"y\\":1"}',
    ],
)
def test_a_repeated_key_is_refused(text):
    with pytest.raises(RejectedBody, match="duplicate key"):
        Json.whole(text).members()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"model"',
        b"{",
        b'{"model":"a"}x',
        b'{"model":"a"}{"model":"b"}',
        b'{"model":"a",}',
        b'\xef\xbb\xbf{"model":"a"}',
        b'{"model":NaN}',
        b"{'model':'a'}",
        b'{"model":"a"/**/}',
        b'{"\\ud800":1}',
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        '{"model":"a"}'.encode("utf-16"),
        b'{"model":"\xff"}',
        b'{"model":"\xed\xa0\x80"}',
    ],
)
def test_a_body_that_is_not_a_utf_8_object_is_refused(text):
    with pytest.raises(RejectedBody):
        Json.whole(text).members()


@pytest.mark.parametrize("number", [5000, 200_000])
def test_an_object_with_too_many_members_is_not_scanned(number):
    many = b"{" + b",".join(b'"%d" :0' % each for each in range(number)) + b"}"

    with pytest.raises(RejectedBody, match="too many members"):
        Json.whole(many).members()
    with pytest.raises(RejectedBody, match="too many members"):
        list(Json.whole(b"[" + b"[]," * number + b"0]").items())


def test_a_long_conversation_is_accepted():
    text = json.dumps({"messages": [{"role": "user"}] * 100_000, "model": "a"}).encode()

    assert Json.whole(text).members().text("model") == "a"


@pytest.mark.parametrize("first", ["messages", "contents"])
def test_a_large_body_with_too_many_members_is_refused(first):
    hidden = b'"%s":{%s}' % (first.encode(), b",".join(b'"%d":0' % each for each in range(60_000)))
    text = b"{%s,%s,%s}" % (hidden, hidden, hidden)

    with pytest.raises(RejectedBody, match="too many members"):
        Json.whole(text).members()


@pytest.mark.parametrize("name", ["Model", "MODEL", "mo_del", "model_"])
def test_an_escaped_spelling_of_a_relevant_name_is_refused(name):
    for text in (f'{{"model":"a","{name}":"b"}}', f'{{"{name}":"b"}}'):
        members = Json.whole(text.encode()).members()
        with pytest.raises(RejectedBody, match="spelling"):
            members.text("model")


def test_a_name_with_two_spellings_can_have_either_but_not_both():
    both = Json.whole(b'{"maxTokens":1,"max_tokens":2}').members()
    one = Json.whole(b'{"max_tokens":2}').members().either("maxTokens", "max_tokens")

    assert one is not None
    assert one.bytes == b"2"
    with pytest.raises(RejectedBody):
        both.either("maxTokens", "max_tokens")


@pytest.mark.parametrize("value", [b"true", b"-1", b"1.5", b'"5"', b"[1]", b"1e2", b"2147483648", b"9" * 5000])
def test_an_invalid_count_is_refused(value):
    with pytest.raises(RejectedBody):
        Json.whole(b'{"n":%b}' % value).members().count("n")
