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
    ("rule", "words"),
    [
        pytest.param({"too": [PODS]}, "allow[0].too: is an unknown field; did you mean to?", id="misspelt"),
        pytest.param({"to": [{"podselector": {}}]}, "did you mean podSelector?", id="misspelt-peer"),
        pytest.param({}, "allow[0]: allows everything; name destinations in to, or ports", id="everything"),
        pytest.param({"to": [{}]}, "to[0]: needs ipBlock, namespaceSelector or podSelector", id="no-peer"),
        pytest.param(
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}, "exclude each other", id="two-peers"
        ),
        pytest.param({"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, "is not a range of addresses", id="address"),
        pytest.param({"to": [{"ipBlock": {"cidr": "api.example.com/32"}}]}, "is not a range of addresses", id="name"),
        pytest.param({"ports": [{"port": 70000}]}, "is not a port", id="port"),
        pytest.param({"ports": [{"port": 443, "endPort": 80}]}, "is the end of a range from port", id="range"),
        pytest.param({"ports": [{"endPort": 80}]}, "is the end of a range from port", id="range-from-nowhere"),
    ],
)
def test_an_ambiguous_egress_rule_is_refused(a_job: Job, rule: object, words: str) -> None:
    assert words in told(a_job(isolation=restricted(rule)))


def test_egress_rules_require_the_restricted_mode(a_job: Job) -> None:
    assert "needs mode Restricted" in told(a_job(isolation={"egress": {"allow": [HTTPS]}}))


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ({"runAsUser": 0}, "spec.runtime.runAsUser: 0 is root; use another user, or isolation.profile Baseline"),
        (
            {"volumes": [{"name": "a", "nfs": {"server": "n", "path": "/"}}]},
            "volumes[0].nfs: is not allowed in profile",
        ),
    ],
    ids=["root", "nfs"],
)
def test_some_fields_require_the_profile_baseline(a_job: Job, runtime: dict[str, Any], words: str) -> None:
    assert words in told(a_job(runtime=runtime))
    assert told(a_job(runtime=runtime, isolation={"profile": "Baseline"})) == ""


def test_no_profile_allows_access_to_files_of_the_node(a_job: Job) -> None:
    runtime = {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}
    assert "is not allowed" in told(a_job(runtime=runtime, isolation={"profile": "Baseline"}))
