"""`agentjobs run --claude` without a cluster: the exit code is the verdict, and the installed CLI is used."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.fakeanthropic import FakeAnthropic

from agentjobs.cli.app import run

STAND_IN = Path(__file__).parents[2] / "claudecli.py"
CLAUDE = os.environ.get("AGENTJOBS_CLAUDE") or str(STAND_IN)
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


@pytest.fixture
def api():
    fake = FakeAnthropic()
    yield fake
    fake.close()


@pytest.fixture
def folder(tmp_path, monkeypatch, api):
    """A folder to work in, where no cluster is to be found, and a key for the scripted API."""
    for name, value in {
        "AGENTJOBS_CLAUDE": CLAUDE,
        "ANTHROPIC_BASE_URL": api.url,
        "ANTHROPIC_API_KEY": "sk-not-a-real-key-0123456789",
        "IS_SANDBOX": "1",
        "KUBECONFIG": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
def claude(folder, capfd):
    """`await claude(prompt, flag, …)`: the exit code, standard output and standard error."""

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def typed(prompt, *flags):
        arguments = ["run", "--claude", prompt, "--working-dir", str(folder), "--model", "claude-sonnet-5-5", *flags]
        code = await asyncio.to_thread(left, arguments)
        return code, *capfd.readouterr()

    return typed


def bash(command):
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}]}


async def test_claude_code_works_in_the_folder_and_its_answer_is_printed(claude, folder, api):
    api.script = [bash("pwd > made"), {"text": "Made it."}]

    code, out, err = await claude("Make it.", "--permission-mode", "bypassPermissions")

    assert (code, out) == (0, "Made it.\n")
    assert (folder / "made").read_text().strip() == str(folder)
    assert "it may do anything that you may do" in err


async def test_json_output_has_the_verdict_the_answer_and_the_usage(claude, folder, api, tmp_path):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    api.script = [{"tools": [{"name": "StructuredOutput", "input": {"ok": True}}]}]

    code, out, _ = await claude("Judge it.", "--schema", str(tmp_path / "schema.json"), "--json")

    told = json.loads(out)
    assert (code, told["verdict"], told["result"]["structured"]) == (0, "Succeed", {"ok": True})
    assert told["usage"]["llmCalls"] == 1


async def test_an_api_that_refuses_the_key_is_a_failure(claude, api):
    api.script = [{"status": 401, "error": {"type": "authentication_error", "message": "invalid x-api-key"}}]

    code, out, err = await claude("Go.")

    assert (code, out) == (78, "")
    assert "Fail ModelAuth" in err


async def test_reaching_the_limit_of_turns_is_a_failure(claude, api):
    api.script = [bash("true")]

    code, _, err = await claude("Go on for ever.", "--max-turns", "2", "--permission-mode", "bypassPermissions")

    assert (code, "Fail MaxTurnsExceeded" in err) == (78, True)


async def test_the_users_login_is_used_if_no_key_is_set(claude, folder, tmp_path, monkeypatch):
    """A stand-in that prints its home: only the real CLI has a login there."""
    home, told = tmp_path / "home", tmp_path / "told"
    home.mkdir()
    program = tmp_path / "claude"
    program.write_text(f'#!/bin/sh\nprintf %s "$HOME" > {told}\nexec {STAND_IN} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("AGENTJOBS_CLAUDE", str(program))
    monkeypatch.setenv("HOME", str(home))

    await claude("Go.")
    assert told.read_text() != str(home)

    monkeypatch.delenv("ANTHROPIC_API_KEY")
    await claude("Go.")
    assert told.read_text() == str(home)


async def test_a_killed_run_continues_in_its_session(claude, api, folder):
    """The runner is killed by a tool, which waits until the session is kept: a second, and longer on a busy machine."""
    api.script = [bash("true"), bash("sleep 5; kill -9 $(ps -o ppid= -p $PPID)"), {"text": "Went on."}]

    first, _, err = await claude("Go.", "--permission-mode", "bypassPermissions", "--name", "killed")
    code, out, _ = await claude("Go.", "--permission-mode", "bypassPermissions", "--name", "killed", "--resume")

    assert (first, "RunnerCrashed" in err) == (70, True)
    assert (code, out) == (0, "Went on.\n")
    assert "toolu_" in api.requests[2].said


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary files are made."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def mark():
    """A command that runs for long, known by its number; ended after the test."""
    command = f"sleep {4_000_000 + os.getpid()}"
    yield command
    for process in running(command):
        with suppress(psutil.NoSuchProcess):  # it ended with its parent
            process.kill()


def running(command):
    words = command.split()
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == words]


async def in_tool(command):
    """Until a tool runs the command; its process."""
    async with asyncio.timeout(60):
        while not (found := running(command)):
            await asyncio.sleep(0.05)
    return found[0]


async def test_a_killed_runner_leaves_no_processes_and_files(claude, api, temporary, mark):
    api.script = [bash(mark)]
    ending = asyncio.create_task(claude("Go.", "--permission-mode", "bypassPermissions"))
    tool = await in_tool(mark)
    runner = next(one for one in tool.parents() if "agentjobs_runner" in one.cmdline())

    runner.kill()
    code, _, err = await ending

    assert (code, "RunnerCrashed" in err) == (70, True)
    assert running(mark) == []
    assert list(temporary.iterdir()) == []


async def test_a_killed_command_line_leaves_no_processes_and_files(folder, api, temporary, mark):
    api.script = [bash(mark)]
    words = ["run", "--claude", "Go.", "--working-dir", str(folder), "--model", "claude-sonnet-5-5"]
    words += ["--permission-mode", "bypassPermissions"]
    line = subprocess.Popen(
        [sys.executable, "-c", "from agentjobs.cli import main; main()", *words], stderr=subprocess.DEVNULL
    )
    tool = await in_tool(mark)
    guard = next(one for one in tool.parents() if one.ppid() == line.pid)

    line.kill()
    line.wait()
    psutil.wait_procs([guard], timeout=30)

    assert running(mark) == []
    assert [one for one in temporary.rglob("*") if one.is_file()] == []
