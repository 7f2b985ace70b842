"""Sinks: the file that the notifier reads, and secrets that nothing but the notifier gets."""

import json

import pytest
import yaml

from agentjobs.notifier import sinks_file
from agentjobs.rbac import roles
from agentjobs.settings import notifier_settings, operator_settings

TRIAL = {"postgresql": {"enabled": True}}
SECRETS = "/etc/agentjobs/sink-secrets"
CHAT = {"name": "chat", "format": "Slack", "url": "https://chat.example.com"}


def pod(objects, part):
    return objects.one("Deployment", f"-{part}")["spec"]["template"]["spec"]


def environment(objects, part):
    (container,) = pod(objects, part)["containers"]
    return {one["name"]: one.get("value", "postgresql://from/secret") for one in container["env"]}


def test_without_sinks_there_is_no_notifier(trial):
    assert [obj for obj in trial if "notifier" in obj["metadata"]["name"]] == []
    assert "AGENTJOBS_SINKS" not in environment(trial, "operator")


def test_the_notifier_can_read_its_file_and_finds_its_secrets(full):
    text = full.one("ConfigMap", "-notifier")["data"]["sinks.yaml"]
    chat, audit = sinks_file.parse(text, "sinks.yaml").sinks

    assert str(chat.url_file) == f"{SECRETS}/sinks/chat"
    assert (audit.url, str(audit.signing_key_file)) == ("https://audit.example.com/hooks", f"{SECRETS}/audit/key")
    assert [header.value or str(header.file) for header in audit.headers] == [f"{SECRETS}/audit/token", 'a "b"']
    assert (audit.timeout.total_seconds(), audit.concurrency) == (30, 2)
    mounted = {one["mountPath"] for one in pod(full, "notifier")["containers"][0]["volumeMounts"]}
    (volume,) = [one for one in pod(full, "notifier")["volumes"] if one["name"] == "sink-secrets"]
    items = [item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
    assert {SECRETS, "/etc/agentjobs/sinks"} < mounted
    assert sorted(items) == ["audit/key", "audit/token", "sinks/chat"]
    assert all(source["secret"]["optional"] for source in volume["projected"]["sources"])


def test_no_other_pod_has_the_secrets_and_the_operator_has_only_names(full, monkeypatch):
    for name, template in full.pods().items():
        assert ("sink-secrets" in json.dumps(template)) == name.endswith("-notifier"), name
    for name, value in environment(full, "operator").items():
        monkeypatch.setenv(name, value)

    assert operator_settings().sinks == ("chat", "audit")
    assert "audit.example.com" not in json.dumps(pod(full, "operator"))


def test_the_environment_of_the_notifier_has_its_values(full, monkeypatch):
    for name, value in environment(full, "notifier").items():
        monkeypatch.setenv(name, value)

    settings = notifier_settings()

    assert str(settings.sinks_file) == "/etc/agentjobs/sinks/sinks.yaml"
    assert settings.notification_give_up_after.days == 3


@pytest.mark.parametrize("where", [{}, {"watchedNamespaces": ["team-a"]}], ids=["all", "some-namespaces"])
def test_the_notifier_can_read_only_the_identity_of_the_cluster(render, where):
    objects = render(TRIAL, where, {"notifications": {"sinks": [CHAT]}})

    made = [obj for obj in objects if obj["kind"] in ("ClusterRole", "Role") and "notifier" in obj["metadata"]["name"]]
    assert [obj["rules"] for obj in made] == [role["rules"] for role in roles("notifier")]


def test_only_the_probe_port_of_the_notifier_is_reachable(full):
    policy = full.one("NetworkPolicy", "-notifier")["spec"]

    assert [rule["ports"] for rule in policy["ingress"]] == [[{"protocol": "TCP", "port": "probes"}]]
    assert full.one("PodMonitor", "-notifier")["spec"]["podMetricsEndpoints"][0]["port"] == "probes"


@pytest.mark.parametrize(
    ("sinks", "words"),
    [
        pytest.param([CHAT, CHAT], "two are named chat", id="twice"),
        pytest.param([{"name": "a", "url": "https://a.example.com"}], "a needs signingKeySecretKeyRef", id="unsigned"),
    ],
)
def test_sinks_that_the_notifier_would_refuse_are_refused_with_a_solution(render, helm, sinks, words):
    with pytest.raises(helm.HelmRenderError) as refused:
        render(TRIAL, {"notifications": {"sinks": sinks}})

    assert words in str(refused.value)


@pytest.mark.parametrize(
    "sink",
    [
        pytest.param({"name": "a"}, id="no-address"),
        pytest.param({**CHAT, "urlSecretKeyRef": {"name": "a", "key": "b"}}, id="two-addresses"),
        pytest.param({**CHAT, "signingKey": "whsec_x"}, id="key-in-the-values"),
        pytest.param({**CHAT, "url": "https://me:pw@chat.example.com"}, id="password-in-the-address"),
    ],
)
def test_an_invalid_sink_is_refused(chart, helm, sink):
    with pytest.raises(helm.HelmValuesError):
        chart.validate_schema(TRIAL | {"notifications": {"sinks": [sink]}})


def test_the_file_is_valid_yaml_with_any_header(render):
    odd = {**CHAT, "headers": [{"name": "X", "value": "a: b # {c} 'd'"}]}

    file = yaml.safe_load(
        render(TRIAL, {"notifications": {"sinks": [odd]}}).one("ConfigMap", "-notifier")["data"]["sinks.yaml"]
    )

    assert file["sinks"][0]["headers"] == odd["headers"]
