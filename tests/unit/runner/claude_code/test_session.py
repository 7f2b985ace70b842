"""The session's file: kept while it grows, put back, and not believed where it is not whole."""

import json

import pytest
from tests.memorystores import MemoryKept

from agentjobs.errors import TooLarge
from agentjobs_runner.claude_code.session import (
    SESSION,
    STATE,
    Absent,
    Keeper,
    Restored,
    Tail,
    give_up,
    new_id,
    path_of,
    restore,
)
from agentjobs_runner.redaction import Redactor

ID = new_id("uid", 1)


def line(n: int, content: object = "hi", session: str = ID) -> str:
    return json.dumps({"type": "user", "n": n, "sessionId": session, "message": {"content": content}}) + "\n"


def same(text):
    return text


@pytest.fixture
def kept():
    return MemoryKept()


@pytest.fixture
def written(tmp_path):
    """`written(text)`: the session's file, as the CLI writes it."""
    path = path_of(tmp_path / "home", tmp_path, ID)
    path.parent.mkdir(parents=True)

    def write(text: str, mode: str = "a"):
        with path.open(mode) as file:
            file.write(text)
        return path

    return write


def keep(kept, tmp_path, *, restored=None, seal=same):
    keeper = Keeper(kept, seal, tmp_path / "home", ID, restored, lambda call: True)
    keeper.start()
    return keeper.finish()


def test_a_session_id_is_unique_per_start():
    assert new_id("uid", 1) == ID
    assert len({ID, new_id("uid", 2), new_id("other", 1)}) == 3


def test_only_complete_lines_are_kept(kept, written, tmp_path):
    written(line(1) + line(2) + '{"half')

    assert keep(kept, tmp_path) == ""

    assert kept.read(SESSION).decode() == line(1) + line(2)


def test_a_kept_session_is_restored_and_continues_where_it_ended(kept, written, tmp_path):
    path = written(line(1))
    keep(kept, tmp_path)
    path.unlink()
    found = restore(kept, same, tmp_path / "home", tmp_path)
    assert isinstance(found, Restored)
    assert path.read_text() == line(1)
    written(line(2))

    assert keep(kept, tmp_path, restored=found) == ""

    assert kept.read(SESSION).decode() == line(1) + line(2)


def test_secrets_are_not_kept_and_replaced_by_those_of_the_next_pod(kept, written, tmp_path):
    before, after = ({"API_TOKEN": f"secret-value-{n}-" + "x" * n} for n in (1, 20))
    path = written(line(1, f"it is {before['API_TOKEN']}"))
    keep(kept, tmp_path, seal=Redactor(before).seal)
    assert before["API_TOKEN"].encode() not in kept.read(SESSION)

    found = restore(kept, Redactor(after).unseal, tmp_path / "home", tmp_path)
    assert path.read_text() == line(1, f"it is {after['API_TOKEN']}")
    written(line(2))
    keep(kept, tmp_path, restored=found, seal=Redactor(after).seal)

    assert [json.loads(one)["n"] for one in kept.read(SESSION).splitlines()] == [1, 2]


def test_a_rewritten_file_is_read_from_its_beginning(written):
    tail = Tail(written(line(1) + line(2)))
    assert tail.more() == ((line(1) + line(2)).encode(), False)

    written(line(3) + line(4), "w")

    assert tail.more() == ((line(3) + line(4)).encode(), True)
    assert tail.more() == (b"", False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept.write(SESSION, b"not json\n"),
        lambda kept: kept.write(SESSION, b'{"half', offset=len(kept.read(SESSION))),
        lambda kept: kept.write(SESSION, line(1, session=new_id("uid", 9)).encode()),
        lambda kept: kept.write(SESSION, b""),
        lambda kept: kept.write(SESSION, b"\xff\xfe\n"),
        lambda kept: kept.write(STATE, b"nonsense"),
        lambda kept: kept.write(STATE, b'{"session": "../../etc/passwd"}'),
        lambda kept: kept.write(STATE, b'{"session": null}'),
        lambda kept: kept.delete(SESSION),
    ],
)
def test_a_damaged_session_is_not_resumed_and_is_reported(kept, written, tmp_path, damage):
    path = written(line(1))
    keep(kept, tmp_path)
    path.unlink()
    damage(kept)

    found = restore(kept, same, tmp_path / "home", tmp_path)

    assert isinstance(found, Absent)
    assert found.why
    assert not path.exists()


def test_an_abandoned_session_is_not_resumed_and_causes_no_warning(kept, written, tmp_path):
    written(line(1))
    keep(kept, tmp_path)

    give_up(kept, ID)

    assert restore(kept, same, tmp_path / "home", tmp_path) == Absent()
    assert kept.read(SESSION) is None


def test_a_session_with_a_secret_that_the_pod_lacks_is_not_resumed(kept, written, tmp_path):
    secrets = {"API_TOKEN": "secret-value-1-x"}
    written(line(1, secrets["API_TOKEN"]))
    keep(kept, tmp_path, seal=Redactor(secrets).seal)

    found = restore(kept, Redactor({}).unseal, tmp_path / "home", tmp_path)

    assert isinstance(found, Absent)
    assert "API_TOKEN" in found.why


def test_a_too_large_session_is_not_kept_partially(written, tmp_path):
    class Full(MemoryKept):
        def write(self, name, content, *, offset=0):
            if name == SESSION and offset:
                raise TooLarge("256 MiB are kept")
            super().write(name, content, offset=offset)

    kept = Full()
    written(line(1))
    keep(kept, tmp_path)
    found = restore(kept, same, tmp_path / "home", tmp_path)
    written(line(2))

    assert "256 MiB" in keep(kept, tmp_path, restored=found)

    assert restore(kept, same, tmp_path / "home", tmp_path) == Absent()


def test_a_restored_session_reports_calls_without_a_result(kept, written, tmp_path):
    asked = [{"type": "tool_use", "id": f"t{n}", "name": "Bash", "input": {"command": n}} for n in (1, 2)]
    written(line(1, asked) + line(2, [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]))
    keep(kept, tmp_path)

    found = restore(kept, same, tmp_path / "home", tmp_path)

    assert set(found.calls.requested) - found.calls.answered == {"t2"}


def test_a_result_is_kept_only_after_it_is_recorded(kept, written, tmp_path):
    recorded, result = set(), {"type": "tool_result", "content": "ok"}
    written(line(1, [{**result, "tool_use_id": "t1"}]) + line(2, [{**result, "tool_use_id": "t2"}]) + line(3))
    keeper = Keeper(kept, same, tmp_path / "home", ID, None, recorded.__contains__)

    found = []
    for call in ("t0", "t1", "t2"):
        recorded.add(call)
        keeper._keep()
        found.append(len((kept.read(SESSION) or b"").splitlines()))

    assert found == [0, 1, 3]
    assert kept.read(SESSION).decode().count("sessionId") == 3


def test_unrecorded_lines_are_kept_when_the_cli_has_ended(kept, written, tmp_path):
    written(line(1, [{"type": "tool_result", "tool_use_id": "t1", "content": "Exit code 137"}]))
    keeper = Keeper(kept, same, tmp_path / "home", ID, None, lambda call: False)
    keeper.start()

    assert keeper.finish() == ""

    assert b"Exit code 137" in kept.read(SESSION)
