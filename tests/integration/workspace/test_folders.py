"""Folders that an agent filled."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from agentjobs_runner.workspace.folders import remove
from agentjobs_runner.workspace.locks import remove_stale

DEEP = 1200


@pytest.fixture
def folder():
    """A folder that any user may come to, and which is removed however deep it is."""
    made = Path(tempfile.mkdtemp())
    yield made
    if made.exists():
        remove(made)


def deepen(folder):
    """Make folders below, deeper than a path can say and a stack can follow."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("deep", dir_fd=at)
        below = os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_a_folder_of_any_depth_is_removed(folder):
    deepen(folder)
    (folder / "deep/file").write_text("x")

    remove(folder)

    assert not folder.exists()


def test_links_in_a_removed_folder_are_not_followed(folder, tmp_path):
    (tmp_path / "precious").write_text("x")
    (folder / "a/b").mkdir(parents=True)
    for place in ("link", "a/link", "a/b/link"):
        (folder / place).symlink_to(tmp_path)

    remove(folder)

    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]
    assert not folder.exists()


def test_read_only_folders_are_removed(folder):
    (folder / "go/pkg/mod").mkdir(parents=True)
    (folder / "go/pkg/mod/x").write_text("x")
    for place in ("go/pkg/mod", "go/pkg", "go"):
        (folder / place).chmod(0o555)
    if os.geteuid() == 0:  # whom no mode stops
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65532, 65532)
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(65532)
        with pytest.raises(PermissionError):
            shutil.rmtree(folder / "go")
        remove(folder / "go")
    finally:
        os.seteuid(before)

    assert list(folder.iterdir()) == []


def test_locks_are_found_next_to_folders_that_are_too_deep(folder):
    deepen(folder)
    (folder / "refs/heads/ai").mkdir(parents=True)
    (folder / "refs/heads/ai/fix.lock").write_text("")

    remove_stale(folder)

    assert not (folder / "refs/heads/ai/fix.lock").exists()
