"""The command line of `agentjobs conformance`: wrong input, what is printed, and what is left running."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

PROGRAM = str(Path(__file__).parent / "program.py")
AGENTJOBS = (sys.executable, "-c", "from agentjobs.cli import main; main()", "conformance")


def ran(*words, **env):
    return subprocess.run(
        [*AGENTJOBS, *words], capture_output=True, text=True, env={**os.environ, **env}, timeout=120, errors="replace"
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param([], 2, "nothing to check: give an image, or a command", id="nothing"),
        pytest.param(["--"], 2, "nothing to check", id="an-empty-command"),
        pytest.param(["--only", "succes", "--", "true"], 2, "did you mean success?", id="no-such-situation"),
        pytest.param(["--", "no-such-program"], 2, "no-such-program cannot be started", id="no-such-program"),
        pytest.param(["--parallel", "0", "--", "true"], 2, "--parallel=0", id="none-at-once"),
        pytest.param(["-o", "yaml", "--", "true"], 2, "--output=yaml", id="no-such-format"),
        pytest.param(["-f", "no-such-file.yaml", "--", "true"], 2, "no-such-file.yaml", id="no-such-file"),
        pytest.param(["one", "two"], 2, "unexpected extra argument", id="a-command-without-dashes"),
    ],
)
def test_an_invalid_command_line_is_refused(words, code, said):
    done = ran(*words)

    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


def test_a_missing_container_runtime_has_a_separate_exit_code(tmp_path):
    done = ran("example.com/agent:1", PATH=str(tmp_path))

    assert done.returncode == 3
    assert "docker is not installed; podman is not installed" in done.stderr


def test_an_unavailable_docker_daemon_is_reported(tmp_path):
    tool(tmp_path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")

    done = ran("example.com/agent:1", PATH=str(tmp_path))

    assert done.returncode == 3
    assert "docker does not work: Cannot connect to the Docker daemon" in done.stderr


def tool(folder, name, script):
    """Put a program into a folder, for PATH."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_an_unavailable_image_is_reported(tmp_path):
    tool(tmp_path, "docker", '[ "$1" = info ] && exit; echo "pull access denied" >&2; exit 1')

    done = ran("example.com/agent:1", PATH=str(tmp_path))

    assert (done.returncode, done.stdout) == (1, "")
    assert "example.com/agent:1 is not available: pull access denied" in done.stderr


def test_an_image_runs_with_the_settings_of_a_pod(tmp_path):
    tool(tmp_path, "docker", f'[ "$1" != run ] || echo "$@" >> {tmp_path}/asked')

    done = ran("--only", "tls", "example.com/agent:1", "--", "run", "--fast", PATH=str(tmp_path))

    words = (tmp_path / "asked").read_text().split("\n")[0].split()
    assert done.returncode == 1
    assert words[-4:] == ["--entrypoint", "run", "example.com/agent:1", "--fast"]
    assert {"--read-only", "--rm", "65532:65532", "host", "AGENTJOBS_TOKEN_FILE=/var/run/agentjobs/token"} <= {*words}
    assert "AGENTJOBS_GATEWAY_CA=/var/run/agentjobs/gateway-ca.crt" in words


def test_a_program_that_fails_in_the_success_situation_is_not_run_again():
    done = ran("-o", "json", "--", "true")

    told = json.loads(done.stdout)
    assert (done.returncode, told["passed"]) == (1, False)
    assert [one["name"] for one in told["situations"] if one["result"] == "Failed"] == ["success"]
    assert told["situations"][0]["faults"]


def test_control_characters_in_a_programs_output_are_not_printed(tmp_path):
    tool(tmp_path, "rude", r"printf '\033[2J\007gone\n'; exit 9")

    done = ran("--only", "success", "--", str(tmp_path / "rude"))

    assert "gone" in done.stdout
    assert "\x1b" not in done.stdout


def test_large_output_is_truncated():
    done = ran("-o", "json", "--only", "success", "--timeout", "2s", "--", sys.executable, PROGRAM, "floods")

    (told,) = json.loads(done.stdout)["situations"]
    assert "it did not end within 2 s, so it was killed" in told["faults"]
    assert len(told["output"]) <= 16 * 1024


def test_ctrl_c_leaves_nothing_running():
    words = [*AGENTJOBS, "--", sys.executable, PROGRAM, "hangs"]
    command = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in a shell's background has them ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    children = until(lambda: [one for one in psutil.Process(command.pid).children() if PROGRAM in words_of(one)])

    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)

    assert (command.returncode, said.strip()) == (130, "interrupted")
    assert not any(runs(child.pid) for child in children)


def test_processes_left_by_a_program_are_killed(tmp_path):
    tool(tmp_path, "forks", f"sleep 600 & echo $! > {tmp_path}/pid; exit 0")

    ran("--only", "success", "--", str(tmp_path / "forks"))

    left = int((tmp_path / "pid").read_text())
    until(lambda: not runs(left))


def runs(pid):
    """Whether a process is there that has not ended; it may end at any moment."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words_of(process):
    """Its command line; none if it has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def until(found):
    deadline = time.monotonic() + 30
    while not (what := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return what
