"""The checkout that an agent finds, from real servers."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.gitservers import commit, git

from agentjobs_runner.workspace import cache, clone
from agentjobs_runner.workspace import git as git_module
from agentjobs_runner.workspace.container import Task
from agentjobs_runner.workspace.failures import GitFailed, Kind
from agentjobs_runner.workspace.settings import BASE_FILE, Place


@pytest.fixture
def start(tmp_path, kept, reader):
    """Clone as a start of a run does, each into a folder of its own unless one is given; return the folder."""
    numbers = iter(range(1000))

    def begin(url, *, root=None, secret=reader, cache=None, named=False, result=None, **asked):
        root = root or tmp_path / f"start-{next(numbers)}"
        root.mkdir(exist_ok=True)
        workspace = {"git": {"url": url, **asked}, "worktree": {"mode": "Named" if named else "Ephemeral"}}
        attempt = {"resolved": {"spec": {"workspace": workspace}}, "result": result}
        clone.work(Task(attempt, kept, Place(root), secret, cache))
        return root / "tree"

    return begin


def kind_of(run, *arguments, **more):
    with pytest.raises(GitFailed) as raised:
        run(*arguments, **more)
    return raised.value.kind


def base(kept):
    return json.loads(kept.content[BASE_FILE])


def test_the_default_branch_is_checked_out_by_name(repositories, http, start, kept):
    tip = commit(repositories.make("shop"), {"a": "1"})
    git("push", "-q", "origin", "main", cwd=repositories.root.parent / "shop-work")

    tree = start(f"{http.url}/shop.git")

    assert git("symbolic-ref", "HEAD", cwd=tree) == "refs/heads/main"
    assert git("rev-parse", "HEAD", "origin/main", cwd=tree).split() == [tip, tip]
    assert git("status", "--porcelain", cwd=tree) == ""
    assert base(kept)["commit"] == tip
    assert base(kept)["branch"] == "main"


def test_the_checkout_contains_no_credentials(repositories, http, start):
    repositories.make("shop")
    tree = start(f"{http.url}/shop.git")

    config = (tree / ".git/config").read_text()

    assert git("remote", "get-url", "origin", cwd=tree) == f"{http.url}/shop.git"
    assert "reader" not in config
    assert "helper" not in config


@pytest.mark.parametrize("ref", ["topic/x", "v1", "commit", "refs/heads/topic/x"])
def test_a_branch_a_tag_or_a_commit_can_be_checked_out(repositories, http, start, kept, ref):
    work = repositories.make("shop")
    git("checkout", "-q", "-b", "topic/x", cwd=work)
    tip = commit(work, {"a": "1"})
    git("tag", "-a", "-m", "one", "v1", cwd=work)
    commit(work, {"a": "2"})
    git("push", "-q", "origin", "topic/x", "v1", cwd=work)
    wanted = git("rev-parse", "HEAD", cwd=work) if "topic" in ref else tip

    tree = start(f"{http.url}/shop.git", ref=tip if ref == "commit" else ref)

    assert git("rev-parse", "HEAD", cwd=tree) == wanted
    assert base(kept)["branch"] == ("topic/x" if "topic" in ref else "")


@pytest.mark.parametrize("depth", [1, 2, 0])
def test_the_depth_limits_the_cloned_history(repositories, http, start, depth):
    work = repositories.make("shop")
    git("tag", "old", cwd=work)
    for number in range(3):
        commit(work, {"a": str(number)})
    git("push", "-q", "origin", "main", "old", cwd=work)

    tree = start(f"{http.url}/shop.git", depth=depth)

    assert int(git("rev-list", "--count", "HEAD", cwd=tree)) == (depth or 4)
    assert git("tag", cwd=tree) == ("" if depth else "old")


@pytest.mark.parametrize("ref", ["nowhere", "0" * 40, "abcdef1"])
def test_an_unknown_ref_is_missing(repositories, http, start, ref):
    repositories.make("shop")

    assert kind_of(start, f"{http.url}/shop.git", ref=ref) is Kind.MISSING


@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:README.md"])
def test_a_tag_that_is_not_a_commit_is_missing(repositories, http, start, tmp_path, what):
    repositories.make("shop")
    git("tag", "v1", git("rev-parse", what, cwd=repositories.root / "shop.git"), cwd=repositories.root / "shop.git")

    assert kind_of(start, f"{http.url}/shop.git", ref="v1") is Kind.MISSING
    assert kind_of(start, f"{http.url}/shop.git", ref="v1", cache=tmp_path / "cache") is Kind.MISSING


def test_a_repository_without_a_commit_is_missing(repositories, http, start):
    git("init", "-q", "--bare", str(repositories.root / "empty.git"))

    assert kind_of(start, f"{http.url}/empty.git") is Kind.MISSING


def test_ssh_without_a_secret_is_refused(start):
    assert kind_of(start, "git@example.com:acme/shop.git", secret=None) is Kind.REFUSED


def test_a_later_start_checks_out_the_commit_of_the_first_one(repositories, http, start):
    work = repositories.make("shop")
    first = git("rev-parse", "HEAD", cwd=work)
    start(f"{http.url}/shop.git")
    commit(work, {"a": "later"})
    git("push", "-q", "origin", "main", cwd=work)

    tree = start(f"{http.url}/shop.git")

    assert git("rev-parse", "HEAD", cwd=tree) == first
    assert git("symbolic-ref", "HEAD", cwd=tree) == "refs/heads/main"


@pytest.mark.parametrize("cached", [True, False])
def test_a_force_pushed_ref_begins_a_new_run(repositories, http, start, kept, tmp_path, cached):
    work = repositories.make("shop")
    first = git("rev-parse", "HEAD", cwd=work)
    cache = tmp_path / "cache" if cached else None
    start(f"{http.url}/shop.git", cache=cache)
    git("commit", "-q", "--amend", "-m", "other", cwd=work)
    git("push", "-q", "--force", "origin", "main", cwd=work)
    git("gc", "-q", "--prune=now", cwd=repositories.root / "shop.git")

    tree = start(f"{http.url}/shop.git", cache=cache)

    assert git("rev-parse", "HEAD", cwd=tree) == git("rev-parse", "HEAD", cwd=work)
    assert base(kept)["lost"] == first


def test_a_force_pushed_ref_has_no_effect_while_the_commit_is_available(repositories, http, start, kept):
    work = repositories.make("shop")
    first = git("rev-parse", "HEAD", cwd=work)
    start(f"{http.url}/shop.git")
    git("commit", "-q", "--amend", "-m", "other", cwd=work)
    git("push", "-q", "--force", "origin", "main", cwd=work)

    assert git("rev-parse", "HEAD", cwd=start(f"{http.url}/shop.git")) == first
    assert base(kept)["lost"] == ""


def test_a_job_that_has_its_result_needs_no_checkout(http, start):
    assert not start(f"{http.url}/shop.git", result={"text": "done"}).exists()
    assert http.seen == []


class TestSubmodules:
    def add(self, repositories, url):
        work = repositories.make("shop")
        library = repositories.make("library")
        (work / ".gitmodules").write_text(f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n')
        tip = git("rev-parse", "HEAD", cwd=library)
        git("update-index", "--add", "--cacheinfo", f"160000,{tip},lib", cwd=work)
        git("add", ".gitmodules", cwd=work)
        git("commit", "-q", "-m", "with a submodule", cwd=work)
        git("push", "-q", "origin", "main", cwd=work)

    def test_a_submodule_of_the_same_host_is_cloned_with_the_credentials(self, repositories, http, start):
        self.add(repositories, "../library.git")

        tree = start(f"{http.url}/shop.git", submodules=True)

        assert (tree / "lib/README.md").read_text() == "hello\n"

    def test_a_submodule_of_another_host_gets_no_credentials(self, repositories, http, other, start):
        self.add(repositories, f"{other.url}/library.git")

        assert kind_of(start, f"{http.url}/shop.git", submodules=True) is Kind.REFUSED
        assert other.seen
        assert not any(credentials for _, _, credentials in other.seen)

    @pytest.mark.parametrize("url", ["file:///etc", "ext::sh -c 'touch /tmp/never'", "-u./x"])
    def test_a_submodule_with_a_local_address_is_refused(self, repositories, http, start, url):
        self.add(repositories, url)

        assert kind_of(start, f"{http.url}/shop.git", submodules=True) in (Kind.REFUSED, Kind.BROKEN, Kind.MISSING)

    def test_submodules_are_cloned_only_if_the_job_requests_them(self, repositories, http, start):
        self.add(repositories, "ext::sh -c 'touch /tmp/never'")

        assert list((start(f"{http.url}/shop.git") / "lib").iterdir()) == []


def test_unusual_names_and_links_are_checked_out_unchanged(repositories, http, start, tmp_path):
    work = repositories.make("shop")
    names = [b"new\nline", b"caf\xe9", b"-rf", b"--help", b" spaces ", b'quo"te']
    for name in names:
        (work / os.fsdecode(name)).write_bytes(name)
    (work / "outside").symlink_to("/etc/passwd")
    (work / "up").symlink_to("../../..")
    commit(work, {})
    git("push", "-q", "origin", "main", cwd=work)

    tree = start(f"{http.url}/shop.git")

    assert set(names) <= {os.fsencode(entry.name) for entry in tree.iterdir()}
    assert (tree / "outside").readlink() == Path("/etc/passwd")
    assert git("status", "--porcelain", cwd=tree) == ""


class TestCache:
    def fetched(self, http):
        return sum(1 for method, path, _ in http.seen if path.endswith("git-upload-pack") and method == "POST")

    @pytest.mark.parametrize("depth", [1, 0])
    def test_commits_in_the_cache_are_not_fetched_again(self, repositories, http, start, kept, tmp_path, depth):
        repositories.make("shop")
        start(f"{http.url}/shop.git", cache=tmp_path / "cache", depth=depth)
        kept.content.clear()
        http.seen.clear()

        tree = start(f"{http.url}/shop.git", cache=tmp_path / "cache", depth=depth)

        assert (tree / "README.md").read_text() == "hello\n"
        assert git("fsck", "--full", cwd=tree) == ""
        assert self.fetched(http) == 1  # which refs there are; no commit

    def test_a_new_commit_is_fetched_incrementally(self, repositories, http, start, kept, tmp_path):
        work = repositories.make("shop", {"large": os.urandom(1_000_000), "a": "1"})
        start(f"{http.url}/shop.git", cache=tmp_path / "cache")
        kept.content.clear()
        tip = commit(work, {"a": "2"})
        git("push", "-q", "origin", "main", cwd=work)

        tree = start(f"{http.url}/shop.git", cache=tmp_path / "cache")

        packs = sorted(file.stat().st_size for file in (tree / ".git/objects/pack").glob("*.pack"))
        assert git("rev-parse", "HEAD", cwd=tree) == tip
        assert packs[0] < 10_000 < 1_000_000 < packs[1]

    def test_the_cache_gives_no_access_to_credentials_that_the_repository_refuses(
        self, repositories, http, start, kept, tmp_path
    ):
        repositories.make("shop")
        start(f"{http.url}/shop.git", cache=tmp_path / "cache")
        kept.content.clear()

        assert kind_of(start, f"{http.url}/shop.git", cache=tmp_path / "cache", secret=None) is Kind.REFUSED

    def test_a_commit_that_the_repository_does_not_serve_is_not_taken_from_the_cache(
        self, repositories, http, start, kept, tmp_path
    ):
        work = repositories.make("shop")
        first = git("rev-parse", "HEAD", cwd=work)
        start(f"{http.url}/shop.git", cache=tmp_path / "cache")
        kept.content.clear()
        git("commit", "-q", "--amend", "-m", "other", cwd=work)
        git("push", "-q", "--force", "origin", "main", cwd=work)
        git("gc", "-q", "--prune=now", cwd=repositories.root / "shop.git")

        assert kind_of(start, f"{http.url}/shop.git", cache=tmp_path / "cache", ref=first) is Kind.MISSING

    @pytest.mark.parametrize("damage", ["pack", "idx", "HEAD", "everything", "shallow"])
    def test_a_damaged_cache_is_replaced(self, repositories, http, start, kept, tmp_path, damage):
        repositories.make("shop", {"a": os.urandom(100_000)})
        cache = tmp_path / "cache"
        start(f"{http.url}/shop.git", cache=cache)
        kept.content.clear()
        for file in cache.rglob("*"):
            if file.is_file() and (damage in (file.suffix.strip("."), file.name) or damage == "everything"):
                file.chmod(0o600)
                size = file.stat().st_size
                file.write_bytes(file.read_bytes()[: size // 2] + b"damage" * (size // 12))

        tree = start(f"{http.url}/shop.git", cache=cache)

        assert git("fsck", "--full", cwd=tree) == ""
        assert git("status", "--porcelain", cwd=tree) == ""

    @pytest.mark.parametrize("depth", [1, 0])
    def test_many_fetches_are_repacked(self, repositories, http, start, kept, tmp_path, monkeypatch, depth):
        monkeypatch.setattr(cache, "_MOST_PACKS", 2)
        work = repositories.make("shop")
        for number in range(6):
            tip = commit(work, {"a": str(number)})
            git("push", "-q", "origin", "main", cwd=work)
            kept.content.clear()
            tree = start(f"{http.url}/shop.git", cache=tmp_path / "cache", depth=depth)
            assert git("rev-parse", "HEAD", cwd=tree) == tip
            assert git("fsck", "--full", "--no-dangling", cwd=tree) == ""

        assert len(list((tmp_path / "cache").rglob("*.pack"))) <= 4

    def test_pods_that_start_simultaneously_fetch_a_commit_once(self, repositories, http, start, kept, tmp_path):
        repositories.make("shop")

        with ThreadPoolExecutor() as pods:
            trees = list(pods.map(lambda _: start(f"{http.url}/shop.git", cache=tmp_path / "cache"), range(4)))

        assert [git("fsck", "--full", cwd=tree) for tree in trees] == [""] * 4
        assert self.fetched(http) == 4 + 1

    def test_a_read_only_cache_folder_is_not_used(self, repositories, http, start, tmp_path):
        repositories.make("shop")
        (tmp_path / "file").write_text("no folder")

        assert (start(f"{http.url}/shop.git", cache=tmp_path / "file") / "README.md").exists()


class TestNamed:
    def test_an_existing_worktree_is_used_unchanged(self, repositories, http, start, kept):
        work = repositories.make("shop")
        tree = start(f"{http.url}/shop.git", named=True)
        (tree / "made").write_text("by an earlier job")
        kept.content.clear()
        tip = commit(work, {"a": "2"})
        git("push", "-q", "origin", "main", cwd=work)

        again = start(f"{http.url}/shop.git", named=True, root=tree.parent)

        assert again == tree
        assert (tree / "made").read_text() == "by an earlier job"
        assert not (tree / "a").exists()
        assert git("rev-parse", clone.FETCHED_REF, cwd=tree.parent / ".agentjobs/fetched.git") == tip
        assert base(kept)["commit"] == tip

    def test_a_worktree_of_another_repository_is_refused(self, repositories, http, start, kept):
        repositories.make("shop")
        repositories.make("other")
        tree = start(f"{http.url}/other.git", named=True)
        kept.content.clear()

        assert kind_of(start, f"{http.url}/shop.git", named=True, root=tree.parent) is Kind.MISSING

    @pytest.mark.parametrize("left", ["nothing", "a link", "a file"])
    def test_a_worktree_without_its_repository_is_refused(self, repositories, http, start, kept, left):
        repositories.make("shop")
        tree = start(f"{http.url}/shop.git", named=True)
        kept.content.clear()
        shutil.move(tree / ".git", tree.parent / "moved")
        if left == "a link":
            (tree / ".git").symlink_to("../moved")
        elif left == "a file":
            (tree / ".git").write_text("gitdir: ../moved\n")

        assert kind_of(start, f"{http.url}/shop.git", named=True, root=tree.parent) is Kind.MISSING

    @pytest.mark.parametrize("left", ["a link", "a broken link", "a file", "a pipe"])
    def test_something_other_than_a_folder_as_worktree_is_refused(self, repositories, http, start, kept, left):
        repositories.make("shop")
        tree = start(f"{http.url}/shop.git", named=True)
        kept.content.clear()
        shutil.rmtree(tree)
        if left == "a file":
            tree.write_text("x")
        elif left == "a pipe":
            os.mkfifo(tree)
        else:
            tree.symlink_to("/" if left == "a link" else "/nonexistent")

        assert kind_of(start, f"{http.url}/shop.git", named=True, root=tree.parent) is Kind.MISSING

    def test_nothing_in_a_worktree_runs_in_the_container_with_credentials(
        self, repositories, http, start, kept, tmp_path
    ):
        repositories.make("shop")
        tree = start(f"{http.url}/shop.git", named=True)
        kept.content.clear()
        trace = tmp_path / "ran"
        for name in ("core.fsmonitor", "core.sshCommand", "core.gitProxy", "credential.helper", "alias.fetch"):
            git("config", name, f"!touch {trace}", cwd=tree)
        git("config", "url.http://127.0.0.1:1/.insteadOf", http.url, cwd=tree)
        git("config", "http.proxy", "http://127.0.0.1:1", cwd=tree)
        ours = tree.parent / ".agentjobs"
        shutil.copytree(tree / ".git", ours / "fetched.git")
        (ours / "saved.git").symlink_to("/etc")

        start(f"{http.url}/shop.git", named=True, root=tree.parent)

        assert not trace.exists()
        assert Path("/etc/passwd").exists()

    def test_locks_of_a_killed_git_are_removed(self, repositories, http, start, kept):
        repositories.make("shop")
        tree = start(f"{http.url}/shop.git", named=True)
        kept.content.clear()
        left = ("index.lock", "HEAD.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x", "packed-refs.new")
        for name in (*left, "refs/heads/ai/next.lock", "modules/ui/index.lock"):
            (tree / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / ".git" / name).write_text("")

        start(f"{http.url}/shop.git", named=True, root=tree.parent)

        assert git("checkout", "-q", "-b", "ai/next", cwd=tree) == ""
        assert git("pack-refs", "--all", cwd=tree) == ""
        assert not list(tree.rglob("*.lock"))
        assert not list(tree.rglob("tmp_pack_*"))

    def test_a_folder_that_is_a_link_is_not_followed(self, repositories, http, start, tmp_path):
        repositories.make("shop")
        root = tmp_path / "volume"
        root.mkdir()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "precious").write_text("x")
        (root / ".agentjobs").symlink_to(elsewhere)

        start(f"{http.url}/shop.git", named=True, root=root)

        assert [entry.name for entry in elsewhere.iterdir()] == ["precious"]


def test_a_clone_after_a_killed_one_starts_from_the_beginning(repositories, http, start, kept, tmp_path, monkeypatch):
    repositories.make("shop")
    root = tmp_path / "volume"
    ran = git_module.Git.run
    for number in range(1, 12):
        left = iter([None] * number)

        def dies(self, *arguments, left=left, **more):
            if next(left, "dead") == "dead":
                raise SystemError("killed here")
            return ran(self, *arguments, **more)

        monkeypatch.setattr(git_module.Git, "run", dies)
        try:
            start(f"{http.url}/shop.git", root=root, named=True)
        except SystemError:
            assert not (root / "tree").exists()
        else:
            break
    monkeypatch.setattr(git_module.Git, "run", ran)

    tree = start(f"{http.url}/shop.git", root=root, named=True)

    assert number > 5
    assert git("status", "--porcelain", cwd=tree) == ""


def test_a_link_instead_of_an_ephemeral_checkout_is_not_followed(repositories, http, start, tmp_path):
    repositories.make("shop")
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/tree").symlink_to(tmp_path / "nowhere")

    tree = start(f"{http.url}/shop.git", root=tmp_path / "volume")

    assert not tree.is_symlink()
    assert git("status", "--porcelain", cwd=tree) == ""


def test_an_existing_ephemeral_checkout_is_replaced(repositories, http, start):
    repositories.make("shop")
    tree = start(f"{http.url}/shop.git")
    (tree / "made").write_text("by a start before")

    again = start(f"{http.url}/shop.git", root=tree.parent)

    assert not (again / "made").exists()
    assert git("status", "--porcelain", cwd=again) == ""


def test_a_full_disk_is_reported(repositories, http, start, tmp_path):
    repositories.make("shop", {"large": os.urandom(3_000_000)})
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mount is not allowed here, so there is no small disk")
    try:
        assert kind_of(start, f"{http.url}/shop.git", root=small) is Kind.FULL
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_repository_is_cloned_by_ssh(repositories, ssh, start):
    repositories.make("shop")

    tree = start(ssh.url(repositories.root / "shop.git"), secret=ssh.secret)

    assert (tree / "README.md").read_text() == "hello\n"
