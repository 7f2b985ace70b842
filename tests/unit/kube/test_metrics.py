"""Metrics have the documented names, and no label that somebody outside can choose."""

import pytest
from prometheus_client import generate_latest

from agentjobs.errors import Conflict, Unavailable
from agentjobs.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(clock=lambda: 100.0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    "name",
    [
        "queue_depth",
        "queue_wait_seconds",
        "starts_total",
        "attempts_total",
        "run_duration_seconds",
        "api_writes_total",
        "history_backlog",
        "watch_age_seconds",
        "leader",
    ],
)
def test_the_documented_names_exist(metrics, name):
    # The text format names a counter's family without `_total` in OpenMetrics and with it here.
    assert f"# TYPE agentjobs_{name} ".encode() in generate_latest(metrics.registry)


def test_a_reason_that_is_not_ours_is_folded(metrics):
    metrics.attempt("Fail", "ToolError")
    metrics.attempt("Fail", "user-chosen-1")
    metrics.attempt("Fail", "user-chosen-2")

    assert value(metrics, "agentjobs_attempts_total", verdict="Fail", reason="ToolError") == 1
    assert value(metrics, "agentjobs_attempts_total", verdict="Fail", reason="Other") == 2


def test_a_success_is_no_other_reason(metrics):
    metrics.attempt("Succeed", "")

    assert value(metrics, "agentjobs_attempts_total", verdict="Succeed", reason="ResultAccepted") == 1


def test_queues_of_users_count_as_other(metrics):
    metrics.queue_depth("agents", 3)
    metrics.queue_wait("nightly-of-customer-4711", 2)

    assert value(metrics, "agentjobs_queue_depth", queue="agents") == 3
    assert value(metrics, "agentjobs_queue_wait_seconds_count", queue="Other") == 1


@pytest.mark.parametrize(("code", "errors"), [(200, None), (201, None), (409, 1), (0, 1)])
def test_every_write_counts_and_failed_ones_twice(metrics, code, errors):
    metrics.api_write("PATCH", "Pod", code)

    assert value(metrics, "agentjobs_api_writes_total", verb="PATCH", kind="Pod") == 1
    assert value(metrics, "agentjobs_api_write_errors_total", verb="PATCH", kind="Pod", code=str(code)) == errors


@pytest.mark.parametrize(
    ("failure", "outcome"), [(None, "ok"), (Conflict("x"), "conflict"), (Unavailable("x"), "error")]
)
def test_reconciles_are_told_apart_by_their_outcome(metrics, failure, outcome):
    metrics.reconciled(0.1, failure)

    assert value(metrics, "agentjobs_reconcile_seconds_count", outcome=outcome) == 1


def test_a_watchs_age_grows_while_it_is_silent():
    time = [100.0]
    metrics = Metrics(clock=lambda: time[0])
    assert metrics.watch_age("Pod") == float("inf")

    metrics.watched("Pod")
    time[0] += 42

    assert value(metrics, "agentjobs_watch_age_seconds", kind="Pod") == 42


def test_two_operators_in_one_process_do_not_share_metrics():
    one, other = Metrics(), Metrics()

    one.leader.set(1)

    assert value(other, "agentjobs_leader") == 0
