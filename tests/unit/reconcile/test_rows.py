"""What a status contains of an answer, for any text of a model."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentjobs.api.job.status import AgentJobStatus
from agentjobs.contract import Verdict
from agentjobs.core.job.observation import FinalResult, parse_job
from agentjobs.history.records import EventDetails
from agentjobs.reconcile.job.rows import job_key, preview, transition, with_result

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
JOB = parse_job({"metadata": {"namespace": "default", "name": "hello", "uid": "u", "resourceVersion": "1"}})


def previewed(structured):
    return preview(JOB, "", {"text": "{}", "structured": structured, "usage": {}})


@pytest.mark.parametrize(
    ("structured", "shown"),
    [
        pytest.param({"n": 10**400, "m": [2**63, -(2**63)]}, {"m": [None, None]}, id="numbers-of-any-length"),
        pytest.param({"fix": None, "why": {"a": None, "b": 1}}, {"why": {"b": 1}}, id="null-removes-in-a-patch"),
        pytest.param({"long": "x" * 5000}, None, id="longer-than-a-status"),
    ],
)
def test_content_too_large_for_a_status_is_left_out_and_reported(structured, shown):
    found = previewed(structured)

    assert (found.structured, found.truncated) == (shown, True)
    json.dumps(found.structured, allow_nan=False)


@pytest.mark.parametrize("structured", [None, {}, {"n": 2**63 - 1, "f": 1e300, "l": [None, True], "o": {"a": "ü"}}])
def test_a_small_answer_is_in_the_status_completely(structured):
    found = previewed(structured)

    assert (found.structured, found.truncated) == (structured, False)


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        pytest.param(None, None, id="nothing-went-through-the-proxy"),
        pytest.param(Decimal(0), "0", id="free"),
        pytest.param(Decimal("0.0123000000"), "0.0123", id="without-zeros"),
        pytest.param(Decimal("0.0000001"), "0.000001", id="what-costs-something-shows"),
        pytest.param(Decimal("12345678.9"), "12345678.9", id="no-exponent"),
    ],
)
def test_the_cost_of_a_job_is_in_dollars(cost, shown):
    status = with_result(JOB, JOB.status, FinalResult(usage={"llmCalls": 2}, cost=cost))

    assert status.to_dict()["usage"].get("costUSD") == shown
    assert AgentJobStatus.parse(status.to_dict()).usage == status.usage


def told(world):
    """Phases of the job as history knows them, with the seconds at which they began."""
    uid = world.job()["metadata"]["uid"]
    records = [record for (kind, of, _), record in world.records.items() if (kind, of) == ("TransitionRecord", uid)]
    return [(record.phase, (record.time - START).total_seconds()) for record in records]


async def test_history_has_the_time_when_a_job_began_to_wait(world):
    world.apply(retry={"backoff": {"initial": "60s", "jitterPercent": 0}})
    await world.act()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=10)
    for number in range(10):
        world.apply(f"job-{number}")
    await world.act(seconds=10)
    await world.act(seconds=80)

    assert told(world) == [("Running", 0), ("Retrying", 10), ("Queued", 100)]


async def test_history_has_the_time_when_a_job_was_resumed(world):
    world.apply(retry={"backoff": {"initial": "60s", "jitterPercent": 0}})
    await world.act()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=70)
    await world.act(seconds=10)
    for suspend in (True, False):
        world.edit(suspend=suspend)
        await world.act(seconds=10)

    assert told(world) == [("Running", 0), ("Retrying", 10), ("Suspended", 20), ("Retrying", 30)]


def test_a_notification_of_a_transition_has_the_fields_of_the_status():
    status = {"attempts": 2, "usage": {"costUSD": "0.5"}, "result": {"summary": "done", "outcome": "fixed"}}

    assert transition(JOB, AgentJobStatus.parse(status)).details == EventDetails(2, "done", "fixed", "0.5")
    assert transition(JOB, AgentJobStatus.parse(None)).details == EventDetails(0)


def test_a_record_has_the_users_labels_of_the_object():
    labels = {"team": "docs", "agentjobs.dev/schedule": "brief"}
    metadata = {"namespace": "default", "name": "hello", "uid": "u", "resourceVersion": "1", "labels": labels}

    assert job_key(parse_job({"metadata": metadata})).labels == (("team", "docs"),)
