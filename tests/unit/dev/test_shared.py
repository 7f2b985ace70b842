"""A shared cluster: it must be named before a session writes to it, and objects of the session have its labels."""

import json

import pytest
import yaml

from agentjobs.dev.session import UsageError, backend
from agentjobs.dev.shared import Place, named_access
from agentjobs.errors import Misconfigured

PLACE = Place(namespace="dev-1", system="dev-1-system", node="dev-1", shared=True)


@pytest.fixture
def kubeconfig(tmp_path):
    def write(**cluster):
        config = {
            "current-context": "work",
            "contexts": [{"name": "work", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://example:6443", **cluster}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        path = tmp_path / ".kube" / "config"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(config))
        return path

    return write


def test_the_current_context_of_the_default_kubeconfig_is_used_only_if_it_is_named(kubeconfig, tmp_path):
    file = kubeconfig()
    home = {"HOME": str(tmp_path)}

    with pytest.raises(Misconfigured, match="KUBECONFIG=FILE or --context NAME"):
        named_access(home)

    assert named_access(home, context="work").server == "https://example:6443"
    assert named_access(home | {"KUBECONFIG": str(file)}).context == "work"


@pytest.mark.parametrize("key", ["insecure-skip-tls-verify", "tls-server-name"])
def test_an_unsupported_kubeconfig_is_refused(kubeconfig, key):
    file = kubeconfig(**{key: True})

    with pytest.raises(Misconfigured, match=key):
        named_access({"KUBECONFIG": str(file)})


@pytest.mark.parametrize(
    ("namespace", "runs"),
    [("dev-1", True), ("dev-1-more", True), ("kube-system", False), ("dev-10", False), ("default", False)],
)
def test_our_node_runs_only_pods_of_our_namespaces(namespace, runs):
    mine = PLACE.node_options["mine"]

    assert mine({"metadata": {"namespace": namespace}}) is runs


def test_only_our_pods_are_scheduled_on_our_node():
    (taint,) = PLACE.node_options["taints"]
    tolerations = json.loads(PLACE.settings["AGENTJOBS_RUNNER_TOLERATIONS"])

    assert PLACE.placement["nodeSelector"] == {"kubernetes.io/hostname": "dev-1"}
    assert tolerations == [{"operator": "Equal", **taint}]
    assert PLACE.settings["AGENTJOBS_NAMESPACES"] == "dev-1"


def test_an_own_api_server_needs_no_placement_settings():
    assert (Place().placement, Place().settings, Place().node_options) == ({}, {}, {})


def test_kubeconfig_is_a_known_back_end_and_minikube_is_not():
    assert backend({"AGENTJOBS_DEV_APISERVER": "kubeconfig"}) == "kubeconfig"
    with pytest.raises(UsageError, match="embedded, envtest, kubeconfig"):
        backend({}, wanted="minikube")
