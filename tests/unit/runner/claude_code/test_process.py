"""The CLI as a child: its lines, its signals, its end."""

import os
import signal
import sys
import time

import pytest

from agentjobs_runner.claude_code.process import MAX_STDERR_BYTES, Lines, Process


@pytest.fixture
def begun(tmp_path):
    """`begun(code)`: Python code as the child."""
    children: list[Process] = []

    def start(code: str, prompt: bytes = b"") -> Process:
        child = Process([sys.executable, "-c", code], os.environ, tmp_path, prompt, tmp_path)
        children.append(child)
        return child

    yield start
    for child in children:
        child.end()


def read(child: Process) -> list[bytes]:
    lines, deadline = [], time.monotonic() + 30
    while not child.ended:
        assert time.monotonic() < deadline
        lines += child.read(0.1)
    return lines


def first(child: Process) -> list[bytes]:
    lines, deadline = [], time.monotonic() + 30
    while not lines:
        assert time.monotonic() < deadline
        lines = child.read(0.1)
    return lines


def test_chunks_are_joined_into_lines_and_the_last_needs_no_newline():
    lines = Lines(100)

    assert lines.feed(b"a\nb") == [b"a"]
    assert lines.feed(b"c\n\nd") == [b"bc"]
    assert lines.rest() == [b"d"]
    assert lines.rest() == []


def test_the_beginning_of_a_long_line_is_kept_and_the_next_line_is_complete():
    lines = Lines(3)

    found = [line for piece in (b"abc", b"defg" * 1000, b"\nhi\n") for line in lines.feed(piece)]

    assert found == [b"abc", b"hi"]


def test_a_line_of_100_megabytes_is_truncated(begun):
    child = begun("print('x' * 100_000_000); print('end')")

    beginning, last = read(child)

    assert len(beginning) < 40_000_000
    assert last == b"end"


def test_a_prompt_of_any_length_is_passed_by_standard_input(begun):
    child = begun("import sys; print(len(sys.stdin.read()))", b"p" * 3_000_000)

    assert read(child) == [b"3000000"]
    assert child.code == 0


def test_a_child_that_does_not_read_its_prompt_can_end(begun):
    assert read(begun("print('bye')", b"p" * 3_000_000)) == [b"bye"]


def test_the_end_of_standard_error_is_kept(begun):
    child = begun("import sys; sys.stderr.write('x' * 100_000 + 'why'); sys.exit(3)")

    read(child)

    assert child.code == 3
    assert child.stderr.endswith("xwhy")
    assert len(child.stderr) == MAX_STDERR_BYTES


def test_the_exit_is_reported_even_if_a_descendant_keeps_the_output_open(begun):
    child = begun("import subprocess; subprocess.Popen(['sleep', '3321'], start_new_session=True); print('done')")

    assert read(child) == [b"done"]
    assert child.code == 0


def test_the_process_has_its_own_process_session(begun):
    assert read(begun("import os; print(os.getsid(0) == os.getpgrp() == os.getpid())")) == [b"True"]


def test_a_stopping_process_continues_until_it_is_killed(begun):
    deaf = begun(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    first(deaf)

    deaf.stop()
    deaf.read(0.2)
    assert not deaf.ended
    deaf.kill()
    read(deaf)

    assert deaf.code == -signal.SIGKILL


def test_a_program_that_cannot_be_executed_is_an_os_error(tmp_path):
    program = tmp_path / "claude"
    program.write_text("not a program")

    with pytest.raises(OSError, match="claude"):
        Process([str(program)], os.environ, tmp_path, b"", tmp_path)
