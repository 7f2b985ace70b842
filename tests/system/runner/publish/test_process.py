"""The publishing container, as its pod runs it: a process that can be stopped or killed at any time."""

import os
import signal
import subprocess
import sys
import time

import pytest
from tests.system.runner.conftest import TOKEN, FakeGateway

from agentjobs import contract
from agentjobs.contract import TerminationMessage
from agentjobs_runner.workspace.settings import BASE_FILE, Base

BRANCH = "agents/a"


@pytest.fixture
def pod(site, serve):
    """Begin the container's process for a change of the agent's."""
    (site.tree / "new.txt").write_text("new\n")
    asked = {"git": {"url": site.url, "depth": 1}, "publish": {"mode": "Branch", "branch": BRANCH}}
    attempt = {
        "namespace": "team-a",
        "job": "fix",
        "uid": "u-1",
        "start": 1,
        "attempt": 1,
        "maxAttempts": 3,
        "resolved": {"spec": {"workspace": asked}, "scripts": {}},
        "result": {"text": "Fix it", "structured": None, "usage": {}},
    }
    gateway = FakeGateway(attempt, kept={BASE_FILE: Base(site.url, None, "main", site.base()).dump()})
    server = serve(gateway.answer)
    (site.folder / "token").write_text(TOKEN)
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TMPDIR": str(site.folder),
        contract.ENV_GATEWAY_URL: server.url,
        contract.ENV_TOKEN_FILE: str(site.folder / "token"),
        contract.ENV_NAMESPACE: "team-a",
        contract.ENV_JOB: "fix",
        contract.ENV_START: "1",
        contract.ENV_TERMINATION_FILE: str(site.folder / "end"),
        contract.ENV_WORKSPACE: str(site.tree.parent),
        contract.ENV_GIT_CREDENTIALS: str(site.credentials),
    }
    processes = []

    def begin():
        (site.folder / "end").unlink(missing_ok=True)
        command = [sys.executable, *contract.PUBLISH_COMMAND[1:]]
        processes.append(subprocess.Popen(command, env=variables, cwd="/"))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def said(site):
    return TerminationMessage.load((site.folder / "end").read_text())


def waiting_push(site):
    """Let the server hold a push until the file `go` is there; return what says that it has begun."""
    began, go = site.folder / "began", site.folder / "go"
    hook = site.bare / "hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {began}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    return began, go


def until(path):
    limit = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < limit, path
        time.sleep(0.02)


def test_the_termination_message_says_what_was_published(site, pod):
    assert pod().wait(60) == 0

    assert said(site).verdict == "Succeed"
    assert said(site).published == {"branch": BRANCH, "commit": site.there("rev-parse", BRANCH)}


def test_sigterm_ends_publishing_immediately_and_the_next_start_continues(site, pod):
    began, go = waiting_push(site)
    process = pod()
    until(began)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == contract.EXIT_CODES["Snooze"]
    assert time.monotonic() - told < 10
    assert said(site).reason == "Interrupted"
    go.touch()
    assert pod().wait(60) == 0
    assert said(site).published == {"branch": BRANCH, "commit": site.there("rev-parse", BRANCH)}


def test_a_push_during_which_the_process_was_killed_is_found_by_the_next_start(site, pod):
    began, go = waiting_push(site)
    process = pod()
    until(began)
    process.kill()
    process.wait()
    go.touch()

    assert pod().wait(60) == 0
    assert said(site).published["commit"] == site.there("rev-parse", BRANCH)
    assert site.there("rev-list", "--count", BRANCH) == "2"


def test_publishing_leaves_no_processes_and_files(site, pod):
    assert pod().wait(60) == 0

    assert list(site.folder.glob("publish-*")) == []
