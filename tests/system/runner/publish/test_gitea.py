"""Publishing to a real Gitea, where there is one: `gitea` in PATH, or the path of one in GITEA.

One that was built without its templates is told their folder by GITEA_STATIC.
"""

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.memorystores import MemoryKept

from agentjobs_runner.workspace import publish
from agentjobs_runner.workspace.container import Task
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place
from tests import gitservers

GITEA = os.environ.get("GITEA") or shutil.which("gitea")
pytestmark = pytest.mark.skipif(GITEA is None, reason="gitea is not in PATH, and GITEA does not name one")
USER, PASSWORD = "agent", "Pass-w0rd-of-agent"
CONFIGURATION = """I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
RUN_MODE = prod
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
DISABLE_SSH = true
OFFLINE_MODE = true
APP_DATA_PATH = {folder}/data
{static}
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[repository]
ROOT = {folder}/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = of-this-test-alone
[log]
LEVEL = error
ROOT_PATH = {folder}/log
[cron]
ENABLED = false
[actions]
ENABLED = false
"""


@dataclass
class Gitea:
    """One server with one user, and a repository of theirs."""

    folder: Path
    url: str
    token: str

    @property
    def repository(self):
        return f"{self.url}/{USER}/app.git"

    def api(self, method, path, **body):
        headers = {"Authorization": f"token {self.token}"}
        answer = httpx.request(method, f"{self.url}/api/v1{path}", headers=headers, json=body or None)
        answer.raise_for_status()
        return answer.json()


def run(folder, *arguments):
    done = subprocess.run(
        [GITEA, "-c", str(folder / "app.ini"), "-w", str(folder), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def gitea(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gitea")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, static = f"http://127.0.0.1:{port}", os.environ.get("GITEA_STATIC")
    told = f"STATIC_ROOT_PATH = {static}" if static else ""
    (folder / "app.ini").write_text(CONFIGURATION.format(port=port, url=url, folder=folder, static=told))
    run(folder, "migrate")
    user = ("--username", USER, "--password", PASSWORD, "--email", "a@example.com", "--must-change-password=false")
    run(folder, "admin", "user", "create", "--admin", *user)
    made = run(folder, "admin", "user", "generate-access-token", "--username", USER, "--raw", "--scopes", "all")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [GITEA, "-c", str(folder / "app.ini"), "-w", str(folder), "web"], stdout=log, stderr=log
        )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/api/v1/version").raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"gitea does not answer: {(folder / 'log.txt').read_text()}")
                time.sleep(0.1)
        server = Gitea(folder, url, made.strip().splitlines()[-1])
        server.api("POST", "/user/repos", name="app", auto_init=True, default_branch="main")
        yield server
    finally:
        process.terminate()
        process.wait()


def publish_change(gitea, tmp_path, branch, mode, **keys):
    tree = tmp_path / "workspace/tree"
    if not tree.exists():
        tree.parent.mkdir(exist_ok=True)
        address = gitea.repository.replace("://", f"://{USER}:{gitea.token}@")
        gitservers.git("clone", "-q", "--depth=1", address, str(tree))
    base = gitservers.git("rev-parse", "origin/main", cwd=tree)
    (tree / f"{branch}.txt").write_text("x")
    kept = MemoryKept()
    kept.write(BASE_FILE, Base(gitea.repository, None, "main", base).dump())
    asked = {"mode": mode, "branch": branch, "provider": "Gitea"}
    attempt = {
        "namespace": "team-a",
        "job": "fix",
        "uid": "u-1",
        "resolved": {"spec": {"workspace": {"git": {"url": gitea.repository}, "publish": asked}}},
        "result": {"text": f"Change {branch}\n\nBecause @agent said so.", "structured": None, "usage": {}},
    }
    secret = gitservers.secret(tmp_path / "secret", **keys)
    return publish.work(Task(attempt, kept, Place(tree.parent), secret, None))


@pytest.mark.parametrize("mode", ["PullRequest", "DraftPullRequest"])
def test_a_pull_request_is_created_once(gitea, tmp_path, mode):
    ended = [publish_change(gitea, tmp_path, mode.lower(), mode, token=gitea.token) for _ in range(2)]

    assert [one.ending.verdict for one in ended] == ["Succeed", "Succeed"]
    assert ended[0].published == ended[1].published
    number = ended[0].published["pullRequest"].rpartition("/")[2]
    made = gitea.api("GET", f"/repos/{USER}/app/pulls/{number}")
    assert (made["draft"], made["head"]["sha"]) == (mode == "DraftPullRequest", ended[0].published["commit"])
    assert (made["base"]["ref"], made["state"]) == ("main", "open")


def test_a_user_and_password_can_be_used_too(gitea, tmp_path):
    ended = publish_change(gitea, tmp_path, "by-password", "PullRequest", username=USER, password=PASSWORD)

    assert "pullRequest" in ended.published


def test_a_token_without_permission_for_pull_requests_is_reported(gitea, tmp_path):
    scopes = ("--token-name", "narrow", "--scopes", "write:repository,read:user")
    narrow = run(gitea.folder, "admin", "user", "generate-access-token", "--username", USER, "--raw", *scopes)
    wrong = "0" * 40

    assert "pullRequest" in publish_change(gitea, tmp_path, "narrow", "PullRequest", token=narrow.split()[-1]).published
    assert publish_change(gitea, tmp_path, "wrong", "PullRequest", token=wrong).ending.reason == "PublishRefused"


def test_a_push_to_a_protected_branch_is_refused(gitea, tmp_path):
    gitea.api("POST", f"/repos/{USER}/app/branch_protections", rule_name="kept-*", enable_push=False)

    ended = publish_change(gitea, tmp_path, "kept-one", "Branch", token=gitea.token)

    assert ended.ending.reason == "PublishRefused"
    assert "protected" in ended.ending.message


def test_a_pull_request_that_others_closed_is_created_again(gitea, tmp_path):
    first = publish_change(gitea, tmp_path, "closed", "PullRequest", token=gitea.token).published["pullRequest"]
    gitea.api("PATCH", f"/repos/{USER}/app/pulls/{first.rpartition('/')[2]}", state="closed")

    second = publish_change(gitea, tmp_path, "closed", "PullRequest", token=gitea.token).published["pullRequest"]

    assert second != first
