"""Starts of a job with a workspace: the real containers, one after the other, with a gateway on this machine."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from tests.gitservers import PASSWORD, commit, git, secret

from agentjobs import contract
from agentjobs.cli.local_gateway import serving
from agentjobs.cli.local_journal import Journal
from agentjobs.contract import TerminationMessage

TOKEN = "token-of-this-pod"
TOOLS = '''
import os, pathlib, signal, subprocess, time
def write(name: str, text: str):
    """Write a file of the checkout, without saying where that is."""
    pathlib.Path(name).write_text(text)
    return {"ok": sorted(path.name for path in pathlib.Path(".").iterdir() if path.name != ".git")}
def commits():
    """Commit all there is, as an agent does."""
    for order in (["checkout", "-q", "-b", "work"], ["add", "-A"], ["commit", "-q", "-m", "made"]):
        subprocess.run(["git", *order], check=True)
    return {"ok": 1}
def dies(once: str):
    """Kill the pod, at its first call."""
    if not os.path.exists(once):
        pathlib.Path(once).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"ok": 1}
def waits(once: str):
    """Write, and then take longer than anybody waits, at its first call."""
    if not os.path.exists(once):
        pathlib.Path("half").write_text("done")
        pathlib.Path(once).touch()
        time.sleep(60)
    return {"ok": 1}
'''


@dataclass
class Container:
    """A container's process, when it has ended."""

    code: int
    message: TerminationMessage | None
    log: str

    @property
    def verdict(self):
        return self.message and (self.message.verdict.value, self.message.reason)


class Job:
    """One job, whose starts each have a pod of their own."""

    def __init__(self, folder, url, reader, answers, **workspace):
        self.folder, self.reader = folder, reader
        (folder / "modules").mkdir()
        (folder / "modules/tools.py").write_text(TOOLS)
        tools = [{"name": f"tools:{name}"} for name in ("write", "commits", "dies", "waits")]
        agent = {"model": "scripted/s/m", "inline": {"name": "helper", "instruction": "Help.", "tools": tools}}
        self.resolved = {
            "spec": {
                "agent": agent,
                "input": {"message": "Go."},
                "session": {},
                "workspace": {"git": {"url": url}, **workspace},
            },
            "scripts": {"s/m": yaml.safe_dump({"starts": [answers]})},
        }
        self.starts = 0
        self.journal = None
        self.result = None

    def begin(self):
        """Begin the next start in a new pod; return the folder of its workspace."""
        self.starts += 1
        path, now = self.folder / "journal.sqlite", datetime.now(UTC)
        if self.journal is not None:
            self.journal.close()
            self.journal = Journal.resume(path, self.resolved, now)
        else:
            self.journal, _ = Journal.begin(path, self.resolved, now)
        self.pod = self.folder / f"pod-{self.starts}"
        (self.pod / "workspace").mkdir(parents=True)
        (self.pod / "token").write_text(TOKEN)
        return self.pod / "workspace"

    def run(self, *module, until=None, send=signal.SIGTERM, **more):
        """Run a container of the pod to its end; when `until` is true, send it a signal."""
        given = {
            "namespace": "default",
            "job": "hello",
            "uid": self.journal.uid,
            "attempt": 1,
            "maxAttempts": 3,
            "start": self.journal.start,
            "resolved": self.resolved,
            "result": self.result,
            "journal": self.journal.head(),
            "session": False,
        }
        end = self.pod / f"termination-{module[0].rpartition('.')[2]}"
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.pod),
            "PYTHONPATH": f"{self.folder / 'modules'}:{Path(__file__).parents[3]}",
            contract.ENV_TOKEN_FILE: str(self.pod / "token"),
            contract.ENV_NAMESPACE: "default",
            contract.ENV_JOB: "hello",
            contract.ENV_START: str(self.journal.start),
            contract.ENV_TERMINATION_FILE: str(end),
            contract.ENV_GRACE_SECONDS: "8",
            contract.ENV_WORKSPACE: str(self.pod / "workspace"),
            contract.ENV_GIT_CREDENTIALS: str(self.reader),
            **more,
        }
        with serving(given, self.journal, TOKEN) as gateway:
            variables[contract.ENV_GATEWAY_URL] = gateway.url
            program = [sys.executable, "-m", *module]
            process = subprocess.Popen(
                program, env=variables, cwd=self.pod, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            with process:
                deadline = time.monotonic() + 60
                while until is not None and not until() and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                if until is not None:
                    process.send_signal(send)
                _, log = process.communicate(timeout=120)
        told = end.read_text() if end.exists() else ""
        return Container(process.returncode, TerminationMessage.load(told), log)

    def clone(self, **more):
        return self.run("agentjobs_runner.workspace", "clone", **more)

    def agent(self, **more):
        return self.run("agentjobs_runner", **more)

    def start(self, **more):
        """One whole start: both containers; return the checkout and how the agent's ended."""
        root = self.begin()
        cloned = self.clone()
        assert cloned.code == 0, cloned.log
        return root / "tree", self.agent(**more)


@pytest.fixture
def job(tmp_path, repositories, http, reader):
    made = []

    def make(*answers, **workspace):
        work = repositories.make("shop")
        made.append(Job(tmp_path / "job", f"{http.url}/shop.git", reader, list(answers), **workspace))
        made[-1].work = work
        return made[-1]

    (tmp_path / "job").mkdir()
    yield make
    for one in made:
        if one.journal is not None:
            one.journal.close()


def call(tool, /, **arguments):
    return {"toolCalls": [{"name": tool, "args": arguments}]}


def test_the_files_of_a_lost_pod_are_restored_in_the_next_one(job, tmp_path):
    work = job(
        call("write", name="one", text="1"),
        call("commits"),
        call("write", name="two", text="2"),
        call("dies", once=str(tmp_path / "once")),
        {"text": "done"},
    )
    _, first = work.start()

    tree, second = work.start()

    assert first.code == -signal.SIGKILL
    assert second.verdict[0] == "Succeed", second.log
    assert (tree / "one").read_text() + (tree / "two").read_text() == "12"
    assert git("log", "--format=%s %an", cwd=tree).splitlines()[0] == "made agentjobs"
    assert git("symbolic-ref", "--short", "HEAD", cwd=tree) == "work"
    assert git("status", "--porcelain", cwd=tree) == "?? two"


def test_on_sigterm_the_files_of_a_step_are_kept(job, tmp_path):
    once = tmp_path / "once"
    work = job(call("waits", once=str(once)), {"text": "done"})
    _, first = work.start(until=once.exists)

    tree, second = work.start()

    assert first.verdict == ("Snooze", "Interrupted")
    assert second.verdict[0] == "Succeed", second.log
    assert (tree / "half").read_text() == "done"


def test_a_run_whose_base_is_missing_restarts(job, tmp_path, repositories):
    work = job(call("write", name="one", text="1"), call("dies", once=str(tmp_path / "once")), {"text": "done"})
    work.start()
    git("commit", "-q", "--amend", "-m", "other", cwd=work.work)
    git("push", "-q", "--force", "origin", "main", cwd=work.work)
    git("gc", "-q", "--prune=now", cwd=repositories.root / "shop.git")

    tree, second = work.start()

    assert second.verdict[0] == "Succeed", second.log
    assert "begins again" in second.log
    assert git("rev-parse", "HEAD", cwd=tree) == git("rev-parse", "HEAD", cwd=work.work)
    assert (tree / "one").read_text() == "1"
    assert work.journal.run == 2


def test_the_next_start_begins_a_new_run_if_files_could_not_be_kept(job, tmp_path):
    work = job(call("write", name="one", text="1"), call("dies", once=str(tmp_path / "once")), {"text": "done"})
    work.start()
    with work.journal.file() as connection:
        connection.execute("UPDATE kept_files SET name = 'workspace/unkept' WHERE name LIKE '%.pack'")

    _, second = work.start()

    assert second.verdict[0] == "Succeed", second.log
    assert work.journal.run == 2


def test_files_of_a_job_with_a_result_are_restored_for_publishing(job):
    publish = {"mode": "Branch", "branch": "agents/x"}
    work = job(call("write", name="one", text="1"), {"text": "done"}, publish=publish)
    work.start()
    work.result = work.journal.result

    tree, second = work.start()

    assert second.verdict == ("Succeed", "ResultAccepted")
    assert (tree / "one").read_text() == "1"


def test_a_job_with_a_result_whose_files_are_lost_does_not_succeed(job):
    publish = {"mode": "Branch", "branch": "agents/x"}
    work = job(call("write", name="one", text="1"), {"text": "done"}, publish=publish)
    work.start()
    work.result = work.journal.result
    with work.journal.file() as connection:
        connection.execute("UPDATE kept_files SET name = 'workspace/unkept' WHERE name LIKE '%.pack'")

    _, second = work.start()

    assert second.verdict == ("Fail", "PublishRefused")


def test_a_named_worktree_has_the_current_commit_of_the_repository(job):
    work = job(call("write", name="one", text="1"), {"text": "done"}, worktree={"mode": "Named", "name": "n"})
    tree, _ = work.start()
    tip = commit(work.work, {"later": "x"})
    git("push", "-q", "origin", "main", cwd=work.work)
    (work.folder / "journal.sqlite").unlink()
    work.journal.close()
    work.journal = None
    root = work.begin()
    root.rmdir()
    tree.parent.rename(root)

    assert work.clone().code == 0
    second = work.agent()

    assert second.verdict[0] == "Succeed", second.log
    assert git("rev-parse", "origin/main", cwd=root / "tree") == tip
    assert (root / "tree/one").read_text() == "1"
    assert not (root / "tree/later").exists()


def test_modules_of_the_repository_do_not_shadow_the_runners(job, tmp_path):
    work = job({"text": "done"})
    trace = tmp_path / "ran"
    names = ("agentjobs_runner/__init__.py", "httpx.py", "json.py", "sitecustomize.py", "google/__init__.py")
    commit(work.work, {name: f"open({str(trace)!r}, 'w')\n" for name in names})
    git("push", "-q", "origin", "main", cwd=work.work)

    _, ended = work.start()

    assert ended.verdict[0] == "Succeed", ended.log
    assert not trace.exists()


class TestClone:
    def test_wrong_credentials_fail_the_job(self, job, tmp_path):
        work = job({"text": "done"})
        work.reader = secret(tmp_path / "wrong", username="reader", password="hunter2hunter2")
        work.begin()

        cloned = work.clone()

        assert (cloned.code, cloned.verdict) == (78, ("Fail", "RepositoryInvalid"))
        assert "hunter2hunter2" not in cloned.log + cloned.message.message

    def test_an_unavailable_host_is_retried(self, job, http):
        work = job({"text": "done"})
        http.broken = 503
        work.begin()

        assert work.clone().verdict == ("Retry", "RepositoryUnavailable")

    @pytest.mark.parametrize("container", ["clone", "agent"])
    def test_a_workspace_requires_git(self, job, tmp_path, container):
        work = job({"text": "done"})
        work.begin()
        assert container == "clone" or work.clone().code == 0

        assert getattr(work, container)(PATH=str(tmp_path)).verdict == ("Fail", "BinaryNotFound")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_a_clone_that_is_stopped_leaves_nothing_running_and_is_repeated(self, job, http, number):
        work = job({"text": "done"})
        http.slow = 30.0
        root = work.begin()

        ended = work.clone(until=lambda: http.seen, send=number)
        running = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
        http.slow = 0.0

        if number == signal.SIGTERM:
            assert ended.verdict == ("Snooze", "Interrupted")
            assert f"{http.url}/" not in running
        assert not (root / "tree").exists()
        assert work.clone().code == 0
        assert (root / "tree/README.md").exists()


def test_kept_files_have_no_credentials(job):
    work = job(call("write", name="one", text="1"), {"text": "done"})
    work.start()

    with work.journal.file() as connection:
        kept = b"".join(data for (data,) in connection.execute("SELECT data FROM kept_parts"))

    assert b"refs/heads" in kept or b"branch" in kept
    assert PASSWORD.encode() not in kept
