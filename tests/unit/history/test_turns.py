"""What is read of ADK's events, for any content, and the owner of a session."""

from datetime import UTC, datetime
from itertools import combinations

import msgspec
import pytest
from msgspec import Raw

from agentjobs import errors
from agentjobs.contract import MAX_STATE_BYTES, MAX_TURN_BYTES
from agentjobs.history.scopes import Scope
from agentjobs.history.turns import MAX_INDEXED_BYTES, TurnParts, checked, digest, head, texts_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def event(content, **more):
    return Raw(msgspec.json.encode({"content": content, **more}))


def turn(*events, state=b"{}", user=None, app=None):
    return TurnParts([Raw(one) for one in events], Raw(state), user or {}, app or {})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"parts": [{"text": "a"}, {"text": "b"}]}, "a\nb"),
        ({"parts": [{"text": "hidden", "thought": True}, {"text": "b"}]}, "b"),
        ({"parts": [{"functionCall": {"name": "f", "args": {"text": "x"}}}]}, ""),
        ({"parts": [{"inlineData": {"data": "aaaa"}}, {"text": None}]}, ""),
        ({"parts": []}, ""),
        ({"parts": None}, ""),
        ({}, ""),
        (None, ""),
        ("text", ""),
        ([{"text": "a"}], ""),
        ({"parts": "text"}, ""),
        ({"parts": [{"text": 7}]}, ""),
        ({"parts": [{"text": "a"}, 7]}, ""),
        ({"parts": [{"text": "x" * MAX_INDEXED_BYTES}]}, ""),
    ],
)
def test_only_the_texts_of_an_event_are_found(content, text):
    assert texts_of(event(content)) == text


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"content": {"parts": [{"text": "a"', b'{"id": 7, "author": [], "timestamp": "x"}']
)
def test_an_event_that_is_not_adks_has_no_text_and_no_author(raw):
    assert (texts_of(Raw(raw)), head(Raw(raw)).author) == ("", "")


@pytest.mark.parametrize("timestamp", [None, 1e300, -1e300, "now"])
def test_an_event_without_a_valid_time_has_that_of_its_turn(timestamp):
    more = {} if timestamp is None else {"timestamp": timestamp}

    assert head(event(None, **more)).time(NOON) == NOON


def test_different_turns_have_different_digests():
    turns = [
        turn(),
        turn(b"{}"),
        turn(b"{}", b"{}"),
        turn(b'{"a":1}'),
        turn(state=b'{"a":1}'),
        turn(user={"a": Raw(b"1")}),
        turn(app={"a": Raw(b"1")}),
    ]

    assert len({digest(one) for one in turns}) == len(turns)
    assert digest(turn(b'{"a":1}')) == digest(turn(b'{"a":1}'))


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (turn(b"{" + b" " * MAX_TURN_BYTES + b"}"), errors.TooLarge),
        (turn(state=b'{"a":"' + b"x" * MAX_STATE_BYTES + b'"}'), errors.Invalid),
        (turn(user={"a": Raw(b'"' + b"x" * MAX_STATE_BYTES + b'"')}), errors.Invalid),
        (turn(app={"ä" * MAX_STATE_BYTES: Raw(b"1")}), errors.Invalid),
    ],
    ids=["turn", "state", "user", "app"],
)
def test_a_too_large_turn_is_refused(given, refused):
    with pytest.raises(refused):
        checked(given)


def test_different_names_are_different_scopes():
    names = ["", "a", "b", "ab", "a\n", '"', '","', "\x00", "ä"]
    scopes = {Scope("c", *chosen).id for chosen in combinations(names * 2, 4)}

    assert len(scopes) == len({*combinations(names * 2, 4)})


@pytest.mark.parametrize(
    ("name", "session"), [("a", "s"), ("user:a", ""), ("user:", ""), ("User:a", "s"), (" user:a", "s"), ("app:a", "s")]
)
def test_only_the_prefix_makes_an_artifact_the_users(name, session):
    scope = Scope("c", "n", "app", "ann", "s").of_artifact(name)

    assert (scope.user, scope.session) == ("ann", session)
