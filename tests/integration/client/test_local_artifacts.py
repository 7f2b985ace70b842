"""Artifacts of a local run are numbered, found by name and version, and one version for each key of a run."""

import contextlib
import sqlite3

import pytest

from agentjobs.cli import local_artifacts as kept

NOON = "2026-11-29T12:00:00+00:00"


@pytest.fixture
def file():
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(kept.SCHEMA)
        yield connection


def save(file, name, key, content=b"x", *, run=1):
    given = {"name": name, "key": key, "kind": "data", "mime": "text/plain", "metadata": {"by": "me"}}
    return kept.save(file, given, content, run=run, time=NOON)


def test_versions_are_counted_for_each_name(file):
    assert [save(file, *each) for each in (("a", "k1"), ("a", "k2"), ("b", "k3"))] == [0, 1, 0]
    assert kept.names(file) == ["a", "b"]
    assert [(told["version"], told["bytes"], told["metadata"]) for told in kept.versions(file, "a")] == [
        (0, 1, {"by": "me"}),
        (1, 1, {"by": "me"}),
    ]


def test_a_second_save_with_the_same_key_replaces_the_bytes_of_the_version(file):
    assert [save(file, "a", "k", content) for content in (b"first", b"second!")] == [0, 0]
    assert kept.content(file, "a", None)[1] == b"second!"
    assert [told["bytes"] for told in kept.versions(file, "a")] == [7]


def test_a_new_run_saves_a_new_version(file):
    assert [save(file, "a", "k", run=run) for run in (1, 2, 2)] == [0, 1, 1]


@pytest.mark.parametrize(("version", "content"), [(None, b"new"), (0, b"old"), (1, b"new")])
def test_a_load_without_a_version_returns_the_newest(file, version, content):
    save(file, "a", "k1", b"old")
    save(file, "a", "k2", b"new")

    assert kept.content(file, "a", version)[1] == content


def test_missing_and_deleted_artifacts_are_not_found(file):
    save(file, "a", "k1")
    kept.delete(file, "a")

    assert (kept.content(file, "a", None), kept.content(file, "b", 3), kept.names(file)) == (None, None, [])
