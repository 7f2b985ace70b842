"""The container that publishes, with a real repository behind a real server, and hosts that are played."""

import random
import string

import pytest
from tests.githosts import TOKEN, GitHost
from tests.memorystores import MemoryKept

from agentjobs_runner.workspace import publish, pull_requests, search
from agentjobs_runner.workspace.container import Task
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place
from tests import gitservers

BRANCH = "agents/a"


def spec(site, mode="Branch", *, ref=None, rules=(), named=False, **more):
    git = {"url": site.url, "depth": 1} | ({"ref": ref} if ref else {})
    worktree = {"mode": "Named", "name": "w"} if named else {"mode": "Ephemeral"}
    asked = {"mode": mode, "branch": BRANCH, **more}
    return {
        "workspace": {"git": git, "worktree": worktree, "publish": asked},
        "resultPolicy": {"rules": list(rules)},
    }


def answered(text="Fix it\n\nBecause.", structured=None, outcome=None):
    return {"text": text, "structured": structured, "outcome": outcome, "usage": {}}


def pinned(site, commit=None, ref=None):
    kept = MemoryKept()
    kept.write(BASE_FILE, Base(site.url, ref, "main", commit or site.base()).dump())
    return kept


def run(site, asked=None, result=None, kept=None, undecided=None, **more):
    """Publish as the container does; return how it ended."""
    attempt = {
        "namespace": "team-a",
        "job": "fix",
        "uid": "00000000-0000-0000-0000-000000000001",
        "start": 1,
        "resolved": {"spec": asked or spec(site, **more), "scripts": {}},
        "result": answered() if result is None else result or None,
        **({} if undecided is None else {"undecided": undecided}),
    }
    return publish.work(Task(attempt, kept or pinned(site), Place(site.tree.parent), site.credentials, None))


def change(site):
    (site.tree / "new.txt").write_text("new\n")


def test_a_branch_is_pushed_with_the_agents_changes(site):
    change(site)

    ended = run(site)

    assert ended.published == {"branch": BRANCH, "commit": site.there("rev-parse", BRANCH)}
    assert ended.ending.verdict == "Succeed"
    assert site.there("show", f"{BRANCH}:new.txt") == "new"
    assert site.there("log", "-1", "--format=%s", BRANCH) == "Fix it"


def test_nothing_is_pushed_if_nothing_changed(site):
    ended = run(site)

    assert (ended.ending.verdict, ended.published) == ("Succeed", {"branch": "", "commit": ""})
    assert site.there("branch", "--list") == "* main"


def test_a_push_of_a_start_that_crashed_afterwards_is_found(site):
    change(site)
    first = run(site)
    site.there("config", "receive.denyUpdates", "true")

    again = run(site)

    assert again.published == first.published
    assert again.ending.verdict == "Succeed"


def test_pushed_commits_of_the_agent_are_found_too(site):
    head = gitservers.commit(site.tree, {"a.txt": "1\n"})

    assert [run(site).published["commit"] for _ in range(2)] == [head, head]


def test_a_branch_with_commits_of_others_is_not_changed(site):
    change(site)
    gitservers.git("push", "-q", "origin", f"main:{BRANCH}", cwd=site.work)
    gitservers.git("checkout", "-q", "-b", "theirs", cwd=site.work)
    theirs = gitservers.commit(site.work, {"theirs": "x"})
    gitservers.git("push", "-q", "origin", f"theirs:{BRANCH}", cwd=site.work)

    ended = run(site)

    assert ended.ending.reason == "PublishRefused"
    assert site.there("rev-parse", BRANCH) == theirs


def test_the_jobs_own_branch_is_fast_forwarded(site):
    change(site)
    asked = spec(site, ref="main")
    asked["workspace"]["publish"]["branch"] = "main"

    ended = run(site, asked, kept=pinned(site, ref="main"))

    assert site.there("rev-parse", "main") == ended.published["commit"] != site.base()


def test_a_merged_branch_is_fast_forwarded(site):
    gitservers.git("push", "-q", "origin", f"main:{BRANCH}", cwd=site.work)
    gitservers.commit(site.work, {"later": "x"})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)
    gitservers.git("fetch", "-q", "--depth=1", "origin", "main", cwd=site.tree)
    gitservers.git("reset", "-q", "--hard", "FETCH_HEAD", cwd=site.tree)
    change(site)

    ended = run(site)

    assert site.there("rev-parse", BRANCH) == ended.published["commit"]
    assert site.there("rev-list", "--count", BRANCH) == "3"


def test_commits_of_others_on_the_base_branch_are_not_undone(site):
    change(site)
    kept = pinned(site)
    began = site.base()
    gitservers.commit(site.work, {"theirs": "x", "a.txt": "theirs\n"})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)

    ended = run(site, kept=kept)

    assert site.there("rev-parse", f"{ended.published['commit']}^") == began


@pytest.mark.parametrize("claim", ["other", "absent", "garbage"])
def test_a_base_must_be_a_commit_of_the_repository(site, claim):
    forged = gitservers.commit(site.tree, {"a.txt": "forged\n"})
    change(site)
    kept = pinned(site, commit=forged)
    if claim != "other":
        kept.write(BASE_FILE, b"{" if claim == "garbage" else b"")

    ended = run(site, kept=kept)

    history = site.there("rev-list", BRANCH).split("\n")
    assert ended.published["commit"] == history[0]
    assert history[1:] == [forged, site.base()]


def test_files_based_on_an_unknown_commit_are_not_published(site):
    kept = pinned(site, commit="1" * 40)
    change(site)
    gitservers.commit(site.work, {"theirs": "x"})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)

    ended = run(site, kept=kept)

    assert ended.ending.reason == "PublishRefused"
    assert site.there("branch", "--list") == "* main"


def test_an_invalid_branch_name_is_refused(site):
    change(site)
    asked = spec(site)
    for name in ("--force", "a..b", "a b", "HEAD:main", ""):
        asked["workspace"]["publish"]["branch"] = name
        assert run(site, asked).ending.verdict == "Fail"
    assert site.there("for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_refusal_by_a_rule_of_the_host_is_quoted(site):
    change(site)
    hook = site.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'no such branches here' >&2\nexit 1\n")
    hook.chmod(0o755)

    ended = run(site)

    assert (ended.ending.reason, "no such branches here" in ended.ending.message) == ("PublishRefused", True)


def test_an_unavailable_host_is_retried_by_another_start(site):
    change(site)
    site.server.broken = 503

    assert (run(site).ending.verdict, run(site).ending.reason) == ("Retry", "PublishFailed")


def test_wrong_credentials_are_refused_without_being_shown(site):
    change(site)
    gitservers.secret(site.credentials, password="wrong-password-1234")

    ended = run(site)

    assert ended.ending.reason == "PublishRefused"
    assert "wrong-password" not in ended.ending.message


def test_credentials_do_not_follow_a_redirect(site):
    change(site)
    other = gitservers.HttpServer(site.server.root)
    site.server.redirect = other.url

    ended = run(site)
    other.close()

    assert ended.ending.reason == "PublishRefused"
    assert [seen for seen in other.seen if seen[2]] == []


def token_of_github():
    return "ghp_" + "".join(random.Random(2).choices(string.ascii_letters + string.digits, k=36))


@pytest.mark.parametrize("where", ["file", "commit", "history", "message", "own", "binary", "large"])
def test_a_secret_in_the_changes_stops_the_push(site, where):
    secret = token_of_github()
    if where in ("commit", "history"):
        gitservers.commit(site.tree, {"deep/key.txt": f"one\ntwo {secret}\n"})
    if where == "history":
        gitservers.commit(site.tree, {"deep/key.txt": "clean\n"})
    if where == "message":
        gitservers.commit(site.tree, {"a.txt": "1\n"}, f"use {secret}")
    if where in ("file", "own"):
        (site.tree / "deep").mkdir()
        (site.tree / "deep/key.txt").write_text(f"one\n{secret if where == 'file' else gitservers.PASSWORD}\n")
    if where == "binary":
        (site.tree / "deep.bin").write_bytes(b"\0\1\2\n" * 100 + secret.encode())
    if where == "large":
        (site.tree / "deep.bin").write_bytes(b"x" * 20_000_000 + b"\n" + secret.encode() + b"\n" + b"y" * 9_000_000)

    ended = run(site)

    assert ended.ending.reason == "PublishRefused"
    assert secret not in ended.ending.message
    assert gitservers.PASSWORD not in ended.ending.message
    named = {"file": "deep/key.txt:2", "commit": "deep/key.txt:2", "history": "deep/key.txt:2", "own": "deep/key.txt:2"}
    assert named.get(where, "deep.bin:2" if where == "large" else "") in ended.ending.message
    assert site.there("branch", "--list") == "* main"


def test_a_secret_that_the_file_already_had_does_not_stop_the_push(site):
    gitservers.commit(site.work, {"test_key.py": f"KEY = '{token_of_github()}'\n"})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)
    gitservers.git("fetch", "-q", "--depth=1", "origin", "main", cwd=site.tree)
    gitservers.git("reset", "-q", "--hard", "FETCH_HEAD", cwd=site.tree)
    with (site.tree / "test_key.py").open("a") as file:
        file.write("print(KEY)\n")

    assert run(site).ending.verdict == "Succeed"


def test_without_a_final_result_nothing_is_published(site):
    change(site)

    ended = run(site, result=False)

    assert (ended.ending.verdict, ended.ending.reason) == ("Fail", "PublishRefused")
    assert site.there("branch", "--list") == "* main"


@pytest.mark.parametrize(
    ("action", "pushed"), [("Succeed", True), ("Fail", False), ("Cancel", False), ("Retry", False), ("New", False)]
)
def test_an_outcome_is_published_only_if_a_rule_makes_it_a_success(site, action, pushed):
    change(site)
    rules = [{"name": "r", "onOutcomes": ["odd"], "action": action}]

    ended = run(site, rules=rules, result=answered(structured={"outcome": "odd"}, outcome="odd"))

    assert ended.ending.verdict == "Succeed"
    assert (ended.published["branch"] != "", BRANCH in site.there("branch", "--list")) == (pushed, pushed)


def test_an_answer_that_is_possibly_not_final_is_not_published(site):
    change(site)

    rules = [{"name": "r", "onOutcomes": ["odd"], "action": "Retry"}]
    ended = run(site, rules=rules, result=False, undecided="odd")

    assert (ended.ending.verdict, ended.published["branch"]) == ("Succeed", "")


@pytest.mark.parametrize("stored", [None, "other"], ids=["no-answer", "an-outcome-of-no-rule"])
def test_a_missing_answer_is_not_a_success_if_a_rule_can_rerun_the_job(site, stored):
    change(site)
    rules = [{"name": "r", "onOutcomes": ["odd"], "action": "Retry"}]
    ended = run(site, rules=rules, result=False, undecided=stored)

    assert (ended.ending.verdict, ended.ending.reason) == ("Fail", "PublishRefused")


@pytest.mark.parametrize("committed", [0, 2])
def test_a_named_worktree_continues_from_its_commit(site, committed):
    began = site.base()
    for number in range(committed):
        gitservers.commit(site.tree, {"own": str(number)})
    change(site)
    gitservers.commit(site.work, {"theirs": "x"})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)

    run(site, named=True)

    assert site.there("rev-list", BRANCH).split("\n")[committed + 1 :] == [began]


def test_a_named_worktree_fast_forwards_its_published_branch(site):
    gitservers.commit(site.tree, {"a.txt": "1\n"})
    first = run(site, named=True).published["commit"]
    second = gitservers.commit(site.tree, {"a.txt": "2\n"})

    assert run(site, named=True).published["commit"] == second
    assert site.there("rev-parse", f"{BRANCH}^") == first


@pytest.mark.parametrize("committed", [False, True])
def test_a_second_job_in_a_worktree_continues_its_branch(site, committed):
    change(site)
    Place(site.tree.parent).ours.mkdir()
    first = run(site, named=True).published["commit"]
    if committed:
        gitservers.commit(site.tree, {"more.txt": "x"})
    (site.tree / "more.txt").write_text("more\n")

    second = run(site, named=True)

    assert site.there("rev-parse", f"{BRANCH}^") == first
    assert site.there("diff", "--name-only", first, BRANCH) == "more.txt"
    assert ("could not be kept" in second.ending.message) == committed


def test_commits_of_others_on_a_worktrees_branch_are_kept(site):
    change(site)
    Place(site.tree.parent).ours.mkdir()
    run(site, named=True)
    gitservers.git("fetch", "-q", "origin", BRANCH, cwd=site.work)
    gitservers.git("checkout", "-q", "FETCH_HEAD", cwd=site.work)
    theirs = gitservers.commit(site.work, {"theirs": "x"})
    gitservers.git("push", "-q", "origin", f"HEAD:{BRANCH}", cwd=site.work)
    (site.tree / "more.txt").write_text("more\n")

    assert run(site, named=True).ending.reason == "PublishRefused"
    assert site.there("rev-parse", BRANCH) == theirs


def test_a_marker_file_that_is_a_link_is_neither_followed_nor_written_to(site):
    change(site)
    place = Place(site.tree.parent)
    place.ours.mkdir()
    outside = site.folder / "outside"
    outside.write_text("{}")
    place.published.symlink_to(outside)

    run(site, named=True)

    assert outside.read_text() == "{}"
    assert not place.published.is_symlink()


def test_a_named_worktree_without_a_known_commit_is_not_published(site):
    gitservers.git("checkout", "-q", "--orphan", "other", cwd=site.tree)
    gitservers.commit(site.tree, {"more": "x"})

    assert run(site, named=True).ending.reason == "PublishRefused"
    assert site.there("branch", "--list") == "* main"


def test_a_small_object_that_decompresses_to_a_large_one_is_not_pushed(site, monkeypatch):
    monkeypatch.setattr(search, "MAX_BYTES", 10_000_000)
    (site.tree / "zeros").write_bytes(bytes(11_000_000))

    assert run(site).ending.reason == "PublishRefused"
    assert site.there("branch", "--list") == "* main"


@pytest.fixture
def host(request):
    made = GitHost(getattr(request, "param", "GitHub"))
    yield made
    made.close()


ALL = pytest.mark.parametrize("host", ["GitHub", "GitLab", "Gitea"], indirect=True)


def asked_of(site, host, mode="PullRequest", **more):
    gitservers.secret(site.credentials, token=TOKEN)
    change(site)
    return spec(site, mode, provider=host.provider, apiUrl=host.api_url, **more)


@ALL
@pytest.mark.parametrize("mode", ["PullRequest", "DraftPullRequest"])
def test_a_pull_request_is_created(site, host, mode):
    ended = run(site, asked_of(site, host, mode), answered("# Fix @root\n\n/merge\nping @team \x1b[31m\u202e"))

    made = host.requests[0]
    assert ended.ending.verdict == "Succeed"
    assert ended.published["pullRequest"] == host.address(made)
    assert (made["branch"], made["base"], made["draft"]) == (BRANCH, "main", mode == "DraftPullRequest")
    assert made["title"].endswith("Fix @\u200broot")
    assert made["body"].startswith("\u200b/merge\nping @\u200bteam [31m\n")


def test_a_secret_in_the_answer_stops_the_push(site, host):
    asked = asked_of(site, host)
    gitservers.commit(site.tree, {"a.txt": "1\n"})

    ended = run(site, asked, result=answered(f"I used {token_of_github()}"))

    assert (ended.ending.reason, site.there("branch", "--list")) == ("PublishRefused", "* main")


@ALL
def test_an_open_pull_request_of_the_branch_is_reused(site, host):
    asked = asked_of(site, host)
    for state, fork, base in (("closed", False, "main"), ("open", True, "main"), ("open", False, "other")):
        host.add(BRANCH, base, state=state, fork=fork)
    host.add(BRANCH, "main")

    ended = run(site, asked)

    assert (ended.published["pullRequest"], host.posts) == (host.address(host.requests[3]), [])


@ALL
def test_the_base_of_a_pull_request_is_the_branch_of_the_checkout(site, host):
    gitservers.git("push", "-q", "origin", "main:release", cwd=site.work)

    run(site, asked_of(site, host, ref="release"), kept=pinned(site, ref="release"))

    assert host.requests[0]["base"] == "release"


@ALL
def test_the_base_of_a_job_that_checked_out_a_tag_is_the_default_branch(site, host):
    gitservers.git("push", "-q", "origin", "main:refs/tags/v1", cwd=site.work)

    run(site, asked_of(site, host, ref="v1"), kept=pinned(site, ref="v1"))

    assert host.requests[0]["base"] == "main"


@ALL
@pytest.mark.parametrize(
    ("status", "headers", "verdict", "delay"),
    [
        (403, {"Retry-After": "120"}, "Retry", 120),
        (429, {"Retry-After": "999999"}, "Retry", 3600),
        (401, {}, "Fail", None),
        (403, {}, "Fail", None),
        (404, {}, "Fail", None),
        (200, {}, "Fail", None),
    ],
)
def test_the_status_of_a_host_determines_verdict_and_delay(site, host, status, headers, verdict, delay):
    asked = asked_of(site, host)
    host.answers = [(status, headers, {"message": "words of the host"})]

    ended = run(site, asked)

    assert (ended.ending.verdict, ended.ending.delay_seconds) == (verdict, delay)
    assert ended.published == {"branch": BRANCH, "commit": site.there("rev-parse", BRANCH)}
    assert f"the branch {BRANCH} was pushed" in ended.ending.message
    assert TOKEN not in ended.ending.message


@ALL
def test_a_short_failure_of_the_host_is_retried_within_the_start(site, host, monkeypatch):
    monkeypatch.setattr(pull_requests, "PAUSES", (0.0, 0.0))
    asked = asked_of(site, host)
    host.answers = [(502, {}, b"<html>"), (503, {}, b"")]

    assert "pullRequest" in run(site, asked).published


@ALL
def test_a_long_outage_of_the_host_is_retried_by_another_start(site, host, monkeypatch):
    monkeypatch.setattr(pull_requests, "PAUSES", (0.0, 0.0))
    asked = asked_of(site, host)
    host.answers = [(502, {}, b"<html>")] * 3

    first, second = run(site, asked), run(site, asked)

    assert (first.ending.verdict, first.ending.reason) == ("Retry", "PublishFailed")
    assert second.published == {**first.published, "pullRequest": host.address(host.requests[0])}


@ALL
def test_a_pull_request_whose_creation_was_not_answered_is_found(site, host, monkeypatch):
    monkeypatch.setattr(pull_requests, "PAUSES", (0.0, 0.0))
    asked = asked_of(site, host)
    made = host.answer

    def unanswered(method, path, query, body):
        status, answer = made(method, path, query, body)
        return (504, {}) if method == "POST" else (status, answer)

    host.answer = unanswered

    assert run(site, asked).published["pullRequest"] == host.address(host.requests[0])
    assert len(host.requests) == 1


@ALL
def test_the_token_is_not_sent_to_another_host(site, host):
    asked = asked_of(site, host)
    other = GitHost(host.provider)
    host.answers = [(307, {"Location": f"{other.origin}/elsewhere"}, b"")]

    ended = run(site, asked)
    other.close()

    assert (ended.ending.reason, other.seen) == ("PublishRefused", [])


@pytest.mark.parametrize(
    "body", [b"null", b"[1]", b"[[]]", b"{", b"[{}]", b"<html>", b"[" * 100_000, b""], ids=range(8)
)
def test_invalid_answers_of_an_api_are_refused(site, host, body):
    asked = asked_of(site, host)
    host.answers = [(200, {}, body), (201, {}, body)]

    ended = run(site, asked)

    assert (ended.ending.verdict, ended.ending.reason) == ("Fail", "PublishRefused")


def test_an_invalid_address_of_a_pull_request_is_refused(site, host):
    asked = asked_of(site, host)
    host.answers = [(200, {}, []), (201, {}, {"html_url": "javascript:alert(1)"})]

    assert run(site, asked).ending.reason == "PublishRefused"


def test_with_only_an_ssh_key_a_pull_request_is_refused_before_the_push(site, host):
    asked = asked_of(site, host)
    (site.credentials / "token").unlink()
    (site.credentials / "password").write_text("")
    (site.credentials / "token").write_text("")

    assert run(site, asked).ending.reason == "PublishRefused"
    assert site.there("branch", "--list") == "* main"


@pytest.mark.skipif(gitservers.sshd() is None, reason="sshd is not installed: openssh-server")
def test_a_branch_is_pushed_by_ssh(site, tmp_path):
    server = gitservers.SshServer(tmp_path, gitservers.sshd())
    try:
        change(site)
        asked = spec(site)
        asked["workspace"]["git"]["url"] = server.url(site.bare)
        site.credentials = server.secret
        kept = MemoryKept()
        kept.write(BASE_FILE, Base(server.url(site.bare), None, "main", site.base()).dump())

        assert run(site, asked, kept=kept).published["commit"] == site.there("rev-parse", BRANCH)
        assert site.server.seen == []
    finally:
        server.close()
