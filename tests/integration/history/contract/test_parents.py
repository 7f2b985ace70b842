"""What the operator reads about a parent job, and the follow-ups that it has had."""

import json

import pytest
from tests.integration.history.runner_calls import a_document, a_result

from agentjobs.history.records import Acceptance


async def answered(operator, gateway, build, text, verdict="Succeed"):
    await operator.accept(Acceptance(build.job(followUps=[{"name": "next"}]), build.start(1)))
    await gateway.claim(build.uid, 1, "pod-1", **build.place)
    await gateway.put_result(build.uid, 1, "pod-1", a_document(a_result(text), verdict=verdict))


@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
async def test_a_parent_is_read_with_its_work_and_its_complete_answer(operator, gateway, a_job, size):
    await answered(operator, gateway, a_job("uid-1"), "x" * size)

    found = await operator.parent("uid-1")

    assert found.resolved["spec"]["followUps"] == [{"name": "next"}]
    assert len(json.loads(bytes(found.answer))["text"]) == size


async def test_a_job_without_an_answer_has_none(operator, a_job):
    await operator.accept(Acceptance(a_job("uid-1").job()))

    assert (await operator.parent("uid-1")).answer is None


async def test_a_job_unknown_to_history_is_none(operator):
    found = await operator.parent("uid-9")

    assert (found.resolved, found.answer, dict(found.children)) == (None, None, {})


async def test_follow_ups_are_found_even_if_they_were_deleted(operator, a_job):
    parent, accepted = a_job("uid-1"), a_job("uid-2", name="a", parent="uid-1")
    seen, gone = a_job("uid-3", name="b", parent="uid-1"), a_job("uid-4", name="c", parent="uid-1")
    await operator.accept(Acceptance(parent.job()))
    await operator.accept(Acceptance(accepted.job(), accepted.start(1)))
    await operator.write([seen.transition(1, "Pending"), gone.deletion()])
    await operator.write([a_job("uid-5", name="d", parent="uid-2").transition(1, "Pending")])

    assert dict((await operator.parent("uid-1")).children) == {"a": "uid-2", "b": "uid-3", "c": "uid-4"}
