"""Which cluster, as whom."""

import base64
import copy

import pytest
import yaml

from agentjobs.client.kubeconfig import GatewayAddress, load
from agentjobs.errors import Misconfigured

CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "dev",
    "contexts": [
        {"name": "dev", "context": {"cluster": "local", "user": "admin", "namespace": "docs"}},
        {"name": "other", "context": {"cluster": "local", "user": "admin"}},
    ],
    "clusters": [{"name": "local", "cluster": {"server": "https://127.0.0.1:6443/"}}],
    "users": [{"name": "admin", "user": {"token": "secret"}}],
}


@pytest.fixture
def write(tmp_path):
    """Write a kubeconfig, changed by `change`, and return its path."""

    def build(change=lambda config: None, *, name="config"):
        config = copy.deepcopy(CONFIG)
        change(config)
        path = tmp_path / name
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return build


def test_the_current_context_is_used(write):
    access = load(write(), context=None, environ={})

    assert (access.server, access.namespace, access.credentials.token) == ("https://127.0.0.1:6443", "docs", "secret")


def test_a_context_without_a_namespace_means_default(write):
    assert load(write(), context="other", environ={}).namespace == "default"


def test_the_first_of_several_files_that_has_a_name_is_used(write):
    def elsewhere(config):
        config["clusters"][0]["cluster"]["server"] = "https://elsewhere"
        config["current-context"] = "other"

    first, second = write(name="one"), write(elsewhere, name="two")

    access = load(None, context=None, environ={"KUBECONFIG": f"{first}:/does/not/exist:{second}"})

    assert (access.server, access.context) == ("https://127.0.0.1:6443", "dev")


def test_paths_are_relative_to_the_file(write, tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"PEM")
    (tmp_path / "token").write_text("fresh\n")

    def files(config):
        config["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
        config["users"][0]["user"] = {"tokenFile": "token", "token": "stale"}

    access = load(write(files), context=None, environ={})

    assert (access.ca, access.credentials.token) == (b"PEM", "fresh")


def test_the_gateway_is_an_extension_of_the_cluster(write):
    def extended(config):
        extension = {"url": "https://gw", "certificate-authority-data": base64.b64encode(b"PEM").decode()}
        config["clusters"][0]["cluster"]["extensions"] = [
            {"name": "minikube", "extension": {}},
            {"name": "agentjobs.dev/gateway", "extension": extension},
        ]

    assert load(write(extended), context=None, environ={}).gateway == GatewayAddress(url="https://gw", ca=b"PEM")


@pytest.mark.parametrize(
    ("change", "context", "words"),
    [
        pytest.param(lambda c: c.pop("current-context"), None, "set --context", id="no-context"),
        pytest.param(lambda c: None, "prod", "'prod'; .*dev, other", id="unknown-context"),
        pytest.param(lambda c: c["clusters"].clear(), None, "'local'; .*none", id="no-cluster"),
        pytest.param(lambda c: c["clusters"][0]["cluster"].pop("server"), None, "use a URL", id="no-server"),
        pytest.param(
            lambda c: c["users"][0].update(user={"auth-provider": {"name": "gcp"}}), None, "exec plugin", id="gcp"
        ),
        pytest.param(
            lambda c: c["clusters"][0]["cluster"].update({"certificate-authority-data": "%%"}),
            None,
            "certificate-authority-data .*base64",
            id="bad-base64",
        ),
        pytest.param(
            lambda c: c["users"][0]["user"].update({"client-key": "gone.pem"}),
            None,
            "client-key gone.pem",
            id="no-file",
        ),
    ],
)
def test_an_unusable_file_is_reported_with_a_solution(write, change, context, words):
    with pytest.raises(Misconfigured, match=words):
        load(write(change), context=context, environ={})


def test_a_missing_file_is_reported_with_a_command(tmp_path):
    with pytest.raises(Misconfigured, match="agentjobs dev"):
        load(None, context=None, environ={"HOME": str(tmp_path)})


def test_a_folder_is_not_reported_as_a_missing_file(tmp_path):
    with pytest.raises(Misconfigured, match="not a file"):
        load(str(tmp_path), context=None, environ={})


def test_a_context_without_a_user_is_anonymous(write):
    found = load(write(lambda c: c["contexts"][0]["context"].pop("user")), context=None, environ={})

    assert found.credentials.token is None


def test_an_invalid_file_is_named_without_its_content(tmp_path):
    path = tmp_path / "config"
    path.write_text("users:\n- token: {secret\n")

    with pytest.raises(Misconfigured, match="line 3") as failure:
        load(str(path), context=None, environ={})

    assert "secret" not in str(failure.value)


def test_in_a_pod_the_service_account_is_used(tmp_path):
    for name, content in {"token": "t\n", "ca.crt": "PEM", "namespace": "docs"}.items():
        (tmp_path / name).write_text(content)
    environ = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}

    access = load(None, context=None, environ=environ, account_folder=tmp_path)

    assert (access.server, access.namespace, access.ca) == ("https://[fd00::1]:443", "docs", b"PEM")
    assert (access.credentials.token, access.credentials.token_file) == ("t", tmp_path / "token")


def test_a_pod_without_a_token_is_reported_with_a_solution(tmp_path):
    environ = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}

    with pytest.raises(Misconfigured, match="automountServiceAccountToken: true"):
        load(None, context=None, environ=environ, account_folder=tmp_path)
