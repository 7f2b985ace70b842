"""Commits are made from the agent's files, and nothing among these files is trusted or run."""

import os

import pytest

from agentjobs_runner.endings import StartEnded
from agentjobs_runner.workspace import commits, destination
from tests import gitservers


def made(site, **options):
    """Make the commits; return them with the repository."""
    ours = site.ours(**options)
    return ours, commits.changes(ours, site.tree, "Do it\n")


def files(ours, commit):
    return set(ours.words("ls-tree", "-r", "--name-only", commit).split("\n"))


def test_an_unchanged_checkout_has_nothing_to_publish(site):
    assert made(site)[1] is None


@pytest.mark.parametrize("place", [".gitignore", ".gitattributes", "b/.gitignore"])
def test_a_pipe_that_git_would_read_does_not_block(site, place):
    (site.tree / place).unlink(missing_ok=True)
    os.mkfifo(site.tree / place)

    with pytest.raises(StartEnded) as ended:
        made(site)

    assert (ended.value.ending.reason, place in ended.value.ending.message) == ("PublishRefused", True)


def test_the_lock_of_a_git_that_took_too_long_is_removed(site):
    (site.tree / "new.txt").write_text("new\n")
    ours = site.ours()
    (ours.folder / "index-of-files.lock").write_text("")

    assert commits.changes(ours, site.tree, "Do it\n").kept


def test_uncommitted_changes_become_one_commit_on_the_base(site):
    (site.tree / "new.txt").write_text("new\n")
    (site.tree / "a.txt").unlink()
    (site.tree / "noise.log").write_text("x")
    (site.tree / "build").mkdir()
    (site.tree / "build/out").write_text("x")

    ours, change = made(site)

    assert (change.parent, change.kept, change.left_out) == (site.base(), True, ())
    assert files(ours, change.head) == {"new.txt", "b/c.txt", ".gitignore"}
    assert ours.words("log", "-1", "--format=%an|%P", change.head) == f"AgentJobs|{site.base()}"


def test_modes_and_links_are_kept(site):
    (site.tree / "run.sh").write_text("#!/bin/sh\n")
    (site.tree / "run.sh").chmod(0o755)
    (site.tree / "out").symlink_to("/etc/passwd")
    (site.tree / "in").symlink_to("b")

    ours, change = made(site)

    listed = {line.split("\t")[1]: line.split()[0] for line in ours.words("ls-tree", change.head).split("\n")}
    assert (listed["run.sh"], listed["out"], listed["in"]) == ("100755", "120000", "120000")
    assert ours.run("cat-file", "blob", f"{change.head}:out") == b"/etc/passwd"


def test_uncommitted_changes_become_a_commit_after_the_agents_commits(site):
    first = gitservers.commit(site.tree, {"a.txt": "1\n"}, "first")
    second = gitservers.commit(site.tree, {"a.txt": "2\n", "x/y": "3\n"}, "second")
    (site.tree / "late").write_text("late\n")

    ours, change = made(site)

    history = ours.words("rev-list", change.head, f"^{site.base()}").split("\n")
    assert (history[1:], change.kept) == ([second, first], True)


def test_commits_without_further_changes_are_published_unchanged(site):
    head = gitservers.commit(site.tree, {"a.txt": "1\n"})

    _, change = made(site)

    assert (change.head, change.parent) == (head, head)


@pytest.mark.parametrize("spoil", ["orphan", "deleted", "link", "file", "reset", "reftable"])
def test_without_commits_on_the_base_all_changes_become_one_commit(site, spoil):
    gitservers.commit(site.tree, {"own": "x"})
    (site.tree / "new").write_text("x")
    git_folder = site.tree / ".git"
    if spoil == "orphan":
        gitservers.git("checkout", "-q", "--orphan", "other", cwd=site.tree)
        gitservers.commit(site.tree, {"more": "x"})
    elif spoil == "reset":
        (git_folder / "HEAD").write_text("ref: refs/heads/../../../../etc/passwd\n")
    elif spoil == "reftable":
        (git_folder / "HEAD").write_text("ref: refs/heads/.invalid\n")
    else:
        git_folder.rename(site.folder / "elsewhere")
        if spoil == "link":
            git_folder.symlink_to(site.folder / "elsewhere")
        elif spoil == "file":
            git_folder.write_text(f"gitdir: {site.folder / 'elsewhere'}\n")

    ours, change = made(site)

    assert change.parent == site.base()
    assert files(ours, change.head) >= {"new", "own", "a.txt", "b/c.txt", ".gitignore"}


def test_head_is_not_read_through_a_link(site):
    gitservers.commit(site.tree, {"a.txt": "1\n"})
    secret = site.folder / "secret"
    (site.tree / ".git/HEAD").rename(secret)
    (site.tree / ".git/HEAD").symlink_to(secret)

    _, change = made(site)

    assert change.parent == site.base()


def test_a_pipe_instead_of_a_file_does_not_block(site):
    (site.tree / ".git/HEAD").unlink()
    os.mkfifo(site.tree / ".git/HEAD")
    os.mkfifo(site.tree / ".git/objects/ab") if not (site.tree / ".git/objects/ab").exists() else None
    os.mkfifo(site.tree / "pipe")
    (site.tree / "new").write_text("x")

    ours, change = made(site)

    assert change.left_out == (b"pipe",)
    assert "new" in files(ours, change.head)


def test_a_link_instead_of_the_checkout_publishes_nothing(site):
    site.tree.rename(site.folder / "elsewhere")
    site.tree.symlink_to(site.credentials)

    with pytest.raises(StartEnded) as refused:
        made(site)

    assert refused.value.ending.reason == "PublishRefused"


HOSTILE = """[core]
    fsmonitor = touch {mark}
    hooksPath = {hooks}
    sshCommand = touch {mark}
    pager = touch {mark}
    attributesFile = {attributes}
[filter "evil"]
    clean = touch {mark}; cat
    smudge = touch {mark}; cat
    process = touch {mark}
[diff "evil"]
    textconv = touch {mark}
    command = touch {mark}
[merge "evil"]
    driver = touch {mark}
[extensions]
    partialClone = origin
[remote "origin"]
    url = ext::touch {mark}
    promisor = true
    uploadpack = touch {mark}
[credential]
    helper = !touch {mark}
"""


def hostile(site, git_folder):
    """Make a repository's configuration and hooks leave a mark when anything of them runs."""
    mark, hooks = site.folder / "mark", site.folder / "hooks"
    hooks.mkdir(exist_ok=True)
    (git_folder / "hooks").mkdir(exist_ok=True)
    for name in ("pre-commit", "pre-push", "post-index-change", "reference-transaction", "post-checkout"):
        for folder in (hooks, git_folder / "hooks"):
            (folder / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
            (folder / name).chmod(0o755)
    attributes = site.folder / "attributes"
    attributes.write_text("* filter=evil diff=evil merge=evil\n")
    (git_folder / "config").write_text(HOSTILE.format(mark=mark, hooks=hooks, attributes=attributes))
    (git_folder / "info").mkdir(exist_ok=True)
    (git_folder / "info/attributes").write_text("* filter=evil diff=evil merge=evil\n")
    return mark


def test_settings_and_hooks_of_the_agents_repository_have_no_effect(site):
    gitservers.commit(site.tree, {"a.txt": "1\n", ".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    (site.tree / "b/c.txt").write_text("changed")
    mark = hostile(site, site.tree / ".git")

    ours, change = made(site)
    destination.push(ours, change.head, "agents/a")

    assert site.there("rev-parse", "agents/a") == change.head
    assert not mark.exists()


def test_no_process_starts_in_a_nested_repository(site):
    inner = site.folder / "inner"
    gitservers.git("init", "-q", str(inner))
    gitservers.commit(inner, {"f": "x"})
    gitservers.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub", cwd=site.work)
    gitservers.commit(site.work, {})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)
    gitservers.git("fetch", "-q", "origin", "main", cwd=site.tree)
    gitservers.git("reset", "-q", "--hard", "FETCH_HEAD", cwd=site.tree)
    for place in ("sub", "b/own"):
        gitservers.git("clone", "-q", str(inner), str(site.tree / place))
        gitservers.commit(site.tree / place, {"more": "x"})
        mark = hostile(site, site.tree / place / ".git")
    (site.tree / "new").write_text("x")

    ours, change = made(site)

    before, after = (ours.words("ls-tree", commit, "sub") for commit in (site.base(), change.head))
    assert (before, change.left_out) == (after, (b"b/own",))
    assert not mark.exists()


def test_tracked_files_are_published_even_if_their_folder_became_a_repository(site):
    gitservers.git("init", "-q", str(site.tree / "b"))
    (site.tree / "b/c.txt").write_text("changed")

    ours, change = made(site)

    assert ours.run("cat-file", "blob", f"{change.head}:b/c.txt") == b"changed"


def test_only_the_object_store_of_the_checkout_is_read(site):
    other = site.folder / "other"
    gitservers.git("clone", "-q", str(site.tree), str(other))
    head = gitservers.commit(other, {"elsewhere.txt": "x"})
    (site.tree / ".git/objects/info").mkdir(exist_ok=True)
    (site.tree / ".git/objects/info/alternates").write_text(f"{other / '.git/objects'}\n")
    (site.tree / ".git/HEAD").write_text(head + "\n")
    (site.tree / "new").write_text("x")

    ours, change = made(site)

    assert (change.parent, change.kept) == (site.base(), False)
    assert "elsewhere.txt" not in files(ours, change.head)


def test_replacements_of_objects_are_ignored(site):
    good = gitservers.commit(site.tree, {"a.txt": "good\n"})
    evil = gitservers.commit(site.tree, {"a.txt": "evil\n"})
    gitservers.git("reset", "-q", "--hard", good, cwd=site.tree)
    gitservers.git("replace", good, evil, cwd=site.tree)
    (site.tree / ".git/info/grafts").write_text(f"{good} {evil}\n")

    ours, change = made(site)

    assert change.head == good
    assert ours.run("cat-file", "blob", f"{good}:a.txt") == b"good\n"


def test_an_object_under_the_name_of_another_is_refused(site):
    head = gitservers.commit(site.tree, {"a.txt": "good\n", "new": "x"})
    blob = gitservers.git("rev-parse", f"{head}:a.txt", cwd=site.tree)
    other = gitservers.git("hash-object", "-w", "--stdin", given=b"evil\n", cwd=site.tree)
    place = site.tree / ".git/objects"
    (place / blob[:2] / blob[2:]).unlink()
    (place / other[:2] / other[2:]).rename(place / blob[:2] / blob[2:])

    ours, change = made(site)

    assert (change.parent, change.kept) == (site.base(), False)
    assert ours.run("cat-file", "blob", f"{change.head}:a.txt") == b"good\n"


def test_an_incomplete_history_is_refused(site):
    first = gitservers.commit(site.tree, {"a.txt": "1\n"})
    gitservers.commit(site.tree, {"a.txt": "2\n"})
    (site.tree / ".git/objects" / first[:2] / first[2:]).unlink()

    ours, change = made(site)

    assert (change.parent, change.kept) == (site.base(), False)
    assert ours.run("cat-file", "blob", f"{change.head}:a.txt") == b"2\n"


@pytest.mark.parametrize("name", [".GIT", ".Git", "git~1", ".g\u200cit", ".git ", ".git::$INDEX_ALLOCATION"])
def test_names_that_some_file_system_treats_as_git_are_left_out(site, name):
    (site.tree / "b" / name).mkdir()
    (site.tree / "b" / name / "config").write_text("[core]\n\tfsmonitor = x\n")
    (site.tree / "new").write_text("x")

    ours, change = made(site)

    assert change.left_out == (f"b/{name}".encode(),)
    assert "new" in files(ours, change.head)


@pytest.mark.parametrize("undone", [False, True])
def test_a_commit_with_a_name_treated_as_git_is_refused(site, undone):
    blob = gitservers.git("hash-object", "-w", "--stdin", given=b"x", cwd=site.tree)
    inner = gitservers.git("mktree", given=f"100644 blob {blob}\tconfig\n".encode(), cwd=site.tree)
    tree = gitservers.git("mktree", given=f"040000 tree {inner}\t.GIT\n".encode(), cwd=site.tree)
    head = gitservers.git("commit-tree", tree, "-p", site.base(), "-m", "evil", cwd=site.tree)
    if undone:
        head = gitservers.git("commit-tree", f"{site.base()}^{{tree}}", "-p", head, "-m", "clean", cwd=site.tree)
    (site.tree / ".git/refs/heads/main").write_text(head + "\n")
    (site.tree / "new").write_text("x")

    ours, change = made(site)

    assert (change.parent, change.kept) == (site.base(), False)
    assert not any(".GIT" in name for name in files(ours, change.head))


@pytest.mark.parametrize(
    "name",
    [
        "-f",
        "--exec=x",
        "a\nb",
        "tab\there",
        "ünï",
        ":(glob)x",
        '"q"',
        "\\",
        b"\xff\xfe".decode(errors="surrogateescape"),
    ],
)
def test_files_with_unusual_names_are_published(site, name):
    (site.tree / name).write_text("x")

    ours, change = made(site)

    listed = ours.run("ls-tree", "-z", "--name-only", change.head).split(b"\0")
    assert os.fsencode(name) in listed


def test_files_replaced_by_folders_and_folders_replaced_by_links_are_published(site):
    (site.tree / "a.txt").unlink()
    (site.tree / "a.txt").mkdir()
    (site.tree / "a.txt/in").write_text("x")
    (site.tree / "b").rename(site.folder / "b")
    (site.tree / "b").symlink_to(site.folder / "b")

    ours, change = made(site)

    assert files(ours, change.head) == {"a.txt/in", "b", ".gitignore"}


@pytest.mark.parametrize("what", ["MERGE_HEAD", "rebase-merge"])
def test_an_unfinished_merge_is_not_published(site, what):
    (site.tree / ".git" / what).mkdir()

    with pytest.raises(StartEnded) as refused:
        made(site)

    assert refused.value.ending.reason == "PublishRefused"


def test_files_that_a_sparse_checkout_lacks_are_not_deleted(site):
    gitservers.git("sparse-checkout", "set", "--no-cone", "/a.txt", cwd=site.tree)

    with pytest.raises(StartEnded) as refused:
        made(site)

    assert "sparse" in refused.value.ending.message


def test_a_merge_of_older_commits_is_kept_if_they_were_cloned(site):
    gitservers.git("checkout", "-q", "-b", "side", cwd=site.work)
    side = gitservers.commit(site.work, {"side.txt": "x"})
    gitservers.git("checkout", "-q", "main", cwd=site.work)
    gitservers.commit(site.work, {"main.txt": "x"})
    gitservers.git("push", "-q", "origin", "main", "side", cwd=site.work)
    gitservers.git("fetch", "-q", "--unshallow", "origin", "main", cwd=site.tree)
    gitservers.git("fetch", "-q", "origin", "side:side", cwd=site.tree)
    gitservers.git("reset", "-q", "--hard", site.base(), cwd=site.tree)
    gitservers.git("merge", "-q", "--no-edit", side, cwd=site.tree)

    ours, change = made(site, depth=0)
    destination.push(ours, change.head, "merged")

    assert change.kept
    assert site.there("rev-list", "--parents", "-1", "merged").split()[1:] == [site.base(), side]


ATTRIBUTES = ["*.txt text eol=crlf", "*.txt ident", "x.txt working-tree-encoding=UTF-16LE", "* -text"]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_files_are_compared_according_to_their_attributes(site, attributes):
    gitservers.commit(site.work, {".gitattributes": attributes + "\n", "x.txt": "$Id$ ab\n"})
    gitservers.git("push", "-q", "origin", "main", cwd=site.work)
    gitservers.git("fetch", "-q", "--depth=1", "origin", "main", cwd=site.tree)
    gitservers.git("reset", "-q", "--hard", "FETCH_HEAD", cwd=site.tree)
    gitservers.git("checkout", "-q", "HEAD", "--", ".", cwd=site.tree)

    assert made(site)[1] is None
