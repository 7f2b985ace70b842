"""Jobs that an end wakes, and that nothing is kept of jobs that no longer wait."""

import pytest

from agentjobs.core.job.awaiting import Wants
from agentjobs.reconcile.waits import Waits


@pytest.fixture
def waits():
    waits = Waits()
    waits.note(("ns", "by-name"), Wants(frozenset({"a", "b"})), {})
    waits.note(("ns", "by-label"), Wants(frozenset()), {"set": "x", "more": "y"})
    waits.note(("ns", "by-parent"), Wants(frozenset()), {"agentjobs.dev/parent": "plan"})
    return waits


@pytest.mark.parametrize(
    ("job", "labels", "woken"),
    [
        (("ns", "a"), {}, ["by-name"]),
        (("ns", "c"), {"set": "x", "more": "y", "other": "z"}, ["by-label"]),
        (("ns", "c"), {"set": "x"}, []),
        (("ns", "plan"), {}, ["by-parent"]),
        (("ns", "c"), {"agentjobs.dev/parent": "plan"}, ["by-parent"]),
        (("elsewhere", "a"), {"set": "x", "more": "y"}, []),
    ],
)
def test_an_end_wakes_the_jobs_that_wait_for_it(waits, job, labels, woken):
    assert [name for _, name in waits.woken_by(job, labels)] == woken


def test_nothing_is_kept_of_jobs_that_no_longer_wait(waits):
    waits.note(("ns", "by-name"), Wants(frozenset({"c"})), {"set": "z"})
    assert list(waits.woken_by(("ns", "a"), {})) == []
    for name in ("by-name", "by-label", "by-parent", "unknown"):
        waits.drop(("ns", name))

    assert waits.wants("ns") == {}
    assert not any((waits._wants, waits._by_name, waits._selectors))
