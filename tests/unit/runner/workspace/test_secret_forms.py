"""Secrets are found by their forms and by the values that a pod holds, and little else is."""

import base64
import json
import random
import string
import time
from urllib.parse import quote

import pytest

from agentjobs_runner.workspace.secret_forms import Search

DRAW = random.Random(1)


def letters(count, of=string.ascii_letters + string.digits):
    return "".join(DRAW.choices(of, k=count))


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


KEY = "\n".join(letters(64) for _ in range(6))
# In parts, so that who searches this file finds none.
SAMPLES = {
    "pem": "-----BEGIN RSA PRIV" + f"ATE KEY-----\n{KEY}\n-----END",
    "openssh": "-----BEGIN OPENSSH PRIV" + f"ATE KEY-----\r\n{KEY}",
    "encrypted": "-----BEGIN RSA PRIV" + f"ATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{KEY}",
    "pgp": "-----BEGIN PGP PRIV" + f"ATE KEY BLOCK-----\nVersion: GnuPG v2\n\n{KEY}",
    "json": json.dumps({"private_key": "-----BEGIN PRIV" + f"ATE KEY-----\n{KEY}\n"}),
    "code": '"-----BEGIN PRIV' + f'ATE KEY-----\\n" +\n    "{KEY}"',
    "commented": "# -----BEGIN PRIV" + "ATE KEY-----\n# " + KEY.replace("\n", "\n# "),
    "aws": "AKIA" + letters(16, string.ascii_uppercase + "234567"),
    "github": "ghp_" + letters(36),
    "github-fine": "github" + "_pat_" + letters(82),
    "gitlab": "glpat-" + letters(20),
    "slack": "xoxb-" + f"123456789012-{letters(24)}",
    "anthropic": "sk-ant-" + f"api03-{letters(93)}",
    "openai": "sk-proj-" + letters(120),
    "openai-old": "sk-" + letters(20) + "T3Blbk" + "FJ" + letters(20),
    "google": "AIza" + letters(35),
    "npm": "npm_" + letters(36),
    "stripe": "sk_live_" + letters(30),
    "kubernetes": f"{encoded(json.dumps({'alg': 'RS256'}))}."
    f"{encoded(json.dumps({'iss': 'x', 'kubernetes.io': {'namespace': 'a'}}))}.{letters(86)}",
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("around", ["{}", "key = '{}' # pragma: allowlist secret nosec\n", "x={}&y", '{{"a":"{}"}}'])
def test_a_secret_is_found_in_any_context(name, around):
    assert Search([]).find("first\n" + around.format(SAMPLES[name])) is not None


@pytest.mark.parametrize(
    "text",
    [
        'if "-----BEGIN PRIV' + 'ATE KEY-----" in text:\n    raise ValueError("no key " + name)',
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "sk-ant-...",
        "task-proj-name sk-proj-",
        "-----BEGIN PUBLIC KEY-----\n" + KEY,
        "-----BEGIN CERTIFICATE-----\n" + KEY,
        f"{encoded(json.dumps({'alg': 'HS256'}))}.{encoded(json.dumps({'sub': '1234567890'}))}.{letters(43)}",
        letters(100_000),
        base64.b64encode(DRAW.randbytes(300_000)).decode(),
    ],
    ids=range(10),
)
def test_similar_texts_are_not_secrets(text):
    assert Search([("the token", letters(40))]).find(text) is None


@pytest.mark.parametrize("value", ["pass/word with%odd:signs", letters(40), "eyJh.eyJh." + letters(342)], ids=range(3))
@pytest.mark.parametrize(
    "spelled",
    [
        str,
        lambda value: quote(value, safe=""),
        json.dumps,
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.b64encode(f"a-user:{value}".encode()).decode(),
        lambda value: base64.b64encode(f"us:{value} and more".encode()).decode(),
        lambda value: base64.encodebytes(f"use:{value} and more".encode()).decode(),
        lambda value: value.encode("utf-16").decode("latin-1"),
    ],
    ids=range(8),
)
def test_a_value_of_the_pod_is_found_in_any_encoding(value, spelled):
    search = Search([("the token of the Secret", value)])

    assert search.find(f"{KEY} {spelled(value)} {KEY}") == "the token of the Secret"


def test_a_key_of_the_pod_is_found_by_any_of_its_lines():
    search = Search([("the key", SAMPLES["pem"])])
    lines = KEY.split("\n")

    assert search.find(f"only {lines[1]}") == "the key"
    assert search.find(f"what all keys begin with: {lines[0]}") is None


@pytest.mark.parametrize(
    "flood",
    [
        "ghp_",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----a: a: ",
        "eyJ",
        "eyJaaaaaaaaaaaa.",
        "sk-",
        "-- ",
    ],
)
def test_any_text_is_searched_quickly(flood):
    text = (flood * (1 + 1_000_000 // len(flood))).encode()

    began = time.process_time()
    list(Search([("x", letters(40))]).matches(text))

    assert time.process_time() - began < 5
