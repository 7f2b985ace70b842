"""What happened to a job is said in one sentence, for every reason that a job can have."""

from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api import explain as told
from agentjobs.api.causes import CANCELLATIONS, FAILURES, HOLDS, POD_TROUBLE, SKIPS, SUCCESSES, SUSPENSIONS, DetailPage
from agentjobs.api.conditions import (
    DELETED,
    AcceptedReason,
    AdmittedReason,
    CancelledReason,
    CompleteReason,
    Phase,
    PodStartedReason,
    SkippedReason,
    SuspendedReason,
)
from agentjobs.api.explain import Order, Situation, explain
from agentjobs.contract import ErrorClass

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REJECTIONS = [reason for reason in AcceptedReason if reason.description.endswith("The job failed.")]
WAITS = [*(reason for reason in AcceptedReason if reason not in REJECTIONS), *AdmittedReason]


def situation(phase, reason="", **more):
    return Situation(phase=str(phase), reason=str(reason), **more)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param(FAILURES, [*ErrorClass, *REJECTIONS], id="failures"),
        pytest.param(HOLDS, WAITS, id="waits"),
        pytest.param(POD_TROUBLE, list(PodStartedReason), id="pods"),
        pytest.param(SUSPENSIONS, list(SuspendedReason), id="suspensions"),
        pytest.param(SUCCESSES, list(CompleteReason), id="successes"),
        pytest.param(CANCELLATIONS, list(CancelledReason), id="cancellations"),
        pytest.param(SKIPS, list(SkippedReason), id="skips"),
    ],
)
def test_every_reason_of_a_job_and_nothing_else_has_an_explanation(table, words):
    assert {str(word) for word in table} == {str(word) for word in words}


@pytest.mark.parametrize("reason", [*ErrorClass, *REJECTIONS])
def test_every_failure_except_a_deletion_has_a_solution(reason):
    assert bool(told.cure_of(reason)) == (reason is not ErrorClass.JOB_DELETED)


@pytest.mark.parametrize("phase", [*Phase, DELETED])
@pytest.mark.parametrize("reason", ["", "ModelAuth", "WaitingForSlot", "Requested", "SomethingOfARunner"])
def test_each_phase_is_explained_in_sentences_for_any_reason(phase, reason):
    sentence = explain(situation(phase, reason, starts=1, attempts=1), NOW).sentence

    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "{" not in sentence
    assert ".." not in sentence


def test_a_failure_is_explained_with_attempts_cause_and_solution():
    said = explain(situation("Failed", "ModelAuth", attempts=3, starts=3), NOW)

    assert said.sentence == "Failed after 3 attempts: the provider refused the key. It will not be retried."
    assert said.page is DetailPage.MODELS
    assert "key" in said.cure
    assert said.orders == (Order.RERUN,)


def test_a_running_job_shows_its_start_time_and_current_step():
    seen = situation(
        "Running", "", starts=2, started=NOW - timedelta(minutes=3), claimed=NOW, step=14, doing="tool search"
    )

    sentence = explain(seen, NOW).sentence
    assert [part in sentence for part in ("3m", "start 2", "step 14", "tool search")] == [True] * 4


def test_a_pod_that_does_not_start_is_the_explanation():
    seen = situation("Running", "ImagePullBackOff", pod_reason="ImagePullBackOff", starts=1)

    assert explain(seen, NOW).sentence.endswith("image cannot be pulled.")


def test_a_stopping_pod_is_not_explained_as_not_started():
    seen = situation("Running", "Stopping", pod_reason="Stopping", starts=1)

    assert "being stopped" in explain(seen, NOW).sentence


def test_a_job_that_waits_for_a_slot_shows_its_queue_and_the_number_of_waiting_jobs():
    said = explain(situation("Queued", "WaitingForSlot", queue="agents", others_waiting=4), NOW)

    assert "queue agents" in said.sentence
    assert "4 other jobs" in said.sentence
    assert said.page is DetailPage.QUEUE


def test_a_queue_name_is_not_used_as_a_format_string():
    assert (
        "{queue.__class__}" in explain(situation("Queued", "WaitingForSlot", queue="{queue.__class__}"), NOW).sentence
    )


def test_a_retry_is_explained_with_its_delay_and_reason():
    seen = situation(
        "Retrying",
        "WaitingForBackoff",
        attempts=2,
        starts=3,
        max_attempts=5,
        due=NOW + timedelta(seconds=90),
        last_reason="ModelUnavailable",
    )

    sentence = explain(seen, NOW).sentence
    assert [part in sentence for part in ("1m30s", "start 4", "could not be reached", "2 of 5")] == [True] * 4


@pytest.mark.parametrize(
    ("seen", "orders"),
    [
        pytest.param(situation("Running"), (Order.CANCEL, Order.SUSPEND), id="running"),
        pytest.param(
            situation("Running", requested=Order.SUSPEND), (Order.CANCEL, Order.RESUME), id="will be suspended"
        ),
        pytest.param(situation("Running", requested=Order.CANCEL), (), id="will be cancelled"),
        pytest.param(situation("Queued", "WaitingForSlot"), (Order.CANCEL, Order.SUSPEND), id="queued"),
        pytest.param(situation("Suspended", "Requested"), (Order.RESUME, Order.CANCEL), id="suspended by a person"),
        pytest.param(situation("Suspended", "BudgetExceeded"), (Order.CANCEL,), id="a resume would not help"),
        pytest.param(situation("Succeeded"), (Order.RERUN,), id="ended"),
        pytest.param(situation("Running", is_there=False), (Order.RERUN,), id="gone"),
        pytest.param(situation("Deleted"), (Order.RERUN,), id="deleted"),
        pytest.param(situation("Failed", "InvalidSpec"), (), id="never accepted"),
    ],
)
def test_only_possible_actions_are_offered(seen, orders):
    assert explain(seen, NOW).orders == orders
