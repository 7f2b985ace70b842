"""Paths into an answer: what they find, and what they say when they find nothing."""

import json

import msgspec
import pytest
from msgspec import Raw

from agentjobs.api.answers import Missing, Reader, as_text, whole

ANSWER = {"steps": [{"title": "one"}, {"title": "two"}], "n": 3, "none": None, "text": 'a "b"\n'}


def raw(value):
    return Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("steps.1.title", "two"),
        ("steps.0", '{"title":"one"}'),
        ("n", "3"),
        ("none", "null"),
        ("text", 'a "b"\n'),
    ],
)
def test_a_path_leads_to_a_text_or_to_json(path, text):
    assert as_text(Reader(raw(ANSWER)).at(path.split("."))) == text


@pytest.mark.parametrize(
    ("path", "at", "known"),
    [
        ("stages", "", ("steps", "n", "none", "text")),
        ("steps.2", "steps", ("0", "1")),
        ("steps.-1", "steps", ("0", "1")),
        ("steps.01", "steps", ("0", "1")),
        ("steps.99999999999", "steps", ("0", "1")),
        ("n.more", "n", ()),
        ("text.0", "text", ()),
    ],
)
def test_the_error_for_an_unknown_path_names_the_existing_keys(path, at, known):
    assert Reader(raw(ANSWER)).at(path.split(".")) == Missing(at, known)


def test_many_or_long_names_are_truncated_in_the_error():
    found = Reader(raw({"x" * 500 + str(n): n for n in range(50)})).at(["y"])

    assert isinstance(found, Missing)
    assert len(found.known) == 10
    assert all(len(name) <= 64 for name in found.known)


def test_an_answer_without_a_path_is_its_object_or_its_text():
    assert as_text(whole(raw({"text": "{}", "structured": {"a": 1}, "outcome": "Bug"})).content) == '{"a":1}'
    assert as_text(whole(raw({"text": "Hello.", "structured": None, "usage": {}})).content) == "Hello."
    assert whole(raw({"text": "", "structured": None})).outcome is None


def test_an_answer_is_parsed_once_for_many_paths(monkeypatch):
    opened = []
    decode = msgspec.json.decode
    monkeypatch.setattr(msgspec.json, "decode", lambda text, **of: opened.append(of["type"]) or decode(text, **of))
    reader = Reader(raw(ANSWER))

    assert [as_text(reader.at(["steps", str(n), "title"])) for n in (0, 1, 0, 1)] == ["one", "two", "one", "two"]
    assert len([one for one in opened if one is not str]) == 4
