"""Settings come from the environment; errors name the variable and never the value."""

from datetime import timedelta
from pathlib import Path

import pytest

from agentjobs.errors import Misconfigured
from agentjobs.settings import gateway_settings, host_and_port, operator_settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTJOBS_DATABASE_URL", "postgresql://u:hunter2@db/x")
    monkeypatch.setenv("AGENTJOBS_GATEWAY_URL", "https://gateway")
    for name in ("KUBECONFIG", "NAMESPACES", "WORKERS"):
        monkeypatch.delenv(f"AGENTJOBS_{name}", raising=False)


def test_defaults_are_for_the_whole_cluster_from_inside_of_it():
    settings = operator_settings()

    assert (settings.kubeconfig, settings.namespaces, settings.leader_elect) == (None, (), True)
    assert settings.queues == {"agents": 10, "scheduled": 5}


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_NAMESPACES", "team-a, team-b,")
    monkeypatch.setenv("AGENTJOBS_RESYNC", "1h30m")
    monkeypatch.setenv("AGENTJOBS_RUNNER_RESOURCES", '{"limits": {"memory": "2Gi"}}')

    monkeypatch.setenv("AGENTJOBS_RUNNER_TOLERATIONS", '[{"key": "agents", "operator": "Exists"}]')

    settings = operator_settings()

    assert settings.namespaces == ("team-a", "team-b")
    assert [toleration.key for toleration in settings.runner_tolerations] == ["agents"]
    assert settings.resync == timedelta(minutes=90)
    assert settings.runner_resources == {"limits": {"memory": "2Gi"}}


def test_the_location_of_the_gateway_is_read_as_egress_rules(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_GATEWAY_EGRESS", '[{"to": [{"podSelector": {}}], "ports": [{"port": 8443}]}]')

    settings = operator_settings()

    assert [port.port for rule in settings.gateway_egress for port in rule.ports] == [8443]
    assert [port.protocol for rule in settings.dns_egress for port in rule.ports] == ["UDP", "TCP"]


def test_an_empty_variable_is_unset(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_KUBECONFIG", "")

    assert operator_settings().kubeconfig is None


def test_arguments_override_the_environment(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_WORKERS", "4")

    assert operator_settings(workers=8).workers == 8


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("WORKERS", "0", "equal to 1$"),
        ("WORKERS", "many", "valid integer"),
        ("RESYNC", "soon", "'soon' is not a duration"),
        ("RESYNC", "0s", "10 seconds"),
        ("LEASE_RETRY", "0s", "seconds?$"),
        ("PROBE_ADDRESS", "8081", "use host:port"),
        ("GATEWAY_EGRESS", "10.0.0.1", "Extra data"),
        ("GATEWAY_EGRESS", '[{"to": [{"podselector": {}}]}]', "0.to.0.podselector: Extra inputs"),
        ("RUNNER_IMAGE_PULL_POLICY", "Sometimes", "'Always', 'IfNotPresent' or 'Never'"),
    ],
)
def test_an_invalid_value_is_named_by_its_variable(monkeypatch, name, value, complaint):
    monkeypatch.setenv(f"AGENTJOBS_{name}", value)

    with pytest.raises(Misconfigured, match=f"settings: AGENTJOBS_{name}: .*{complaint}"):
        operator_settings()


def test_a_missing_variable_is_named(monkeypatch):
    monkeypatch.delenv("AGENTJOBS_DATABASE_URL")

    with pytest.raises(Misconfigured, match="AGENTJOBS_DATABASE_URL: is required"):
        gateway_settings()


def test_all_problems_are_reported_together(monkeypatch):
    monkeypatch.delenv("AGENTJOBS_GATEWAY_URL")
    monkeypatch.setenv("AGENTJOBS_WORKERS", "0")

    with pytest.raises(Misconfigured, match=r"GATEWAY_URL: .*AGENTJOBS_WORKERS: "):
        operator_settings()


def test_inconsistent_lease_settings_are_refused(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_LEASE_DEADLINE", "20s")

    with pytest.raises(Misconfigured, match="less than lease_duration"):
        operator_settings()


def test_a_password_is_never_shown(monkeypatch):
    monkeypatch.setenv("AGENTJOBS_WORKERS", "0")
    assert "hunter2" not in repr(operator_settings(workers=1))

    with pytest.raises(Misconfigured) as caught:
        operator_settings()

    assert "hunter2" not in str(caught.value)


def test_a_certificate_requires_its_key():
    with pytest.raises(Misconfigured, match="tls_key"):
        gateway_settings(tls_cert=Path("cert.pem"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [(":8081", (None, 8081)), ("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80)), ("a.b:9", ("a.b", 9))],
)
def test_an_address_is_host_and_port(address, expected):
    assert host_and_port(address) == expected


@pytest.mark.parametrize("address", ["", "8081", "host", "host:", "host:x", "host:65536", ":-1", ":٣"])
def test_an_invalid_address_is_refused(address):
    with pytest.raises(ValueError, match="use host:port"):
        host_and_port(address)
