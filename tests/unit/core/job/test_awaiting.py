"""Who can never continue: a cycle, and whatever waits for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.core.job.awaiting import Awaited, Wants, cycle_of

NAMES = "abcdef"
GRAPHS = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Wants, st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=3), st.booleans()),
)


def waits(**jobs):
    return {name: Wants(frozenset(names.lstrip("|")), names.startswith("|")) for name, names in jobs.items()}


@pytest.mark.parametrize(
    ("jobs", "cycle"),
    [
        (waits(a="b", b="c"), ()),
        (waits(a="b", b="a"), ("a", "b", "a")),
        (waits(a="xb", b="c", c="a"), ("a", "b", "c", "a")),
        (waits(a="b", b="c", c="b"), ("a", "b", "c", "b")),
        (waits(a="|bx", b="a"), ()),
        (waits(a="|bc", b="a", c="a"), ("a", "b", "a")),
        (waits(b="c", c="b"), ()),
    ],
    ids=["chain", "two", "three", "behind one", "any has a way out", "any has none", "of others"],
)
def test_cycles_of_waiting_jobs_are_found(jobs, cycle):
    assert cycle_of("a", jobs) == cycle


def test_a_job_that_waits_for_a_job_of_a_cycle_ends_too():
    assert cycle_of("a", waits(a="b"), {"b"}) == ("a", "b")
    assert cycle_of("a", waits(a="|bc"), {"b"}) == ()


def test_a_long_chain_is_followed_without_recursion():
    jobs = {f"job-{n}": Wants(frozenset({f"job-{n + 1}"})) for n in range(5000)}

    assert cycle_of("job-0", jobs) == ()
    assert len(cycle_of("job-0", {**jobs, "job-5000": Wants(frozenset({"job-0"}))})) == 5002


@pytest.mark.hypothesis
@given(GRAPHS)
def test_a_job_is_stuck_exactly_if_no_order_of_endings_lets_it_continue(graph):
    """Let all end that can, as long as one can."""
    ended = set(NAMES) - set(graph)
    while free := [
        name
        for name, wants in graph.items()
        if name not in ended and (wants.names & ended if wants.any else wants.names <= ended)
    ]:
        ended.update(free)

    for name in graph:
        assert bool(cycle_of(name, graph)) == (name not in ended)


def test_a_message_names_at_most_five_jobs_and_is_kept_while_one_of_them_blocks_the_job():
    names = tuple(f"job-{n}" for n in range(8))
    first = Awaited(False, names, frozenset({"job-1"}))

    assert re.findall(r"job-\d", first.message) == list(names[:5])
    assert first.message.endswith(" 3 more")
    assert Awaited(False, names[4:]).is_described_by(first.message)
    assert not Awaited(False, names[5:]).is_described_by(first.message)
    assert not Awaited(False, ("job-1",)).is_described_by(first.message)
