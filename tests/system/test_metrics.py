"""Operator and gateway of a running cluster, scraped as Prometheus does."""

import asyncio
import re
import ssl
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentjobs.contract import ErrorClass, StepKind, Verdict
from devcluster.client import PODS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("metrics")]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
ROW = re.compile(r"^\| `(agentjobs_\w+)` \| (\w+) \|", re.MULTILINE)
# What only a schedule, an old job, pressure or a refusal makes.
WITHOUT_SAMPLES = {
    "agentjobs_schedule_starts_total",
    "agentjobs_history_pruned_total",
    "agentjobs_api_write_errors_total",
    "agentjobs_claims_refused_total",
}
CHOSEN = "chosen-by-a-user"
VALUES = {
    "queue": {"agents", "scheduled", "Other"},
    "verdict": {*Verdict},
    "reason": {*ErrorClass, "ResultAccepted", "Other"},
    "verb": {"POST", "PUT", "PATCH", "DELETE"},
    "kind": {
        *("AgentJob", "AgentSchedule", "AgentQueue", "AgentTemplate"),
        *("Pod", "Event", "Lease", "TokenReview", "SubjectAccessReview"),
        *StepKind,
        *("any", "Other"),
    },
    "result": {"recorded", "void", "replayed"},
    "outcome": {"ok", "conflict", "error", "refused", "unavailable"},
    "state": {"in-use", "idle"},
    "direction": {"input", "output"},
    "method": {"GET", "POST", "PUT", "other"},
}


@pytest.fixture
def system(counted_system):
    return counted_system


async def scrape(url, *, ca=None):
    """Families by the name that the page uses."""
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=ca) if ca else False, trust_env=False
    ) as http:
        answer = await http.get(f"{url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    found = {one.name + ("_total" if one.type == "counter" else ""): one for one in families}
    return {name: one for name, one in found.items() if name.startswith("agentjobs_") and not name.endswith("_created")}


def documented(process):
    chapter = PAGE.read_text().partition(f"## Of the {process}\n")[2].partition("\n## ")[0]
    return dict(ROW.findall(chapter))


async def test_a_scrape_has_the_documented_metrics_and_no_text_of_users(system, job_of):
    answer = {"text": CHOSEN, "usage": {"inputTokens": 12, "outputTokens": 3}}
    raises = {"error": {"status": 503, "message": CHOSEN}}
    spec = {"retry": {"backoff": {"initial": "1s"}}, "steps": {"llm": {"maxAttempts": 1}}}
    await system.apply(*job_of(CHOSEN, {"starts": [[raises], [answer]]}, **spec))
    await system.apply(*job_of(f"{CHOSEN}-2", {"starts": [[answer]]}, queue=CHOSEN))
    await system.finished(CHOSEN)
    await system.job_history(CHOSEN)
    await system.until("pods", released, status_of=pods_of(system))
    await asyncio.sleep(0.5)

    cluster = system.cluster
    operator = await scrape(cluster.operator_url)
    gateway = await scrape(cluster.gateway_url, ca=str(cluster.gateway_ca))

    for process, families in (("operator", operator), ("gateway", gateway)):
        assert {name: family.type for name, family in families.items()} == documented(process)
        silent = {name for name, family in families.items() if not family.samples}
        assert silent <= WITHOUT_SAMPLES
        for family in families.values():
            for sample in family.samples:
                for label, value in sample.labels.items():
                    assert CHOSEN not in value
                    assert value in VALUES.get(label, {value}), (sample.name, label, value)

    def number(families, name, **labels):
        family = families[name if name in families else name.rpartition("_")[0]]
        return sum(one.value for one in family.samples if one.name == name and labels.items() <= one.labels.items())

    assert number(operator, "agentjobs_starts_total") == 2
    assert number(operator, "agentjobs_attempts_total", verdict="Retry", reason="ModelUnavailable") == 1
    assert number(operator, "agentjobs_attempts_total", verdict="Succeed") == 1
    assert number(operator, "agentjobs_run_duration_seconds_count") == 2
    assert number(operator, "agentjobs_leader") == 1
    assert number(operator, "agentjobs_watch_age_seconds", kind="AgentJob") < 60
    assert number(gateway, "agentjobs_tokens_total", direction="input") == 12
    assert number(gateway, "agentjobs_model_calls_total") == 1
    assert number(gateway, "agentjobs_steps_total", kind="model", result="recorded") == 1
    assert number(gateway, "agentjobs_run_events_count") == 2
    assert number(gateway, "agentjobs_gateway_reviews_total", kind="TokenReview", code="201") >= 2
    routes = {one.labels["route"] for one in gateway["agentjobs_gateway_requests_total"].samples}
    assert "/v1/attempt/events" in routes


def pods_of(system):
    async def pods(_):
        return (await system.client.list(PODS, system.namespace))[0]

    return pods


def released(pods):
    """The operator has written all it has to about pods that ended."""
    return not any(pod["metadata"].get("finalizers") for pod in pods)


def writes(system):
    return sum(system.metric("agentjobs_api_writes_total", kind=kind) for kind in ("AgentJob", "Pod"))


async def test_a_job_with_one_start_takes_four_writes(system, job_of):
    await system.until("pods", released, status_of=pods_of(system))
    await asyncio.sleep(0.5)  # until nothing of what was before is written any more
    before = writes(system)
    await system.apply(*job_of("counted", {"starts": [[{"text": "Done."}]]}))
    await system.finished("counted")
    await system.until("pods", released, status_of=pods_of(system))
    await system.until("writes", lambda made: made >= 4, status_of=lambda _: asyncio.sleep(0, writes(system) - before))
    await asyncio.sleep(0.5)  # until a fifth would be written

    assert writes(system) - before == 4
