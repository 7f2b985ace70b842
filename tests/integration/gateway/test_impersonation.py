"""Impersonation: gateway and API server give a caller the permissions of the impersonated user."""

import uuid

import pytest

from agentjobs import errors
from agentjobs.kube.callers import Callers
from agentjobs.kube.impersonation import Impersonation
from agentjobs.kube.resources import AGENTJOBS

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
async def zoe(cluster):
    """A user with a name that is not ASCII, who may read the jobs of a namespace by her group."""
    unique = uuid.uuid4().hex[:8]
    user, group = f"zoë-{unique}", f"readers-{unique}"
    rules = [{"verbs": ["get", "list"], "apiGroups": ["agentjobs.dev"], "resources": ["agentjobs"]}]
    roles = f"{RBAC}/namespaces/{cluster.namespace}"
    await cluster.create(f"{roles}/roles", {"metadata": {"name": group}, "rules": rules})
    subject = {"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "Role", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": group}, "roleRef": reference, "subjects": [subject]}
    await cluster.create(f"{roles}/rolebindings", binding)
    return Impersonation(user, (group,))


def headers(token, user):
    """As httpx takes what is not ASCII."""
    named = [(name.encode(), value.encode()) for name, value in user.headers()]
    return [(b"Authorization", f"Bearer {token}".encode()), *named]


async def test_an_administrator_acts_as_a_user_with_that_users_rights(http, cluster, apiserver, zoe):
    asked = headers(apiserver.token, zoe)
    me = await http.get("/v1/me", headers=asked)
    read = await http.get(f"/v1/namespaces/{cluster.namespace}/agentjobs", headers=asked)
    elsewhere = await http.get("/v1/namespaces/kube-system/agentjobs", headers=asked)

    assert (me.json()["name"], me.json()["groups"]) == (zoe.user, [*zoe.groups, "system:authenticated"])
    assert (read.status_code, elsewhere.status_code) == (200, 403)


async def test_a_caller_without_the_permission_cannot_impersonate(http, cluster, zoe):
    answer = await http.get("/v1/me", headers=headers(await cluster.token(), zoe))

    assert (answer.status_code, "may not impersonate" in answer.json()["message"]) == (403, True)


async def test_a_job_is_created_as_the_impersonated_user(http, cluster, apiserver, zoe):
    """The administrator can create jobs; the impersonated user cannot."""
    url = f"/v1/namespaces/{cluster.namespace}/triggers/triage"

    answer = await http.post(url, json={}, headers=headers(apiserver.token, zoe))

    assert (answer.status_code, f"{zoe.user!r} may not create" in answer.json()["message"]) == (403, True)


async def test_the_api_server_gets_the_user_that_a_client_impersonates(apiserver, cluster, zoe):
    async with Callers.connect(str(apiserver.kubeconfig), user_agent="test", on_write=lambda *_: None) as callers:
        client = callers.client(apiserver.token, zoe)
        listed, _ = await client.list(AGENTJOBS, cluster.namespace)
        with pytest.raises(errors.Denied, match=zoe.user):
            await client.delete(AGENTJOBS, cluster.namespace, "any")

    assert listed == []


async def test_a_copy_of_a_client_with_another_fence_impersonates_the_same_user(apiserver, cluster, zoe):
    async with Callers.connect(str(apiserver.kubeconfig), user_agent="test", on_write=lambda *_: None) as callers:
        with pytest.raises(errors.Denied, match=zoe.user):
            await callers.client(apiserver.token, zoe).with_check(None).delete(AGENTJOBS, cluster.namespace, "any")
