"""The dashboard in the chart: off until asked for, and with no more rights than its ways of signing in take."""

import pytest

from agentjobs.dashboard.settings import dashboard_settings

TRIAL = {"postgresql": {"enabled": True}}


def dashboard(**values):
    return TRIAL | {"dashboard": {"enabled": True, **values}}


def container(objects):
    return objects.one("Deployment", "-dashboard")["spec"]["template"]["spec"]["containers"][0]


def test_the_dashboard_is_disabled_by_default(trial):
    assert [obj["metadata"]["name"] for obj in trial if "dashboard" in obj["metadata"]["name"]] == []


def test_the_dashboard_reads_its_environment(full, monkeypatch):
    for one in container(full)["env"]:
        monkeypatch.setenv(one["name"], one.get("value", "postgresql://from/secret"))

    settings = dashboard_settings()

    assert settings.port == 8443
    assert settings.public_url == "https://agentjobs.example.com"
    assert settings.trusted_proxies == ("10.0.0.0/8",)
    assert settings.oidc_scopes == ("openid", "profile", "email")
    assert settings.oidc_groups_prefix == "oidc:"
    assert str(settings.oidc_client_secret_file) == "/etc/agentjobs/oidc/client-secret"


@pytest.mark.parametrize(
    ("sign_in", "impersonates"),
    [
        pytest.param({}, False, id="token"),
        pytest.param(
            {"oidc": {"issuer": "https://id", "clientId": "a", "mode": "Token"}}, False, id="the-providers-token"
        ),
        pytest.param({"oidc": {"issuer": "https://id", "clientId": "a"}}, True, id="oidc"),
        pytest.param({"headers": {"user": "X-User"}, "trustedProxies": ["10.0.0.0/8"]}, True, id="headers"),
    ],
)
def test_the_dashboard_can_impersonate_only_with_a_sign_in_by_name(render, sign_in, impersonates):
    objects = render(dashboard(publicUrl="https://a.example.com", signIn=sign_in))
    roles = [role for role in objects.of("ClusterRole") if role["metadata"]["name"].endswith("-impersonation")]

    assert bool(roles) is impersonates
    assert all(rule["verbs"] == ["impersonate"] for role in roles for rule in role["rules"])


def test_the_groups_that_may_be_impersonated_can_be_named(render):
    sign_in = {
        "oidc": {"issuer": "https://id", "clientId": "a"},
        "impersonatedGroups": ["oidc:developers"],
    }
    objects = render(dashboard(publicUrl="https://a.example.com", signIn=sign_in))
    role = objects.one("ClusterRole", "-impersonation")

    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["oidc:developers"]]


def test_session_keys_are_a_secret_that_replicas_share(full):
    volumes = full.one("Deployment", "-dashboard")["spec"]["template"]["spec"]["volumes"]
    keys = full.one("Secret", "-sessions")

    assert {
        "name": "sessions",
        "secret": {"secretName": keys["metadata"]["name"], "items": [{"key": "keys", "path": "keys"}]},
    } in volumes


def test_a_gateway_and_an_ingress_serve_the_name_of_the_address(full):
    ingress, route = full.one("Ingress", "-dashboard"), full.one("HTTPRoute", "-dashboard")

    assert ingress["spec"]["rules"][0]["host"] == "agentjobs.example.com"
    assert ingress["spec"]["tls"] == [{"hosts": ["agentjobs.example.com"], "secretName": "agentjobs-example-com"}]
    assert route["spec"]["hostnames"] == ["agentjobs.example.com"]
    assert full.one("BackendTLSPolicy", "-dashboard")["spec"]["validation"]["hostname"].startswith(
        "agentjobs-dashboard."
    )


def test_runner_pods_do_not_reach_the_dashboard(render):
    policy = render(dashboard()).one("NetworkPolicy", "-dashboard")

    assert policy["spec"]["ingress"][0]["from"] == [
        {
            "namespaceSelector": {},
            "podSelector": {"matchExpressions": [{"key": "agentjobs.dev/job", "operator": "DoesNotExist"}]},
        }
    ]


def test_behind_a_proxy_that_terminates_tls_everything_uses_http(render):
    objects = render(dashboard(tls=False))

    assert container(objects)["readinessProbe"]["httpGet"]["scheme"] == "HTTP"
    assert objects.one("Service", "-dashboard")["spec"]["ports"][0]["port"] == 80
    assert "AGENTJOBS_TLS_CERT" not in [one["name"] for one in container(objects)["env"]]
