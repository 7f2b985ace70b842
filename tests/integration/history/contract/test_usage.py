"""The usage of starts is the sum of what was recorded, despite repeated requests and for any ending."""

import asyncio

import pytest

from agentjobs import errors
from agentjobs.contract import Result, ResultDocument, TimelineEntry
from agentjobs.history.records import Acceptance
from agentjobs.models.budget import Spend

ANSWERED = {"llmCalls": 1, "inputTokens": 10, "outputTokens": 5}
CALLED = {"toolCalls": 1}


def entry(seq, usage=None):
    event = TimelineEntry(seq=seq, time="2026-01-31T12:00:00Z", kind="model", author="agent", data={})
    return event if usage is None else event | {"usage": usage}


@pytest.fixture
async def build(operator, gateway, a_job):
    build = a_job()
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim(build.uid, 1, "pod-1", **build.place)
    return build


async def of_starts(gateway, build):
    return [start.usage for start in (await gateway.job_history("default", build.uid)).starts]


async def test_every_entry_adds_its_usage(gateway, build):
    added = await gateway.add_events(build.uid, 1, "pod-1", [entry(1, ANSWERED), entry(2), entry(3, CALLED)])
    await gateway.add_events(build.uid, 1, "pod-1", [entry(4, ANSWERED)])

    assert [event["seq"] for event in added] == [1, 2, 3]
    assert await of_starts(gateway, build) == [
        {"llmCalls": 2, "toolCalls": 1, "inputTokens": 20, "outputTokens": 10},
    ]


async def test_an_entry_sent_again_counts_once(gateway, build):
    batch = [entry(1, ANSWERED), entry(1, {"llmCalls": 9}), entry(2, CALLED)]
    first = await gateway.add_events(build.uid, 1, "pod-1", batch)
    again = await gateway.add_events(build.uid, 1, "pod-1", [*batch, entry(3, CALLED)])

    assert (first, again) == ([batch[0], batch[2]], [entry(3, CALLED)])
    assert await of_starts(gateway, build) == [ANSWERED | {"toolCalls": 2}]


async def test_entries_sent_twice_simultaneously_count_once(gateway, build, again):
    batch = [entry(number, ANSWERED) for number in range(1, 30)]
    await asyncio.gather(*(again(lambda: gateway.add_events(build.uid, 1, "pod-1", batch)) for _ in range(4)))

    assert (await of_starts(gateway, build))[0]["llmCalls"] == 29


async def test_the_usage_of_a_job_is_that_of_all_its_starts_with_any_ending(gateway, operator, build):
    await gateway.add_events(build.uid, 1, "pod-1", [entry(1, ANSWERED)])
    await operator.write([build.end(1)])  # killed: no word of its own
    await operator.accept(Acceptance(build.job(), build.start(2)))
    await gateway.claim(build.uid, 2, "pod-2", **build.place)
    await gateway.add_events(build.uid, 2, "pod-2", [entry(1, ANSWERED), entry(2, CALLED)])
    failed = ResultDocument(verdict="Fail", reason="Permanent", message="", delaySeconds=None, result=None)
    await gateway.put_result(build.uid, 2, "pod-2", failed)

    assert (await operator.final_result(build.uid)).usage == {
        "llmCalls": 2,
        "toolCalls": 1,
        "inputTokens": 20,
        "outputTokens": 10,
    }


async def test_usage_is_counted_for_the_job_and_for_each_attempt(gateway, operator, build):
    await gateway.add_events(build.uid, 1, "pod-1", [entry(1, ANSWERED), entry(2, CALLED)])
    await operator.accept(Acceptance(build.job(), build.start(2, attempt=2)))
    await gateway.claim(build.uid, 2, "pod-2", **build.place)
    await gateway.add_events(build.uid, 2, "pod-2", [entry(1, ANSWERED)])

    asked = [
        operator.spent(build.uid),
        operator.spent(build.uid, 2),
        operator.spent(build.uid, 3),
        operator.spent("no"),
    ]
    job, second, third, unknown = await asyncio.gather(*asked)
    assert job == Spend(tokens=30, llm_calls=2, tool_calls=1)
    assert second == Spend(tokens=15, llm_calls=1)
    assert third == unknown == Spend()


async def test_usage_of_a_fenced_pod_does_not_count(gateway, operator, build):
    await operator.accept(Acceptance(build.job(), build.start(2)))

    with pytest.raises(errors.Fenced):
        await gateway.add_events(build.uid, 1, "pod-1", [entry(1, ANSWERED)])
    assert (await operator.final_result(build.uid)).usage == {}


@pytest.mark.parametrize(
    ("sent", "stands"),
    [
        pytest.param([], {"llmCalls": 3, "toolCalls": 0, "inputTokens": 7, "outputTokens": 0}, id="older-runner"),
        pytest.param([entry(1, ANSWERED)], ANSWERED, id="recorded"),
    ],
)
async def test_the_usage_in_a_result_counts_only_without_entries(gateway, build, sent, stands):
    result = Result(text="Hi.", structured=None, usage={"llmCalls": 3, "inputTokens": 7})
    document = ResultDocument(verdict="Succeed", reason="Done", message="", delaySeconds=None, result=result)
    await gateway.add_events(build.uid, 1, "pod-1", sent)
    await gateway.put_result(build.uid, 1, "pod-1", document)

    assert await of_starts(gateway, build) == [stands]
