"""Changes of an agent's files, from one start to the next."""

import functools
import itertools
import os
import shutil
import subprocess

import pytest
from tests.gitservers import commit, git
from tests.memorystores import MemoryKept

from agentjobs.errors import Invalid
from agentjobs_runner.workspace.folders import remove
from agentjobs_runner.workspace.git import LOCAL, Git
from agentjobs_runner.workspace.saved import UNKEPT_FILE, NotKept, Saved, packs_of
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place


@pytest.fixture
def origin(tmp_path):
    folder = tmp_path / "origin"
    git("init", "-q", "-b", "main", str(folder))
    commit(folder, {"a": "1\n", "b/c": "2\n", "run.sh": "#!/bin/sh\n", ".gitignore": "*.log\n"})
    return folder


class Starts:
    """Begins starts of one run: each a new checkout of its base, with what was kept."""

    def __init__(self, folder, origin):
        self.folder, self.origin, self.kept, self.number = folder, origin, MemoryKept(), 0
        self.also = lambda tree: None
        self.pin()

    def pin(self):
        self.base = git("rev-parse", "HEAD", cwd=self.origin)

    def __call__(self):
        self.number += 1
        place = Place(self.folder / f"start-{self.number}")
        place.ours.mkdir(parents=True)
        git("clone", "-q", "--no-local", "--depth=1", f"file://{self.origin}", str(place.tree))
        git("checkout", "-q", "-B", "main", self.base, cwd=place.tree)
        self.also(place.tree)
        base = Base("u", None, "main", self.base)
        saved = Saved(place, Git(protocols=LOCAL), self.kept, base, self.number)
        saved.prepare()
        return place.tree, saved, self.kept, saved.restore()


@pytest.fixture
def start(tmp_path, origin):
    return Starts(tmp_path, origin)


def listing(folder):
    """All that is in a folder but its .git: bytes, links and modes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if ".git" in inside.parts or (path.is_dir() and not path.is_symlink()):
            continue
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        found[str(inside)] = (content, bool(path.lstat().st_mode & 0o100))
    return found


def test_a_later_start_has_the_files_branches_and_head_of_the_earlier_one(start):
    tree, saved, _, _ = start()
    (tree / "a").write_text("changed\n")
    (tree / "b/c").unlink()
    (tree / "new").mkdir()
    (tree / "new/file").write_bytes(os.urandom(100))
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("/etc/passwd")
    assert saved.save()
    git("checkout", "-q", "-b", "topic", cwd=tree)
    made = commit(tree, {"committed": "x"})
    (tree / "a").write_text("again\n")
    assert saved.save()

    again, _, _, problems = start()

    assert listing(again) == listing(tree)
    assert git("symbolic-ref", "HEAD", cwd=again) == "refs/heads/topic"
    assert git("rev-parse", "topic", "main", cwd=again) == git("rev-parse", "topic", "main", cwd=tree)
    assert git("rev-parse", "HEAD", cwd=again) == made
    assert git("status", "--porcelain", cwd=again) == "M a"
    assert problems == []


def test_saves_of_several_starts_are_combined(start):
    for number in range(4):
        tree, saved, kept, _ = start()
        assert sorted(path.name for path in tree.glob("of-*")) == [f"of-{n}" for n in range(number)]
        (tree / f"of-{number}").write_text(str(number))
        saved.save()

    assert len(packs_of(kept.files().items())) == 4


def test_unchanged_files_are_not_kept_again(start):
    tree, saved, kept, _ = start()

    assert not saved.save()
    (tree / "a").write_text("x")
    assert saved.save()
    before = dict(kept.content)
    assert not saved.save()
    assert kept.content == before
    _, saved, _, _ = start()
    assert not saved.save()


def test_ignored_files_and_the_agents_index_are_not_kept(start):
    tree, saved, _, _ = start()
    (tree / "x.log").write_text("noise")
    (tree / "a").write_text("staged")
    git("add", "a", cwd=tree)
    index = (tree / ".git/index").read_bytes()

    saved.save()

    assert (tree / ".git/index").read_bytes() == index
    again, *_ = start()
    assert not (again / "x.log").exists()
    assert (again / "a").read_text() == "staged"


def test_unusual_names_are_restored(start):
    tree, saved, _, _ = start()
    for name in (b"new\nline", b"caf\xe9", b"-rf", b"--help", b'quo"te', b" ", b"*", b":(top)x"):
        (tree / os.fsdecode(name)).write_bytes(name)
    (tree / "up").symlink_to("../../..")
    saved.save()

    again, *_ = start()

    assert listing(again) == listing(tree)


def test_bytes_are_kept_regardless_of_git_attributes(start, tmp_path):
    tree, saved, _, _ = start()
    trace = tmp_path / "ran"
    git("config", "filter.evil.clean", f"touch {trace}; cat", cwd=tree)
    git("config", "filter.evil.smudge", f"touch {trace}; cat", cwd=tree)
    (tree / ".gitattributes").write_text("* text=auto eol=crlf ident filter=evil working-tree-encoding=UTF-16\n")
    for name, content in {"crlf": b"a\r\nb\r\n", "lf": b"a\nb\n", "id": b"$Id$\n", "bin": b"\xff\xfe\0"}.items():
        (tree / name).write_bytes(content)
    saved.save()

    again, *_ = start()

    assert listing(again) == listing(tree)
    assert not trace.exists()


def test_hooks_and_configuration_of_the_agent_do_not_run(start, tmp_path):
    tree, saved, _, _ = start()
    trace = tmp_path / "ran"
    hooks = ("pre-commit", "post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman")
    for hook in hooks:
        (tree / ".git/hooks").mkdir(exist_ok=True)
        (tree / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {trace}\n")
        (tree / ".git/hooks" / hook).chmod(0o755)
    git("config", "core.hooksPath", str(tree / ".git/hooks"), cwd=tree)
    git("config", "core.fsmonitor", str(tree / ".git/hooks/fsmonitor-watchman"), cwd=tree)
    (tree / "a").write_text("x")

    assert saved.save()

    assert not trace.exists()


@pytest.mark.parametrize("committed", [True, False])
def test_files_of_a_nested_repository_are_kept(start, committed):
    tree, saved, _, _ = start()
    inner = tree / "vendor/inner"
    inner.mkdir(parents=True)
    git("init", "-q", cwd=inner)
    (inner / "file").write_text("inside")
    if committed:
        commit(inner, {"other": "x"})
    assert saved.save()
    (inner / "file").write_text("changed")
    assert saved.save()

    again, *_ = start()

    assert listing(again) == listing(tree)


@pytest.mark.parametrize("checked_out", [True, False])
def test_files_of_a_submodule_are_kept_where_it_is_checked_out(start, origin, tmp_path, checked_out):
    library = tmp_path / "library"
    git("init", "-q", "-b", "main", str(library))
    tip = commit(library, {"code": "1"})
    git("update-index", "--add", "--cacheinfo", f"160000,{tip},lib", cwd=origin)
    git("commit", "-q", "-m", "with a submodule", cwd=origin)
    start.pin()
    if checked_out:
        start.also = lambda tree: git("clone", "-q", str(library), str(tree / "lib"))
    tree, saved, _, _ = start()
    (tree / "a").write_text("changed")
    if checked_out:
        (tree / "lib/code").write_text("changed")
        (tree / "lib/more").write_text("new")
    assert saved.save()

    again, *_ = start()

    assert listing(again) == listing(tree)
    assert git("ls-files", "-s", "lib", cwd=again).startswith("160000")


def test_too_many_files_are_reported_before_they_are_packed(start, monkeypatch):
    monkeypatch.setattr("agentjobs_runner.workspace.saved._MOST_BYTES", 100_000)
    tree, saved, kept, _ = start()
    with (tree / "sparse").open("wb") as file:
        file.truncate(200_000)

    with pytest.raises(NotKept):
        saved.save()

    assert UNKEPT_FILE in kept.files()
    assert not list((tree.parent / ".agentjobs/saved.git/objects").rglob("??/*"))


def test_a_truncated_pack_is_ignored(start):
    tree, saved, kept, _ = start()
    (tree / "a").write_text("kept")
    saved.save()
    (tree / "a").write_text("lost")
    saved.save()
    last = packs_of(kept.files().items())[-1].name
    kept.content[last] = kept.content[last][:-10]

    again, saved, _, _ = start()

    assert (again / "a").read_text() == "kept"
    (again / "b/c").write_text("more")
    saved.save()
    assert listing(start()[0]) == listing(again)


def test_a_damaged_pack_is_not_used(start):
    tree, saved, kept, _ = start()
    (tree / "a").write_bytes(os.urandom(1000))
    saved.save()
    name = packs_of(kept.files().items())[0].name
    kept.content[name] = kept.content[name][:50] + b"x" * 20 + kept.content[name][70:]

    with pytest.raises(NotKept):
        start()


def test_a_tree_that_is_too_large_is_reported_and_a_smaller_one_is_kept_again(start, monkeypatch):
    monkeypatch.setattr("agentjobs_runner.workspace.saved.MAX_PACKS_BYTES", 100_000)
    tree, saved, kept, _ = start()
    (tree / "large").write_bytes(os.urandom(200_000))

    with pytest.raises(NotKept):
        saved.save()
    assert UNKEPT_FILE in kept.files()
    (tree / "large").unlink()
    (tree / "a").write_text("small")
    assert saved.save()

    assert UNKEPT_FILE not in kept.files()
    assert listing(start()[0]) == listing(tree)


def test_files_that_a_failed_save_did_not_keep_are_kept_by_the_next(start, monkeypatch):
    tree, saved, kept, _ = start()
    (tree / "a").write_text("changed")
    with monkeypatch.context() as patched:
        patched.setattr(kept, "write", refuses_packs(kept.write))
        with pytest.raises(NotKept):
            saved.save()
    assert UNKEPT_FILE in kept.files()

    assert saved.save()

    assert UNKEPT_FILE not in kept.files()
    assert listing(start()[0]) == listing(tree)


def test_a_killed_save_keeps_the_files_of_before_or_after(start, monkeypatch):
    ran, write = Git.run, MemoryKept.write
    tree, saved, _, _ = start()
    (tree / "a").write_text("before")
    saved.save()
    (tree / "first").write_text("1")
    outcomes, done = set(), False
    for left in range(20):
        calls = itertools.count()

        def dies(self, *arguments, run=ran, calls=calls, left=left, **more):
            if next(calls) == left:
                if run is write:
                    # As a body of which a part has arrived.
                    write(self, arguments[0], arguments[1][: len(arguments[1]) // 2], **more)
                raise SystemError("killed here")
            return run(self, *arguments, **more)

        tree, saved, _, _ = start()
        before = listing(tree)
        (tree / "a").write_text(f"after {left}")
        (tree / f"new-{left}").write_text("x" * left)
        with monkeypatch.context() as patched:
            patched.setattr(Git, "run", functools.partialmethod(dies, run=ran))
            patched.setattr(MemoryKept, "write", functools.partialmethod(dies, run=write))
            try:
                saved.save()
                done = True
            except SystemError:
                pass
        found = listing(start()[0])
        assert found in (before, listing(tree))
        outcomes.add(found == before)
        if done:
            break
    assert outcomes == {True, False}
    assert done


def refuses_packs(write):
    def instead(name, content, *, offset=0):
        if name.endswith(".pack"):
            raise Invalid("no room")
        write(name, content, offset=offset)

    return instead


def test_many_saves_are_merged_into_one(start, monkeypatch):
    monkeypatch.setattr("agentjobs_runner.workspace.saved._MOST_PACKS", 5)
    tree, saved, kept, _ = start()
    for number in range(13):
        (tree / "a").write_text(str(number))
        saved.save()

    assert len([name for name in kept.files() if name.endswith(".pack")]) <= 5
    assert listing(start()[0]) == listing(tree)


def test_a_new_run_in_between_keeps_all_files_again(start):
    tree, saved, kept, _ = start()
    (tree / "a").write_text("before")
    saved.save()
    kept.content.clear()
    (tree / "b/c").write_text("after")
    saved.save()

    assert BASE_FILE in kept.files()
    assert listing(start()[0]) == listing(tree)


@pytest.mark.parametrize("what", ["a branch", "HEAD", "all"])
def test_deleted_branches_remain_deleted(start, what):
    tree, saved, _, _ = start()
    first = git("rev-parse", "HEAD", cwd=tree)
    if what == "a branch":
        git("checkout", "-q", "-b", "main2", cwd=tree)
        git("branch", "-D", "main", cwd=tree)
        git("branch", "main/below", cwd=tree)
    elif what == "HEAD":
        git("checkout", "-q", "--detach", cwd=tree)
        commit(tree, {"detached": "x"})
    else:
        git("checkout", "-q", "--orphan", "fresh", cwd=tree)
        git("branch", "-D", "main", cwd=tree)
    (tree / "a").write_text("x")
    saved.save()

    again, _, _, problems = start()

    for asked in (
        ("symbolic-ref", "-q", "HEAD"),
        ("for-each-ref", "refs/heads"),
        ("rev-parse", "-q", "--verify", "HEAD"),
    ):
        assert git(*asked, cwd=again, check=False) == git(*asked, cwd=tree, check=False)
    assert listing(again) == listing(tree)
    assert problems == []
    assert first


def test_a_rewritten_and_pruned_history_is_kept(start):
    tree, saved, _, _ = start()
    commit(tree, {"a": "one"})
    saved.save()
    git("commit", "-q", "--amend", "-m", "other", cwd=tree)
    git("reflog", "expire", "--expire=now", "--all", cwd=tree)
    git("gc", "-q", "--prune=now", cwd=tree)
    (tree / "a").write_text("two")

    assert saved.save()

    again, *_ = start()
    assert git("rev-parse", "HEAD", cwd=again) == git("rev-parse", "HEAD", cwd=tree)
    assert listing(again) == listing(tree)


def test_without_its_repository_the_tree_cannot_be_kept(start):
    tree, saved, kept, _ = start()
    shutil.rmtree(tree / ".git")
    (tree / "a").write_text("x")

    with pytest.raises(NotKept):
        saved.save()

    assert UNKEPT_FILE in kept.files()


def test_a_folder_that_git_ignores_is_not_considered_kept(start):
    tree, saved, kept, _ = start()
    at = os.open(tree, os.O_RDONLY)
    for _ in range(50):  # deeper than a path can say
        os.mkdir("d" * 200, dir_fd=at)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("made", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)

    with pytest.raises(NotKept, match="could not open directory"):
        saved.save()

    assert UNKEPT_FILE in kept.files()
    remove(tree)


def test_a_full_disk_is_reported(start, tmp_path):
    tree, saved, kept, _ = start()
    small = tree.parent / ".agentjobs"
    moved = shutil.move(small, tmp_path / "moved")
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mount is not allowed here, so there is no small disk")
    try:
        shutil.copytree(moved, small, dirs_exist_ok=True)
        (tree / "large").write_bytes(os.urandom(3_000_000))
        with pytest.raises(NotKept):
            saved.save()
        assert UNKEPT_FILE in kept.files()
    finally:
        subprocess.run(["umount", small], check=True)
