"""What leaves the pod as text."""

import json

import pytest

from agentjobs_runner.redaction import Redactor, cut_to_fit, plain, size_of

TOKEN = "opaque-token-of-this-pod"
QUOTED = 'pä"ss\\word'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("GET https://m/v1?key=abc123&x=1 failed", "GET https://m/v1?key=[redacted]&x=1 failed", id="url"),
        pytest.param("Authorization: Bearer abcdefghijk", "Authorization: Bearer [redacted]", id="header"),
        pytest.param("postgres://joe:hunter2@db/x", "postgres://joe:[redacted]@db/x", id="dsn"),
        pytest.param(f"token {TOKEN}!", "token [redacted]!", id="our-token"),
        pytest.param("password is correct horse", "password is [SHOP_PASSWORD]", id="secret-variable"),
        pytest.param("id 5f0c2a9e7b1d4c3e8f6a0b1c", "id [BUILD]", id="long-mixed-value"),
        pytest.param("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[redacted]", id="google-key"),
        pytest.param("sk-ant-" + "x1" * 12, "[redacted]", id="openai-or-anthropic-key"),
        pytest.param("ghp_" + "x1" * 18, "[redacted]", id="token-of-a-git-host"),
        pytest.param("tried correct%20horse", "tried [SHOP_PASSWORD]", id="secret-in-a-url"),
        pytest.param(repr(QUOTED), "'[PIN_KEY]'", id="secret-as-python-quotes-it"),
        pytest.param(json.dumps(QUOTED), '"[PIN_KEY]"', id="secret-as-json-quotes-it"),
        pytest.param("it failed in production", "it failed in production", id="ordinary-words-stay"),
        pytest.param("a\x00b \ud800", "a\ufffdb ?", id="not-storable"),
    ],
)
def test_secrets_are_redacted(text, expected):
    variables = {
        "SHOP_PASSWORD": "correct horse",
        "PIN_KEY": QUOTED,
        "STAGE": "production",
        "BUILD": "5f0c2a9e7b1d4c3e8f6a0b1c",
        "AGENTJOBS_TOKEN_FILE": "/var/run/agentjobs/token",
    }
    assert Redactor(variables, TOKEN).text(text) == expected


def test_truncation_does_not_split_a_secret():
    message = Redactor({}, TOKEN).message("x" * 90 + TOKEN, 100)

    assert "opaque" not in message
    assert len(message.encode()) <= 100


def test_nested_data_is_redacted_including_keys():
    data = Redactor({}, TOKEN).data({"a": [{TOKEN: f"is {TOKEN}"}], "n": 1})

    assert data == {"a": [{"[redacted]": "is [redacted]"}], "n": 1}


class Broken:
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(float("nan"), "nan", id="nan"),
        pytest.param(10**400, "<integer of 1329 bits>", id="long-integer"),
        pytest.param(b"\x00\xff", "<2 bytes>", id="bytes"),
        pytest.param({1: (2, {3})}, {"1": [2, [3]]}, id="keys-tuples-sets"),
        pytest.param("\ud800\x00", "?\ufffd", id="not-storable"),
        pytest.param(Broken(), "<Broken, whose str() raised RuntimeError>", id="broken-str"),
        pytest.param({Broken(): 1}, {"<Broken, whose str() raised RuntimeError>": 1}, id="broken-key"),
    ],
)
def test_any_result_of_a_tool_becomes_json(value, expected):
    assert plain(value) == expected


def test_an_endless_structure_is_truncated():
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]

    assert json.dumps(plain(deep)).count("[") == 33


def test_a_structure_that_contains_itself_is_represented_once():
    node: dict[str, object] = {"n": 1}
    node |= {"left": node, "right": [node]}

    assert plain(node) == {"n": 1, "left": "…", "right": ["…"]}


@pytest.mark.parametrize("data", [{"a": "ü" * 100_000}, {"many": ['"' * 50] * 5_000}], ids=["long", "many"])
def test_an_entry_is_truncated_until_it_fits(data):
    assert size_of(cut_to_fit(data, 64 * 1024)) <= 64 * 1024
