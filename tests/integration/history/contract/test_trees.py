"""What people read of the jobs before a job and of those that follow it."""

import pytest

from agentjobs import errors
from agentjobs.history.records import Acceptance


async def a_chain(operator, a_job):
    """first → second → third and fourth, and one that belongs to another."""
    parents = {"first": "", "second": "uid-first", "third": "uid-second", "fourth": "uid-second", "other": "uid-none"}
    for minute, (name, parent) in enumerate(parents.items()):
        build = a_job(f"uid-{name}", name=name, minute=minute, parent=parent)
        await operator.accept(Acceptance(build.job()))
        await operator.write([build.transition(1, "Succeeded", finished=True)])


@pytest.mark.parametrize("name", ["first", "second", "fourth", "uid-third"])
async def test_every_job_of_a_chain_finds_the_whole_chain(operator, gateway, a_job, name):
    await a_chain(operator, a_job)

    tree = await gateway.tree("default", name)

    assert [(job.name, job.parent_uid) for job in tree.items[:2]] == [("first", ""), ("second", "uid-first")]
    assert {job.name for job in tree.items[2:]} == {"third", "fourth"}
    assert not tree.truncated


async def test_a_job_with_an_unknown_parent_is_the_root(operator, gateway, a_job):
    await a_chain(operator, a_job)

    assert [job.name for job in (await gateway.tree("default", "other")).items] == ["other"]


async def test_a_cycle_of_parents_terminates(operator, gateway, a_job):
    for name, parent in (("a", "uid-b"), ("b", "uid-a"), ("self", "uid-self")):
        await operator.write([a_job(f"uid-{name}", name=name, parent=parent).transition(1, "Queued")])

    assert {job.name for job in (await gateway.tree("default", "a")).items} == {"a", "b"}
    assert [job.name for job in (await gateway.tree("default", "self")).items] == ["self"]


async def test_jobs_of_other_namespaces_are_not_in_the_tree(operator, gateway, a_job):
    await a_chain(operator, a_job)
    await operator.write([a_job("uid-x", name="x", namespace="other", parent="uid-first").transition(1, "Queued")])

    assert "x" not in {job.name for job in (await gateway.tree("default", "first")).items}


async def test_an_unknown_job_has_no_tree(gateway):
    with pytest.raises(errors.NotFound):
        await gateway.tree("default", "nobody")
