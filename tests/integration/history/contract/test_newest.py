"""What jobs that wait for others ask: the newest job of a name, and whole answers."""

import json

import pytest
from tests.integration.history.runner_calls import a_document, a_result

from agentjobs.history.records import Acceptance


async def ended(operator, build, phase="Succeeded"):
    await operator.write([build.job(), build.transition(1, phase, finished=True)])


async def test_the_newest_job_of_a_name_is_found(operator, a_job):
    await ended(operator, a_job("uid-1", name="plan"), "Failed")
    await ended(operator, a_job("uid-2", name="plan", minute=1))
    await ended(operator, a_job("uid-3", name="other"))

    found = await operator.newest("default", ["plan", "unknown"])

    assert set(found) == {"plan"}
    assert (found["plan"].uid, found["plan"].phase, found["plan"].ended) == ("uid-2", "Succeeded", True)


async def test_a_newer_unfinished_job_hides_an_ended_one(operator, a_job):
    await ended(operator, a_job("uid-1", name="plan"))
    again = a_job("uid-2", name="plan", minute=1)
    await operator.write([again.job(), again.transition(1, "Running")])

    assert not (await operator.newest("default", ["plan"]))["plan"].ended


async def test_a_job_that_was_deleted_counts_as_ended(operator, a_job):
    done, half = a_job("uid-1", name="done"), a_job("uid-2", name="half")
    await ended(operator, done)
    await operator.write([done.deletion(), half.transition(1, "Running"), half.deletion()])

    found = await operator.newest("default", ["done", "half"])

    assert [(found[name].phase, found[name].ended) for name in ("done", "half")] == [
        ("Succeeded", True),
        ("Deleted", True),
    ]


async def test_jobs_of_other_namespaces_are_not_found(operator, a_job):
    await ended(operator, a_job("uid-1", name="plan", namespace="elsewhere"))

    assert await operator.newest("default", ["plan"]) == {}


@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
async def test_answers_are_returned_completely(operator, gateway, a_job, size):
    build = a_job("uid-1")
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim("uid-1", 1, "pod-1", **build.place)
    await gateway.put_result("uid-1", 1, "pod-1", a_document(a_result("x" * size)))
    await operator.final_result("uid-1")

    answers = await operator.answers(["uid-1", "uid-9"])

    assert set(answers) == {"uid-1"}
    assert len(json.loads(bytes(answers["uid-1"]))["text"]) == size
