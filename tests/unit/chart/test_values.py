"""Values: what is allowed renders, what is not is refused in words, and every setting of a process has a value."""

import re
from pathlib import Path

import pytest
import yaml

from agentjobs.dashboard.settings import DashboardSettings
from agentjobs.settings import (
    GatewaySettings,
    NotifierSettings,
    OperatorSettings,
    ProxySettings,
    gateway_settings,
    operator_settings,
    proxy_settings,
)

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm" / "agentjobs"
TRIAL = {"postgresql": {"enabled": True}}
OWN = {"database": {"existingSecret": "db"}}
# What a pod has no use for, or what the chart fixes by its ports and names.
NOT_SET = {
    "operator": {"kubeconfig", "gateway_ca", "probe_address", "leader_elect", "identity"},
    "gateway": {"kubeconfig", "host"},
    "model-proxy": {"kubeconfig", "host"},
    "notifier": {"kubeconfig", "probe_address"},
    # Links are for development.
    "dashboard": {"kubeconfig", "host", "links_folder", "account_token_file"},
}


def test_helm_lint_passes(helm):
    report = helm.lint(CHART, TRIAL, strict=True)

    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


MATRIX = [
    pytest.param([OWN], id="own-database"),
    pytest.param([TRIAL, {"postgresql": {"persistence": {"enabled": False}}}], id="no-volume"),
    pytest.param([TRIAL, {"watchedNamespaces": ["team-a", "team-b"]}], id="some-namespaces"),
    pytest.param([OWN, {"database": {"migration": {"existingSecret": "owner"}}}], id="another-user-migrates"),
    pytest.param([OWN, {"tls": {"mode": "Secret", "secretName": "mine"}}], id="own-certificate"),
    pytest.param([OWN, {"tls": {"mode": "Secret", "secretName": "mine", "trust": "System"}}], id="public-certificate"),
    pytest.param(
        [OWN, {"tls": {"mode": "Secret", "secretName": "m", "trust": "Bundle", "caBundle": "PEM"}}], id="own-authority"
    ),
    pytest.param(
        [OWN, {"tls": {"mode": "CertManager", "certManager": {"issuerRef": {"name": "ca"}}}}], id="cert-manager"
    ),
    pytest.param([TRIAL, {"image": {"digest": "sha256:" + "0" * 64}}], id="digest"),
    pytest.param(
        [TRIAL, {"operator": {"replicas": 1}, "gateway": {"replicas": 1}, "modelProxy": {"replicas": 1}}],
        id="one-of-each",
    ),
    pytest.param([TRIAL, {"modelProxy": {"enabled": False}}], id="no-model-proxy"),
    pytest.param([TRIAL, {"rbac": {"create": False, "userRoles": False}}], id="no-roles"),
    pytest.param([TRIAL, {"crds": {"install": True}}], id="crds"),
    pytest.param([TRIAL, {"networkPolicy": {"enabled": False}, "uninstall": {"releasePods": False}}], id="bare"),
    pytest.param([TRIAL, {"operator": {"serviceAccount": {"create": False, "name": "theirs"}}}], id="foreign-account"),
    pytest.param([TRIAL, {"fullnameOverride": "a" * 40}], id="long-name"),
    pytest.param([TRIAL, {"dashboard": {"enabled": True}}], id="dashboard"),
    pytest.param([TRIAL, {"dashboard": {"enabled": True, "tls": False}}], id="dashboard-behind-tls"),
]


@pytest.mark.parametrize("layers", MATRIX)
def test_any_values_that_the_schema_allows_render_to_objects_with_unique_names(render, layers):
    objects = render(*layers)
    keys = [(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) for obj in objects]

    assert len(set(keys)) == len(keys)
    assert all(len(name) <= 63 for _, _, name in keys)
    assert {obj["metadata"]["labels"]["app.kubernetes.io/instance"] for obj in objects} == {"agentjobs"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"replicas": 2}, "'replicas' not allowed", id="unknown"),
        pytest.param({"operator": {"replica": 2}}, "'replica' not allowed", id="misspelt"),
        pytest.param({"operator": {"replicas": 0}}, "/operator/replicas", id="no-operator"),
        pytest.param({"operator": {"resync": "soon"}}, "'soon' does not match", id="duration"),
        pytest.param({"log": {"level": "info"}}, "'DEBUG', 'INFO', 'WARNING', 'ERROR'", id="enum"),
        pytest.param({"watchedNamespaces": ["Team A"]}, "/watchedNamespaces/0", id="namespace"),
        pytest.param({"runner": {"images": ["a,b"]}}, "/runner/images/0", id="a-comma-would-make-two"),
        pytest.param({"runner": {"env": {"N": 1}}}, "/runner/env/N", id="number-as-variable"),
        pytest.param({"tls": {"mode": "None"}}, "'Generated', 'CertManager', 'Secret'", id="no-tls"),
        pytest.param({"database": {"url": "postgresql://u:p@h/d"}}, "'url' not allowed", id="password-in-values"),
    ],
)
def test_an_invalid_value_is_refused_by_its_path(chart, helm, values, words):
    with pytest.raises(helm.HelmValuesError) as refused:
        chart.validate_schema(TRIAL | values)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({}, "--set postgresql.enabled=true", id="no-database"),
        pytest.param({**TRIAL, **OWN}, "Two databases", id="two-databases"),
        pytest.param({**OWN, "tls": {"mode": "Secret"}}, "tls.secretName: set the Secret", id="no-secret-named"),
        pytest.param({**OWN, "tls": {"mode": "CertManager"}}, "tls.certManager.issuerRef.name", id="no-issuer"),
        pytest.param({**OWN, "tls": {"trust": "System"}}, "tls.trust=System with tls.mode=Generated", id="trust"),
        pytest.param(
            {**OWN, "tls": {"mode": "Secret", "secretName": "a", "trust": "Bundle"}}, "tls.caBundle", id="no-bundle"
        ),
        pytest.param(
            {**OWN, "dashboard": {"enabled": True, "ingress": {"enabled": True}}},
            "dashboard.publicUrl: set the address",
            id="ingress-without-a-name",
        ),
        pytest.param(
            {**OWN, "dashboard": {"enabled": True, "signIn": {"headers": {"user": "X-User"}}}},
            "dashboard.signIn.trustedProxies",
            id="headers-of-anybody",
        ),
        pytest.param(
            {**OWN, "dashboard": {"enabled": True, "signIn": {"oidc": {"issuer": "https://id"}}}},
            "dashboard.signIn.oidc.issuer without clientId",
            id="oidc-without-a-client",
        ),
        pytest.param(
            {**OWN, "dashboard": {"enabled": True, "signIn": {"token": False}}},
            "no way to sign in",
            id="no-way-in",
        ),
    ],
)
def test_contradictory_values_are_refused_with_a_solution(render, helm, values, words):
    with pytest.raises(helm.HelmRenderError) as refused:
        render(values)

    assert words in str(refused.value)


def environment(objects, part):
    container = objects.one("Deployment", f"-{part}")["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value", "postgresql://from/secret") for one in container["env"]}


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("operator", OperatorSettings),
        ("gateway", GatewaySettings),
        ("model-proxy", ProxySettings),
        ("notifier", NotifierSettings),
        ("dashboard", DashboardSettings),
    ],
)
def test_every_setting_has_a_value_and_every_variable_has_a_setting(full, part, settings):
    given = {
        name.removeprefix("AGENTJOBS_").lower() for name in environment(full, part) if name.startswith("AGENTJOBS_")
    }
    # Of a whole cluster and of some namespaces: one rendering cannot have both.
    given |= {"namespaces"} if part == "operator" else set()

    assert given == set(settings.model_fields) - NOT_SET[part]


def test_the_environment_of_the_operator_has_its_values(full, monkeypatch):
    for name, value in environment(full, "operator").items():
        monkeypatch.setenv(name, value)

    settings = operator_settings()

    assert settings.gateway_url == "https://agentjobs-gateway.agentjobs-system.svc"
    assert settings.service_accounts == ("reader", "writer")
    assert settings.images == ("ghcr.io/acme/*", "tools:1")
    assert settings.runner_image_pull_secrets == ("pull",)
    assert settings.runner_env["QUOTED"] == 'a "b" $(c)'
    assert settings.runner_env["https_proxy"] == settings.runner_env["HTTPS_PROXY"] == "http://proxy:3128"
    assert settings.runner_node_selector == {"agents": "yes"}
    assert settings.runner_tolerations[0].key == "agents"
    assert settings.dns_egress[0].ports[0].port == 53
    assert (settings.lease_namespace, settings.lease_name) == ("agentjobs-system", "agentjobs-operator")


def test_the_gateway_reads_its_environment(full, monkeypatch):
    for name, value in environment(full, "gateway").items():
        monkeypatch.setenv(name, value)

    settings = gateway_settings()

    assert (settings.port, str(settings.tls_cert)) == (8443, "/etc/agentjobs/tls/tls.crt")
    assert settings.check_addresses is True


def test_the_model_proxy_reads_its_environment_and_its_grace_period_allows_streams_to_end(full, monkeypatch):
    for name, value in environment(full, "model-proxy").items():
        monkeypatch.setenv(name, value)
    grace = full.one("Deployment", "-model-proxy")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    settings = proxy_settings()

    assert (settings.port, str(settings.tls_cert)) == (8443, "/etc/agentjobs/tls/tls.crt")
    assert str(settings.models_file) == "/etc/agentjobs/models/models.yaml"
    assert settings.drain.total_seconds() == grace - 15


def test_the_gateways_check_of_addresses_can_be_disabled_for_a_mesh(render, monkeypatch):
    for name, value in environment(render(TRIAL, {"gateway": {"checkAddresses": False}}), "gateway").items():
        monkeypatch.setenv(name, value)

    assert gateway_settings().check_addresses is False


def test_the_charts_defaults_are_the_programs(trial, monkeypatch):
    for name, value in environment(trial, "operator").items():
        monkeypatch.setenv(name, value)
    ours, programs = operator_settings(), OperatorSettings.model_fields

    for name in ("runner_image", "history_retention", "event_retention", "workers"):
        assert getattr(ours, name) == programs[name].default, name
    for name in ("runner_resources", "queues"):
        assert getattr(ours, name) == programs[name].get_default(call_default_factory=True), name


def test_the_queues_of_the_documentation_are_those_of_every_namespace(render, monkeypatch):
    page = (ROOT / "docs" / "how-to" / "queues.md").read_text()
    shown = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    for name, value in environment(render(TRIAL, shown), "operator").items():
        monkeypatch.setenv(name, value)

    assert operator_settings().queues == {"agents": 10, "critical": 5, "batch": 3, "scheduled": 5}


HELM = re.compile(r"^helm (?:install|upgrade) .*(?:\\\n.*)*", re.MULTILINE)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_the_documented_commands_and_values_are_valid(helm, render, page):
    text = page.read_text()
    for command in HELM.findall(text):
        given = helm.parse_set_string(",".join(re.findall(r"--set (\S+)", command)))
        for file in re.findall(r"--values (\S+)", command):
            shown = text.split(f"`{file}`:\n\n```yaml\n")[1].split("\n```")[0]
            given |= yaml.safe_load(shown)
        if given:
            # Helm then has the values of the installation, too.
            reused = [TRIAL] if "--reset-then-reuse-values" in command else []
            assert render(*reused, given).of("Deployment")
