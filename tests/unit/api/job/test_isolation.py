from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.resolve import accepted_spec, edited_fields, resolve
from agentjobs.api.job.validation import validate_job

Job = Callable[..., dict[str, Any]]
HTTPS = {"to": [{"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.9/32"]}}], "ports": [{"port": 443}]}
PODS = {"to": [{"namespaceSelector": {"matchLabels": {"team": "search"}}, "podSelector": {}}]}


def told(job: dict[str, Any]) -> str:
    return "; ".join(map(str, validate_job(job)))


def restricted(*allow: object) -> dict[str, Any]:
    return {"egress": {"mode": "Restricted", "allow": list(allow)}}


def test_egress_rules_are_kept_exactly(a_job: Job) -> None:
    job = a_job(isolation=restricted(HTTPS, PODS))
    accepted = resolve(job, {})

    assert told(job) == ""
    https, pods = (rule.dump() for rule in accepted_spec(accepted).isolation.egress.allow)
    assert https["to"] == HTTPS["to"]
    assert https["ports"] == [{"protocol": "TCP", "port": 443}]
    assert pods == PODS
    assert edited_fields(job, accepted) == []


@pytest.mark.parametrize(
    ("rule", "field", "word"),
    [
        pytest.param({"too": [PODS]}, "[0].too", "did you mean to?", id="misspelt"),
        pytest.param(
            {"to": [{"podselector": {}}]}, "[0].to[0].podselector", "did you mean podSelector?", id="misspelt-peer"
        ),
        pytest.param({}, "[0]", "everything", id="everything"),
        pytest.param({"to": [{}]}, "[0].to[0]", "namespaceSelector", id="no-peer"),
        pytest.param(
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]},
            "[0].to[0]",
            "exclude each other",
            id="two-peers",
        ),
        pytest.param({"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, "[0].to[0].ipBlock.cidr", "range", id="address"),
        pytest.param(
            {"to": [{"ipBlock": {"cidr": "api.example.com/32"}}]}, "[0].to[0].ipBlock.cidr", "range", id="name"
        ),
        pytest.param({"ports": [{"port": 70000}]}, "[0].ports[0].port", "port", id="port"),
        pytest.param({"ports": [{"port": 443, "endPort": 80}]}, "[0].ports[0].endPort", "range", id="range"),
        pytest.param({"ports": [{"endPort": 80}]}, "[0].ports[0].endPort", "range", id="range-from-nowhere"),
    ],
)
def test_an_ambiguous_egress_rule_is_refused(a_job: Job, rule: object, field: str, word: str) -> None:
    problems = validate_job(a_job(isolation=restricted(rule)))
    assert any(it.field == f"spec.isolation.egress.allow{field}" and word in it.message for it in problems), problems


def test_egress_rules_require_the_restricted_mode(a_job: Job) -> None:
    assert "Restricted" in told(a_job(isolation={"egress": {"allow": [HTTPS]}}))


@pytest.mark.parametrize(
    ("runtime", "field"),
    [
        ({"runAsUser": 0}, "spec.runtime.runAsUser"),
        (
            {"volumes": [{"name": "a", "nfs": {"server": "n", "path": "/"}}]},
            "spec.runtime.volumes[0].nfs",
        ),
    ],
    ids=["root", "nfs"],
)
def test_some_fields_require_the_profile_baseline(a_job: Job, runtime: dict[str, Any], field: str) -> None:
    assert [problem.field for problem in validate_job(a_job(runtime=runtime))] == [field]
    assert told(a_job(runtime=runtime, isolation={"profile": "Baseline"})) == ""


def test_no_profile_allows_access_to_files_of_the_node(a_job: Job) -> None:
    runtime = {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}
    assert "is not allowed" in told(a_job(runtime=runtime, isolation={"profile": "Baseline"}))
