"""What `agentjobs get -w` prints, also when the connection breaks."""

import pytest

from agentjobs import errors
from agentjobs.cli import watched_table
from agentjobs.cli.failures import Failure
from agentjobs.cli.watched_table import WatchedTable

COLUMNS = [{"name": "Name", "priority": 0}, {"name": "Phase", "priority": 0}]
AWAY = errors.Unavailable("cannot connect to the server.")
REFUSED = errors.Denied("your token has expired")


class Cluster:
    """An API server that gives these answers to lists and watches, in order; exceptions are raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.versions = []

    def request(self, method, path, *, accept, params):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def watch(self, path, *, params, accept, seconds):
        self.versions.append(params["resourceVersion"])
        for event in self.answers.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


def a_table(*rows, version="1", columns=COLUMNS):
    """Rows as (name, phase, version)."""
    return {
        "metadata": {"resourceVersion": version},
        "columnDefinitions": columns,
        "rows": [
            {
                "cells": [name, phase],
                "object": {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": at}},
            }
            for name, phase, at in rows
        ],
    }


def a_change(name, phase, version, kind="MODIFIED"):
    return {"type": kind, "object": a_table((name, phase, version), version="", columns=None)}


@pytest.fixture
def watch(monkeypatch, capsys):
    """Watch a server until it refuses; return the rows and notices that were printed, and the pauses."""

    def run(cluster, first):
        pauses = []
        monkeypatch.setattr(watched_table.time, "sleep", pauses.append)
        table = WatchedTable(cluster, "/jobs", {}, wide=False, everywhere=False)
        table.begin(first)
        with pytest.raises((errors.Denied, Failure)):
            table.follow()
        printed = capsys.readouterr()
        return [line.split() for line in printed.out.splitlines()[1:]], printed.err.splitlines(), pauses

    return run


def test_a_watch_that_ends_continues_after_the_last_change(watch):
    cluster = Cluster([a_change("a", "Running", "7")], [REFUSED])

    rows, notices, _ = watch(cluster, a_table(("a", "Pending", "3")))

    assert (rows, notices) == ([["a", "Pending"], ["a", "Running"]], [])
    assert cluster.versions == ["1", "7"]


def test_after_a_break_only_what_changed_is_printed(watch):
    meanwhile = a_table(("a", "Running", "3"), ("b", "Succeeded", "8"), ("c", "Pending", "9"), version="9")
    cluster = Cluster([AWAY], AWAY, meanwhile, [REFUSED])

    rows, notices, _ = watch(cluster, a_table(("a", "Running", "3"), ("b", "Running", "4"), ("gone", "Running", "5")))

    assert rows[3:] == [["b", "Succeeded"], ["c", "Pending"]]
    assert cluster.versions == ["1", "9"]
    assert any("gone" in notice for notice in notices)


def test_rows_stand_below_the_columns_of_the_first_table(capsys):
    table = WatchedTable(Cluster([a_change("a", "Running", "7"), REFUSED]), "/jobs", {}, wide=False, everywhere=False)
    table.begin(a_table(("much-longer", "Pending", "3")))
    with pytest.raises(errors.Denied):
        table.follow()

    header, first, change = capsys.readouterr().out.splitlines()
    assert header.index("PHASE") == first.index("Pending") == change.index("Running")


def test_an_outage_is_reported_once_and_its_pauses_grow_to_a_limit(watch):
    cluster = Cluster([AWAY], *[AWAY] * 20, a_table(version="2"), [REFUSED])

    _, notices, pauses = watch(cluster, a_table())

    assert len(notices) == 2  # it began, it ended
    assert "cannot connect" in notices[0]
    assert (pauses == sorted(pauses), pauses[0], pauses[-1]) == (True, 0.5, 10.0)


@pytest.mark.parametrize("code", [410, None], ids=["as an event", "as an answer"])
def test_a_version_that_is_too_old_is_listed_again_without_a_notice(watch, code):
    too_old = {"type": "ERROR", "object": {"code": code, "message": "too old"}} if code else errors.Gone("too old")
    cluster = Cluster([too_old], a_table(("a", "Running", "8"), version="8"), [REFUSED])

    rows, notices, _ = watch(cluster, a_table(("a", "Pending", "3")))

    assert (rows, notices) == ([["a", "Pending"], ["a", "Running"]], [])


def test_a_deleted_object_is_printed_once(watch):
    cluster = Cluster([a_change("a", "Failed", "7", "DELETED"), AWAY], a_table(version="9"), [REFUSED])

    rows, notices, _ = watch(cluster, a_table(("a", "Running", "3")))

    assert rows == [["a", "Running"], ["a", "Failed"]]
    assert not any("Deleted" in notice for notice in notices)


@pytest.mark.parametrize("code", [403, 422])
def test_a_refused_watch_ends(watch, code):
    refusal = {"type": "ERROR", "object": {"code": code, "message": "no"}}

    rows, notices, _ = watch(Cluster([refusal]), a_table())

    assert (rows, notices) == ([], [])
