"""The pod's token is the newest one in its file."""

import pytest

from agentjobs_runner.pod_token import PodToken


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "token"
    made.write_text("first\n")
    return made


def test_a_renewed_token_is_reported_once(file):
    told = []
    token = PodToken(file, told.append)
    token(), token()

    file.write_text("second\n")

    assert [token(), token()] == ["second"] * 2
    assert told == ["first", "second"]


def test_the_last_token_is_used_if_the_file_becomes_unreadable(file):
    token = PodToken(file, lambda _: None)
    token()
    file.unlink()
    assert token() == "first"


def test_a_token_that_could_never_be_read_is_an_error(tmp_path):
    with pytest.raises(OSError, match="token"):
        PodToken(tmp_path / "token", lambda _: None)()
