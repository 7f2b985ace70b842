"""Git as the workspace runs it, against real servers."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from tests.gitservers import PASSWORD, git, secret

from agentjobs_runner.workspace.credentials import Credentials
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.git import Git

pytestmark = pytest.mark.filterwarnings("error")


def kind_of(run, *arguments, **more):
    with pytest.raises(GitFailed) as raised:
        run(*arguments, **more)
    return raised.value.kind


def test_the_credentials_of_a_secret_give_access_to_the_repository(repositories, http, reader):
    work = repositories.make("shop")
    url = f"{http.url}/shop.git"

    listed = Git(Credentials.read(reader, url)).run("ls-remote", url, "refs/heads/main")

    assert listed.split()[0].decode() == git("rev-parse", "HEAD", cwd=work)


def test_a_token_without_a_user_is_sent_as_a_password(repositories, http, tmp_path):
    repositories.make("shop")
    url = f"{http.url}/shop.git"
    folder = secret(tmp_path / "token", username="reader", token=PASSWORD)

    assert Git(Credentials.read(folder, url)).run("ls-remote", url)


@pytest.mark.parametrize("given", [True, False])
def test_wrong_or_no_credentials_are_refused(repositories, http, tmp_path, given):
    repositories.make("shop")
    url = f"{http.url}/shop.git"
    folder = secret(tmp_path / "wrong", username="reader", password="another-secret")
    run = Git(Credentials.read(folder, url) if given else None).run

    assert kind_of(run, "ls-remote", url) is Kind.REFUSED


def test_another_host_gets_no_credentials(repositories, http, other, reader):
    repositories.make("shop")
    run = Git(Credentials.read(reader, f"{http.url}/shop.git")).run

    assert kind_of(run, "ls-remote", f"{other.url}/shop.git") is Kind.REFUSED
    assert not any(credentials for _, _, credentials in other.seen)


def test_a_redirect_is_not_followed_with_credentials(repositories, http, other, reader):
    repositories.make("shop")
    http.redirect = other.url
    url = f"{http.url}/shop.git"

    assert kind_of(Git(Credentials.read(reader, url)).run, "ls-remote", url) is Kind.REFUSED
    assert other.seen == []


@pytest.mark.parametrize(("status", "kind"), [(404, Kind.MISSING), (503, Kind.UNAVAILABLE), (403, Kind.REFUSED)])
def test_the_status_of_a_host_determines_the_error_class(http, status, kind):
    http.broken = status

    assert kind_of(Git().run, "ls-remote", f"{http.url}/shop.git") is kind


def test_a_host_that_does_not_listen_is_unavailable():
    assert kind_of(Git().run, "ls-remote", "http://127.0.0.1:1/shop.git") is Kind.UNAVAILABLE


@pytest.mark.parametrize("url", ["file:///etc", "/etc", "ext::sh -c id", "git://127.0.0.1/x"])
def test_only_network_protocols_are_allowed(url):
    assert kind_of(Git().run, "ls-remote", "--", url) is Kind.REFUSED


def test_a_secret_is_in_no_argument_and_no_message(repositories, http, tmp_path):
    repositories.make("shop")
    url = f"{http.url}/shop.git"
    folder = secret(tmp_path / "wrong", username="reader", password="hunter2hunter2")
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(line.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(GitFailed) as raised:
        Git(Credentials.read(folder, url)).run("ls-remote", url)
    stop.set()
    watcher.join()

    assert not any(b"hunter2hunter2" in line for line in seen)
    assert "hunter2hunter2" not in raised.value.message


@pytest.mark.parametrize(
    "keys", [{}, {"username": "reader"}, {"username": "reader", "password": "a\nhost=evil"}, {"password": "x"}]
)
def test_an_unusable_secret_is_refused_before_any_request(http, tmp_path, keys):
    folder = secret(tmp_path / "odd", **keys)

    assert kind_of(Credentials.read, folder, f"{http.url}/shop.git") is Kind.REFUSED
    assert http.seen == []


def test_the_git_configuration_of_the_user_is_ignored(repositories, http, tmp_path, monkeypatch):
    repositories.make("shop")
    http.secured = False
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.fsmonitor'='false'")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    (tmp_path / ".gitconfig").write_text(f'[url "http://127.0.0.1:1/"]\n  insteadOf = {http.url}/\n')

    assert Git().run("ls-remote", f"{http.url}/shop.git")


def test_hooks_and_programs_of_a_repository_do_not_run(repositories, tmp_path):
    work = repositories.make("shop")
    trace = tmp_path / "ran"
    for hook in ("pre-commit", "post-checkout", "reference-transaction", "post-index-change"):
        (work / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {trace}\n")
        (work / ".git/hooks" / hook).chmod(0o755)
    git("config", "core.fsmonitor", f"touch {trace}", cwd=work)

    Git().run("checkout", "-q", "-b", "b", cwd=work)
    Git().run("status", cwd=work)

    assert not trace.exists()


def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path):
    marker = f"sleep {os.getpid()}77"
    began = time.monotonic()

    kind = kind_of(Git(seconds=0.3, settings=[("alias.wait", f"!{marker}; true")]).run, "wait")

    assert kind is Kind.UNAVAILABLE
    assert time.monotonic() - began < 5
    assert marker not in subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True).stdout


def test_a_command_can_have_large_input_and_output(repositories):
    work = repositories.make("shop")
    content = os.urandom(3_000_000)

    number = Git().run("hash-object", "-w", "--stdin", cwd=work, input=content).decode().strip()

    assert Git().run("cat-file", "blob", number, cwd=work) == content


def test_a_missing_git_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert kind_of(Git().run, "version") is Kind.ABSENT


def test_a_failure_names_the_command_without_its_arguments(tmp_path):
    with pytest.raises(GitFailed) as raised:
        Git().run("-c", "core.fileMode=false", "--git-dir", tmp_path, b"\xff", "nothing", "secret")

    assert raised.value.message.startswith("git nothing: ")


def test_ssh_uses_the_key_of_the_secret(repositories, ssh):
    work = repositories.make("shop")
    url = ssh.url(repositories.root / "shop.git")
    # Of a group, as the kubelet mounts it: ssh itself would not take it so.
    (ssh.secret / "ssh-privatekey").chmod(0o644)

    listed = Git(Credentials.read(ssh.secret, url)).run("ls-remote", url, "refs/heads/main")

    assert listed.split()[0].decode() == git("rev-parse", "HEAD", cwd=work)


def test_ssh_refuses_an_unknown_host(repositories, ssh):
    repositories.make("shop")
    url = ssh.url(repositories.root / "shop.git")
    (ssh.secret / "known_hosts").write_text("example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n")

    assert kind_of(Git(Credentials.read(ssh.secret, url)).run, "ls-remote", url) is Kind.REFUSED


def test_ssh_offers_its_key_only_to_the_host_of_the_address(repositories, ssh):
    repositories.make("shop")
    url = ssh.url(repositories.root / "shop.git")
    # The same server by another name, and known.
    named = url.replace("127.0.0.1", "localhost")
    known = (ssh.secret / "known_hosts").read_text()
    (ssh.secret / "known_hosts").write_text(known + known.replace("127.0.0.1", "localhost"))
    run = Git(Credentials.read(ssh.secret, url)).run

    assert kind_of(run, "ls-remote", named) is Kind.REFUSED
    assert run("ls-remote", url)
