"""Operator and gateway work as accounts that may do little. That it suffices, every other test of this folder shows."""

import pytest
import yaml

from devcluster.client import Resource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)


async def allowed(system, part, **what):
    user = f"system:serviceaccount:{system.cluster.place.system}:agentjobs-{part}"
    groups = ["system:serviceaccounts", "system:authenticated"]
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": what},
    }
    return (await system.client.create(REVIEWS, None, body))["status"]["allowed"]


@pytest.mark.parametrize(
    ("part", "what", "expected"),
    [
        pytest.param("operator", {"verb": "create", "resource": "pods"}, True, id="operator-makes-pods"),
        pytest.param(
            "operator",
            {"verb": "create", "group": "networking.k8s.io", "resource": "networkpolicies"},
            True,
            id="operator-makes-policies",
        ),
        pytest.param("operator", {"verb": "get", "resource": "secrets"}, False, id="operator-reads-no-secrets"),
        pytest.param(
            "operator",
            {"verb": "update", "group": "agentjobs.dev", "resource": "agentjobs"},
            False,
            id="replaces-no-job",
        ),
        pytest.param(
            "operator",
            {"verb": "patch", "group": "agentjobs.dev", "resource": "agentschedules"},
            False,
            id="edits-no-schedule",
        ),
        pytest.param(
            "operator", {"verb": "update", "group": "coordination.k8s.io", "resource": "leases"}, False, id="no-lease"
        ),
        pytest.param("gateway", {"verb": "get", "resource": "pods"}, True, id="gateway-looks-at-pods"),
        pytest.param("gateway", {"verb": "create", "resource": "pods"}, False, id="gateway-makes-none"),
    ],
)
async def test_a_process_has_exactly_its_permissions_in_a_users_namespace(system, part, what, expected):
    assert await allowed(system, part, namespace=system.namespace, **what) is expected


@pytest.mark.parametrize("part", ["operator", "gateway"])
async def test_a_process_has_only_the_token_of_its_own_account(system, part):
    config = yaml.safe_load((system.cluster.folder / f"{part}.kubeconfig").read_text())

    assert config["users"][0]["name"] == f"agentjobs-{part}"
    assert config["users"][0]["user"]["token"] != system.cluster.token
