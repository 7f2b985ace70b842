"""Only one pod can write for a start, even if others still run."""

import asyncio
import json
from datetime import timedelta

import pytest
from tests.integration.history.runner_calls import (
    USAGE,
    WRITES,
    a_document,
    a_result,
    an_event,
    beat,
    put_result,
    write_event,
)

from agentjobs import errors
from agentjobs.history.records import Acceptance


async def test_the_answer_to_a_claim_has_all_that_the_pod_needs(gateway, build):
    attempt = await gateway.claim(build.uid, 1, "pod-a", **build.place)

    assert attempt == {
        "namespace": "default",
        "job": "hello",
        "uid": build.uid,
        "start": 1,
        "attempt": 1,
        "maxAttempts": 3,
        "resolved": build.job().resolved,
        "result": None,
        "journal": {"run": 1, "last": 0, "versions": None},
        "session": False,
    }


async def test_a_pod_can_repeat_its_claim(gateway, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    assert (await gateway.claim(build.uid, 1, "pod-a", **build.place))["start"] == 1


async def test_a_second_pod_of_a_start_is_fenced(gateway, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    with pytest.raises(errors.Fenced, match="belongs to pod pod-a"):
        await gateway.claim(build.uid, 1, "pod-b", **build.place)


async def test_exactly_one_of_simultaneous_claims_gets_the_start(gateway, build):
    answers = await asyncio.gather(
        *(gateway.claim(build.uid, 1, f"pod-{number}", **build.place) for number in range(8)), return_exceptions=True
    )

    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert sum(isinstance(answer, errors.Fenced) for answer in answers) == 7


@pytest.mark.parametrize(
    ("uid", "start"),
    [
        pytest.param("uid-1", 2, id="start"),
        pytest.param("nobody", 1, id="job"),
        pytest.param("uid-1", 0, id="zero"),
        pytest.param("uid-1", 2**40, id="huge"),
    ],
)
async def test_a_start_that_is_not_recorded_cannot_be_claimed(gateway, build, uid, start):
    with pytest.raises(errors.NotFound):
        await gateway.claim(uid, start, "pod-a", **build.place)


@pytest.mark.parametrize("write", WRITES)
async def test_a_pod_that_never_claimed_cannot_write(gateway, build, write):
    with pytest.raises(errors.Fenced, match="is not claimed"):
        await write(gateway, build.uid, "pod-a")


@pytest.mark.parametrize("write", WRITES)
async def test_another_pod_cannot_write(gateway, build, write):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    with pytest.raises(errors.Fenced):
        await write(gateway, build.uid, "pod-b")


@pytest.mark.parametrize("write", WRITES)
async def test_a_newer_start_fences_the_older_start(gateway, operator, build, write):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    await operator.accept(Acceptance(build.job(), build.start(2)))

    with pytest.raises(errors.Fenced, match="newer start"):
        await write(gateway, build.uid, "pod-a")


@pytest.mark.parametrize("write", WRITES)
async def test_the_end_of_a_start_fences_it(gateway, operator, build, write):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    await operator.write([build.end(1)])

    with pytest.raises(errors.Fenced):
        await write(gateway, build.uid, "pod-a")


async def test_an_ended_start_cannot_be_claimed(gateway, operator, build):
    await operator.write([build.end(1)])

    with pytest.raises(errors.Fenced):
        await gateway.claim(build.uid, 1, "pod-a", **build.place)


async def test_the_pod_of_a_deleted_job_can_still_store_its_result(gateway, operator, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    await operator.write([build.deletion()])

    assert await gateway.put_result(build.uid, 1, "pod-a", a_document(a_result())) == a_result()


async def test_the_first_result_of_a_job_is_final(gateway, operator, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    await gateway.put_result(build.uid, 1, "pod-a", a_document(a_result("first")))
    await operator.accept(Acceptance(build.job(), build.start(2)))
    attempt = await gateway.claim(build.uid, 2, "pod-b", **build.place)

    final = await gateway.put_result(build.uid, 2, "pod-b", a_document(a_result("second")))

    assert attempt["result"] == final == (await operator.final_result(build.uid)).answer == a_result("first")


async def test_the_operator_reads_only_as_much_of_an_answer_as_a_status_shows(gateway, operator, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    large = {**a_result("ü" * 1_000_000), "structured": {"a": [[]] * 500_000}, "outcome": "sure"}
    await gateway.put_result(build.uid, 1, "pod-a", a_document(large))

    read = (await operator.final_result(build.uid)).answer

    assert len(json.dumps(read)) < 500_000
    assert large["text"].startswith(read["text"][:2000])
    assert read["structured"] != large["structured"]
    assert (read["outcome"], read["usage"]) == ("sure", USAGE)


AGAIN = {"resultPolicy": {"rules": [{"name": "again", "onOutcomes": ["unsure"], "action": "Retry"}]}}


def an_answer(text, outcome="unsure"):
    return a_document({**a_result(text), "outcome": outcome})


@pytest.fixture
async def ruled(operator, gateway, a_job):
    """A job that runs again after the outcome `unsure`, with its first start claimed."""
    build = a_job("uid-2", name="ruled")
    await operator.accept(Acceptance(build.job(**AGAIN), build.start(1)))
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    return build


async def test_an_answer_after_which_a_rule_reruns_the_job_does_not_bind_later_starts(gateway, operator, ruled):
    told = await gateway.put_result(ruled.uid, 1, "pod-a", an_answer("first"))
    await operator.accept(Acceptance(ruled.job(**AGAIN), ruled.start(2)))
    attempt = await gateway.claim(ruled.uid, 2, "pod-b", **ruled.place)
    final = await gateway.put_result(ruled.uid, 2, "pod-b", an_answer("second", "sure"))

    assert (told, attempt["result"]) == (None, None)
    assert final["text"] == (await operator.final_result(ruled.uid)).answer["text"] == "second"


async def test_a_pod_gets_the_decision_about_its_own_answer_that_is_not_final(gateway, operator, ruled):
    before = await gateway.claim(ruled.uid, 1, "pod-a", **ruled.place)
    await gateway.put_result(ruled.uid, 1, "pod-a", an_answer("first"))
    own = await gateway.claim(ruled.uid, 1, "pod-a", **ruled.place)
    await operator.accept(Acceptance(ruled.job(**AGAIN), ruled.start(2)))
    later = await gateway.claim(ruled.uid, 2, "pod-b", **ruled.place)

    assert ("undecided" in before, own["undecided"], own["result"], "undecided" in later) == (
        False,
        "unsure",
        None,
        False,
    )


async def test_the_answer_of_the_last_start_is_final_when_the_operator_reads_it(gateway, operator, ruled):
    for _ in range(2):
        await gateway.put_result(ruled.uid, 1, "pod-a", an_answer("first"))
    before = await gateway.result(ruled.uid)
    asked = (await operator.final_result(ruled.uid)).answer

    assert before is None
    assert asked == await gateway.result(ruled.uid)
    assert (asked["text"], asked["outcome"]) == ("first", "unsure")


@pytest.mark.parametrize("reverse", [False, True], ids=["in-order", "end-first"])
async def test_the_end_of_a_job_makes_its_last_answer_final(gateway, operator, ruled, reverse):
    await gateway.put_result(ruled.uid, 1, "pod-a", an_answer("first"))
    records = [ruled.end(1), ruled.transition(2, "Succeeded", finished=True)]
    for record in records[::-1] if reverse else records:
        await operator.write([record])

    assert (await gateway.result(ruled.uid))["text"] == "first"


async def test_an_answer_before_the_last_start_never_becomes_final(gateway, operator, ruled):
    await gateway.put_result(ruled.uid, 1, "pod-a", an_answer("first"))
    await operator.accept(Acceptance(ruled.job(**AGAIN), ruled.start(2)))
    await operator.write([ruled.end(2), ruled.transition(3, "Failed", finished=True)])

    assert (await operator.final_result(ruled.uid)).answer is None
    assert await gateway.result(ruled.uid) is None


async def test_an_answer_of_a_job_that_cannot_continue_is_final_immediately(gateway, operator, ruled):
    await operator.write([ruled.deletion()])

    assert (await gateway.put_result(ruled.uid, 1, "pod-a", an_answer("first")))["text"] == "first"


async def test_a_result_sent_twice_is_stored_once(gateway, operator, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    for _ in range(2):
        assert await gateway.put_result(build.uid, 1, "pod-a", a_document(a_result())) == a_result()

    assert (await operator.final_result(build.uid)).usage == USAGE


@pytest.mark.parametrize("verdict", ["Retry", "Snooze", "Fail", "Cancel"])
async def test_only_success_makes_a_result(gateway, operator, build, verdict):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    assert await gateway.put_result(build.uid, 1, "pod-a", a_document(None, verdict)) is None
    assert (await operator.final_result(build.uid)).answer is None
    assert (await gateway.job_history("default", build.uid)).starts[0].reported["verdict"] == verdict


async def test_an_event_sent_twice_is_stored_once(gateway, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    await gateway.add_events(build.uid, 1, "pod-a", [an_event(1), an_event(1), an_event(2)])
    await gateway.add_events(build.uid, 1, "pod-a", [an_event(2) | {"kind": "other"}, an_event(3)])

    page = await gateway.events(build.uid)

    assert [(event.seq, event.kind) for event in page.items] == [(1, "text"), (2, "text"), (3, "text")]


async def test_simultaneous_writes_of_a_pod_do_not_deadlock(gateway, build, again):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    await asyncio.gather(
        again(lambda: gateway.put_result(build.uid, 1, "pod-a", a_document(a_result()))),
        *(again(lambda seq=seq: gateway.add_events(build.uid, 1, "pod-a", [an_event(seq)])) for seq in range(20)),
        *(gateway.heartbeat(build.uid, 1, "pod-a") for _ in range(10)),
    )

    assert len((await gateway.events(build.uid)).items) == 20


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"time": "yesterday"}, id="no-time"),
        pytest.param({"time": "2026-01-31T12:00:00"}, id="no-zone"),
        pytest.param({"time": "0001-01-01T00:00:00+23:59"}, id="before-christ"),
        pytest.param({"time": "9999-12-31T23:59:59-23:59"}, id="after-the-end"),
        pytest.param({"seq": -1}, id="negative"),
        pytest.param({"seq": 2**63}, id="huge"),
    ],
)
async def test_an_event_that_cannot_be_stored_is_refused_completely(gateway, build, changes):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)

    with pytest.raises(errors.Invalid, match="event"):
        await gateway.add_events(build.uid, 1, "pod-a", [an_event(1), an_event(2) | changes])

    assert (await gateway.events(build.uid)).items == []


async def test_every_write_of_a_pod_counts_as_a_heartbeat(backend, gateway, operator, build):
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    silences = []
    for write in (write_event, beat, put_result):
        await backend.an_hour_passes()
        await write(gateway, build.uid, "pod-a")
        silences.append(await operator.silence(build.uid, 1))

    assert max(silences) < timedelta(minutes=1)


async def test_the_operator_reads_the_time_since_a_pods_last_heartbeat(gateway, operator, backend, build):
    never = await operator.silence(build.uid, 1)
    await gateway.claim(build.uid, 1, "pod-a", **build.place)
    claimed = await operator.silence(build.uid, 1)
    await backend.an_hour_passes()
    silent = await operator.silence(build.uid, 1)
    await gateway.heartbeat(build.uid, 1, "pod-a")
    heard = await operator.silence(build.uid, 1)

    assert never is None
    assert timedelta(0) <= claimed < timedelta(hours=1) <= silent
    assert timedelta(0) <= heard < timedelta(hours=1)
