"""Accepting any JSON of a runner takes about its own size in memory: nothing is built from it, and no part is long."""

import contextlib
import json
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from tests.hostilebodies import EVENT, PLACES, values

from agentjobs.gateway import json_text
from agentjobs.gateway.bodies import EventsBody, ResultDocumentBody, parse
from agentjobs.gateway.json_text import MAX_DEPTH, PIECE_BYTES, storable
from agentjobs.gateway.problems import json_answer
from agentjobs.history.records import StoredEvent
from agentjobs.problem import Problem

SIZE = 64 * 1024
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
VALUES = values(SIZE)


def cost(model, raw):
    """How many bytes reading `raw` takes at its peak."""
    tracemalloc.start()
    try:
        with contextlib.suppress(Problem):
            parse(model, raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def held(make, *args):
    """How many bytes stay taken by what was made."""
    tracemalloc.start()
    try:
        made = make(*args)
        return tracemalloc.get_traced_memory()[0] if made else 0
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", PLACES)
def test_no_body_takes_much_more_memory_than_its_size(place, monkeypatch):
    monkeypatch.setattr(json_text, "PIECE_BYTES", 512)  # as small next to these bodies as it is next to the largest
    model, body = PLACES[place]
    bodies = {name: body(value).encode() for name, value in VALUES.items()}

    costs = {name: cost(model, raw) / len(raw) for name, raw in bodies.items()}

    # Of a text that is read each letter has up to four bytes; that is one body at a time.
    assert {name: ratio for name, ratio in costs.items() if ratio > 5.1} == {}


def test_stored_bodies_need_no_more_memory_than_their_text():
    raw = PLACES["structured"][1](VALUES["lists"]).encode()

    assert held(parse, ResultDocumentBody, raw) < 4096


def test_an_event_takes_less_than_a_kilobyte():
    raw = json.dumps({"events": [json.loads(EVENT % ('""', "0", "{}"))] * 2000}).encode()

    assert cost(EventsBody, raw) < 2000 * 1024


def test_stored_text_is_returned_to_readers_unchanged():
    stored = Raw(VALUES["lists"].encode())
    page = {"items": [StoredEvent(1, 1, NOW, "text", "a", stored)], "cursor": None}

    # Twice: once while it is put together.
    assert held(json_answer, page) < 2.1 * SIZE


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'"' + b"a" * (PIECE_BYTES - 2) + rb"\"" + b"[" * 300 + b'"', id="quote-on-a-border"),
        pytest.param(b'"' + b"a" * (PIECE_BYTES - 3) + rb"\\" + b'"', id="backslash-on-a-border"),
        pytest.param(b'["' + b"[" * 3 * PIECE_BYTES + b'"]', id="brackets-in-a-long-string"),
        pytest.param(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, id="deepest"),
        pytest.param(rb'"\ud83d\ude42 \\ud83d"', id="pair-and-words-like-a-half"),
        pytest.param(b'"' + b"7" * 2000 + b'"', id="digits-in-a-string"),
        pytest.param("[" + '"ü",' * 50_000 + "0]", id="wide-letters-on-borders"),
    ],
)
def test_valid_json_is_passed_on_unchanged(text):
    text = text if isinstance(text, bytes) else text.encode()

    assert storable(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * (MAX_DEPTH + 1), "deeper"),
        (b'["' + b"x" * PIECE_BYTES + b'",' + b"[" * MAX_DEPTH, "deeper"),
        (b"9" * 5000, "digits"),
        (rb'"\ud83d"', "half"),
        (rb'"\ude42\ud83d"', "half"),
        (rb'"\ud83d \ude42"', "half"),
        (rb'"\\\ud83d"', "half"),
        (b'"' + b"a" * PIECE_BYTES + b'\xc3"', "UTF-8"),
        (b"\xed\xa0\x80", "UTF-8"),
    ],
)
def test_json_that_some_reader_cannot_parse_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        storable(text)


def test_nul_becomes_the_replacement_character_and_text_like_its_escape_is_kept():
    assert json.loads(storable(rb'["\u0000", "\\u0000", "\\\u0000"]')) == ["\ufffd", r"\u0000", "\\\ufffd"]


@given(st.text(alphabet='"\\[]{}u0dDeE89aAfF:,', max_size=60))
def test_accepted_json_has_the_same_value(text):
    raw = json.dumps([text, {text: text}]).encode()

    assert json.loads(storable(raw)) == json.loads(raw)
