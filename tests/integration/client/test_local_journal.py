"""The journal of `run --local`: a file that one run holds, with the rules of the gateway's."""

import contextlib
import sqlite3
from datetime import UTC, datetime

import pytest

from agentjobs import contract
from agentjobs.cli.failures import Failure
from agentjobs.cli.local_journal import Journal, Refused, Unusable, put_aside

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
VERSIONS = {"adk": "2.5.0", "runner": "0.1.0", "scheme": "1", "agent": "abc"}


def work(message="Go.", **fields):
    spec = {
        "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Rhyme."}},
        "input": {"message": message},
    }
    return {"spec": spec | fields, "scripts": {}}


def a_step(key, body="said", **fields):
    usage = {"llmCalls": 1, "toolCalls": 0, "inputTokens": 5, "outputTokens": 2}
    known = {"kind": "model", "agent": "writer", "name": "gemini", "began": "2026-11-29T12:00:00Z"}
    return {"key": key, **known, "ended": "2026-11-29T12:00:01Z", "request": {}, "body": body, "usage": usage, **fields}


def an_intent(key):
    return a_step(key, None, kind="tool", ended=None)


def body(*steps, run=1, void=()):
    return {"run": run, "versions": VERSIONS, "void": list(void), "steps": list(steps)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.sqlite"


@pytest.fixture
def begun(path):
    """A run that has begun, and is let go of at the end."""
    with contextlib.closing(Journal.begin(path, work(), NOW)[0]) as journal:
        yield journal


def resumed(path, of=None):
    return contextlib.closing(Journal.resume(path, of or work(), NOW))


def keys(journal):
    return [step["key"] for step in journal.page(0)["steps"]]


def test_a_later_start_reads_the_steps_of_the_earlier_start(path, begun):
    begun.append(body(a_step("a", {"text": "Hé"}), a_step("b")))
    begun.close()

    with resumed(path) as journal:
        assert (journal.start, journal.head()) == (2, {"run": 1, "last": 2, "versions": VERSIONS})
        assert [(step["n"], step["start"], step["body"]) for step in journal.page(0)["steps"]] == [
            (1, 1, {"text": "Hé"}),
            (2, 1, "said"),
        ]


def test_a_step_sent_twice_is_stored_once(begun):
    assert [begun.append(body(a_step("a", said))) for said in ("first", "second")] == [1, 1]
    assert [step["body"] for step in begun.page(0)["steps"]] == ["first"]


def test_a_call_in_progress_is_read_without_an_end_and_keeps_its_position(begun):
    begun.append(body(an_intent("call")))
    before = begun.page(0)["steps"]
    begun.append(body(a_step("call", "done", kind="tool")))

    assert [(step["n"], step["ended"], step["body"]) for step in before] == [(1, None, None)]
    assert [(step["n"], step["body"]) for step in begun.page(0)["steps"]] == [(1, "done")]


def test_a_repeated_call_belongs_to_the_later_start(path, begun):
    begun.append(body(an_intent("call")))
    begun.close()

    with resumed(path) as journal:
        journal.append(body(an_intent("call")))
        assert [step["start"] for step in journal.page(0)["steps"]] == [2]


def test_a_void_step_is_not_read_and_its_key_can_be_used_again(begun):
    begun.append(body(a_step("a", "refused", void=True), a_step("b", "wrong")))
    begun.append(body(void=["b"]))
    assert keys(begun) == []

    later = {"began": "2026-11-29T12:00:07Z"}
    begun.append(body(a_step("a", "good", **later), a_step("b", "right", **later)))
    assert [step["body"] for step in begun.page(0)["steps"]] == ["good", "right"]


def test_a_void_step_sent_twice_is_stored_once(begun):
    assert [begun.append(body(a_step("a", void=True))) for _ in range(2)] == [1, 1]
    assert begun.append(body(a_step("a", void=True, began="2026-11-29T12:00:07Z"))) == 2


def test_a_request_that_records_and_voids_a_key_voids_the_earlier_step(begun):
    begun.append(body(a_step("a", "wrong")))
    again = body(a_step("a", "right", began="2026-11-29T12:00:07Z"), void=["a"])
    begun.append(again)
    begun.append(again)

    assert [step["body"] for step in begun.page(0)["steps"]] == ["right"]


def test_a_start_can_begin_a_new_run(path, begun):
    begun.append(body(a_step("a", "old")))
    begun.close()

    with resumed(path) as journal:
        journal.append(body(a_step("a", "new"), run=2))
        assert [(step["body"]) for step in journal.page(0)["steps"]] == ["new"]
    with resumed(path) as journal:
        assert journal.head()["run"] == 2


def test_pages_contain_all_steps(begun, monkeypatch):
    monkeypatch.setattr("agentjobs.cli.local_journal.PAGE_STEPS", 2)
    begun.append(body(*(a_step(str(number)) for number in range(5))))
    read, after = [], 0
    while after is not None:
        page = begun.page(after)
        read, after = [*read, *(step["key"] for step in page["steps"])], page["next"]

    assert read == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        pytest.param([a_step("a"), a_step("big", "x" * contract.MAX_STEP_BYTES)], 413, id="step"),
        pytest.param([a_step(str(number)) for number in range(contract.MAX_STEPS + 1)], 422, id="number"),
        pytest.param([a_step("k" * (contract.MAX_STEP_KEY_CHARS + 1))], 422, id="key"),
    ],
)
def test_a_request_that_is_too_large_stores_nothing(begun, steps, status):
    with pytest.raises(Refused) as refused:
        begun.append(body(*steps))

    assert (refused.value.status, keys(begun)) == (status, [])


def test_the_run_of_another_start_is_refused(begun):
    with pytest.raises(Refused):
        begun.append(body(a_step("a"), run=7))


def test_the_first_answer_is_final(path, begun):
    begun.keep({"text": "one", "structured": None, "usage": {}})
    assert begun.keep({"text": "two", "structured": None, "usage": {}})["text"] == "one"
    begun.close()

    with resumed(path) as journal:
        assert journal.result["text"] == "one"


def test_only_one_run_at_a_time_can_use_the_file(path, begun):
    with pytest.raises(Unusable):
        Journal.resume(path, work(), NOW)
    with pytest.raises(Unusable):
        Journal.begin(path, work(), NOW)


def test_steps_of_an_unfinished_run_are_set_aside_when_another_run_begins(path, begun):
    begun.append(body(a_step("a")))
    begun.close()

    journal, left = Journal.begin(path, work("Other."), NOW)
    with contextlib.closing(journal):
        assert (left, keys(journal)) == (1, [])
    with resumed(put_aside(path)) as before:
        assert keys(before) == ["a"]


def test_each_run_has_its_own_uid_for_all_its_starts(path, begun):
    first = begun.uid
    begun.close()
    with resumed(path) as journal:
        assert journal.uid == first

    journal, _ = Journal.begin(path, work(), NOW)
    with contextlib.closing(journal):
        assert journal.uid != first


def test_an_ended_run_does_not_prevent_a_new_run(path, begun):
    begun.append(body(a_step("a")))
    begun.keep({"text": "one", "structured": None, "usage": {}})
    begun.close()

    journal, left = Journal.begin(path, work(), NOW)
    journal.close()
    assert (left, put_aside(path).exists()) == (0, False)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        pytest.param(work("Other."), "input.message", id="message"),
        pytest.param(work(output={"schema": {"type": "object"}}), "output", id="schema"),
        pytest.param(work() | {"scripts": {"a/b": "starts: []"}}, "script", id="script"),
    ],
)
def test_the_journal_of_other_work_is_refused_with_the_differences(path, begun, other, word):
    begun.close()

    with pytest.raises(Failure, match=word) as refused:
        Journal.resume(path, other, NOW)
    assert refused.value.code == 2


def test_different_timeouts_are_not_a_difference_of_work(path, begun):
    begun.close()

    with resumed(path, work(timeouts={"attempt": "1h"})) as journal:
        assert journal.start == 2


def test_nothing_can_be_resumed_without_a_file(path):
    with pytest.raises(Failure, match=str(path)):
        Journal.resume(path, work(), NOW)


@pytest.mark.parametrize("verb", ["begin", "resume"])
@pytest.mark.parametrize("kind", ["text", "other-database", "newer"])
def test_a_file_that_is_not_a_journal_is_refused_and_not_changed(path, kind, verb):
    if kind == "text":
        path.write_text("Dear diary. " * 200)
    else:
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE notes (note TEXT)")
            if kind == "newer":
                database.execute("PRAGMA application_id = 0x616A6F62")
                database.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    with pytest.raises(Failure):
        getattr(Journal, verb)(path, work(), NOW)
    assert path.read_bytes() == before


def test_a_file_that_is_damaged_in_the_middle_is_refused(path, begun):
    begun.append(body(*(a_step(str(number), "x" * 5000) for number in range(20))))
    begun.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))

    with pytest.raises(Failure, match="--journal"):
        Journal.resume(path, work(), NOW)


def test_a_damaged_step_is_named_and_other_steps_can_be_read(path, begun):
    begun.append(body(a_step("a"), a_step("b")))
    begun.close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE steps SET body = '{' WHERE key = 'a'")

    with resumed(path) as journal:
        assert [(step["body"], step.get("unreadable")) for step in journal.page(0)["steps"]] == [
            (None, True),
            ("said", None),
        ]


def test_an_empty_file_of_a_killed_run_is_used(path):
    path.touch()

    journal, left = Journal.begin(path, work(), NOW)
    journal.close()
    assert left == 0
