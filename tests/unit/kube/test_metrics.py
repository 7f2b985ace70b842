"""Metrics have the documented names, and no label that users can choose."""

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from agentjobs.api_resource import Resource
from agentjobs.contract import Verdict
from agentjobs.dashboard.metrics import DashboardMetrics
from agentjobs.errors import Conflict, Unavailable
from agentjobs.gateway.metrics import GatewayMetrics
from agentjobs.history.statements import load
from agentjobs.kube import resources
from agentjobs.metrics import TABLES, Metrics
from agentjobs.notifier.metrics import NotifierMetrics
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.rbac import roles


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(clock=lambda: 100.0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"^\| `(agentjobs_\w+)` \| (\w+) \| [^|]+ \|([^|]*)\| [^|]+ \|$", re.MULTILINE)
ALERTS = yaml.safe_load(PAGE.with_name("alerts.yaml").read_text())["groups"][0]["rules"]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def documented(process):
    """Name, type and labels of every metric that the page lists for a process."""
    chapter = PAGE.read_text().partition(f"## Of the {process}\n")[2].partition("\n## ")[0]
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(chapter)}


def registered(registry):
    """The same of what a registry holds. Labels stand only in the collectors until there is a sample."""
    found = {}
    for collector in filter(lambda one: isinstance(one, MetricWrapperBase), registry._collector_to_names):
        for family in collector.describe():
            if family.name.startswith("agentjobs_"):
                name = family.name + ("_total" if family.type == "counter" else "")
                found[name] = family.type, set(collector._labelnames)
    return found


@pytest.mark.parametrize(
    ("process", "made"),
    [
        ("operator", Metrics),
        ("gateway", GatewayMetrics),
        ("model proxy", ProxyMetrics),
        ("notifier", NotifierMetrics),
        ("dashboard", lambda: DashboardMetrics(CollectorRegistry())),
    ],
)
def test_the_page_lists_every_metric_with_type_and_labels(process, made):
    assert documented(process) == registered(made().registry)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_uses_existing_metrics_and_labels_and_is_documented(rule):
    listed = {}
    for process in ("operator", "gateway", "model proxy", "notifier"):
        listed |= documented(process)
    samples = {
        f"{name.removesuffix('_total')}{suffix}": labels
        for name, (kind, labels) in listed.items()
        for suffix in SUFFIXES[kind]
    }
    asked = re.findall(r"(agentjobs_\w+)(?:\{(\w+)=~?\"([^\"]*)\"\})?", rule["expr"])

    assert asked
    assert all(name in samples and (not label or label in samples[name]) for name, label, _ in asked)
    assert {"summary", "description"} <= set(rule["annotations"])
    assert f"| `{rule['alert']}` |" in PAGE.read_text()


def test_verdicts_in_alerts_exist():
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "AgentJobsAttemptsFailing")
    named = set(re.findall(r'verdict=~"([^"]*)"', rule["expr"]))

    assert named == {f"{Verdict.RETRY}|{Verdict.FAIL}"}


def test_an_unknown_reason_is_counted_as_other(metrics):
    metrics.attempt("Fail", "ToolError")
    metrics.attempt("Fail", "user-chosen-1")
    metrics.attempt("Fail", "user-chosen-2")

    assert value(metrics, "agentjobs_attempts_total", verdict="Fail", reason="ToolError") == 1
    assert value(metrics, "agentjobs_attempts_total", verdict="Fail", reason="Other") == 2


def test_a_success_is_not_counted_as_other(metrics):
    metrics.attempt("Succeed", "")

    assert value(metrics, "agentjobs_attempts_total", verdict="Succeed", reason="ResultAccepted") == 1


def test_queues_of_users_count_as_other(metrics):
    metrics.queue_depths(lambda: {"agents": 3, "nightly-of-customer-4711": 2, "hourly-of-customer-4711": 5})
    metrics.queue_wait("nightly-of-customer-4711", 2)

    depths = [value(metrics, "agentjobs_queue_depth", queue=queue) for queue in ("agents", "scheduled", "Other")]
    assert depths == [3, 0, 7]
    assert value(metrics, "agentjobs_queue_wait_seconds_count", queue="Other") == 1


def test_queues_of_the_installation_count_by_name():
    metrics = Metrics({"agents": 10, "critical": 5})
    metrics.queue_depths(lambda: {"critical": 3, "scheduled": 2})
    metrics.queue_wait("critical", 2)

    depths = [value(metrics, "agentjobs_queue_depth", queue=queue) for queue in ("agents", "critical", "Other")]
    assert depths == [0, 3, 2]
    assert value(metrics, "agentjobs_queue_wait_seconds_count", queue="critical") == 1


def test_every_kind_that_the_operator_can_write_is_counted_by_its_name(metrics):
    kinds = {known.plural: known.kind for known in vars(resources).values() if isinstance(known, Resource)}
    written = {
        kinds[name.partition("/")[0]]
        for role in roles("operator")
        for rule in role["rules"]
        if {"create", "patch", "update", "delete"} & set(rule["verbs"])
        for name in rule["resources"]
    }

    for kind in written:
        metrics.api_write("PATCH", kind, 200)

    agents = {"AgentJob", "AgentSchedule", "AgentQueue", "AgentTemplate"}
    assert agents | {"Pod", "PersistentVolumeClaim", "NetworkPolicy", "Event", "Lease"} == written
    assert all(value(metrics, "agentjobs_api_writes_total", verb="PATCH", kind=kind) == 1 for kind in written)


def test_rows_that_retention_deletes_are_counted_by_their_table():
    swept = {name.removeprefix("delete_") for name in load("retention") if name.startswith("delete_")}

    assert swept <= TABLES


@pytest.mark.parametrize(("code", "errors"), [(200, None), (201, None), (409, 1), (0, 1)])
def test_every_write_counts_and_failed_ones_twice(metrics, code, errors):
    metrics.api_write("PATCH", "Pod", code)

    assert value(metrics, "agentjobs_api_writes_total", verb="PATCH", kind="Pod") == 1
    assert value(metrics, "agentjobs_api_write_errors_total", verb="PATCH", kind="Pod", code=str(code)) == errors


@pytest.mark.parametrize(
    ("failure", "outcome"), [(None, "ok"), (Conflict("x"), "conflict"), (Unavailable("x"), "error")]
)
def test_reconciles_are_counted_by_outcome(metrics, failure, outcome):
    metrics.reconciled(0.1, failure)

    assert value(metrics, "agentjobs_reconcile_seconds_count", outcome=outcome) == 1


def test_the_age_of_a_watch_grows_while_it_is_silent():
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
