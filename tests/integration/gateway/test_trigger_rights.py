"""A call with a token creates a job with that token's permissions, and never with the gateway's own."""

import pytest

from agentjobs.kube.callers import Callers
from agentjobs.kube.resources import AGENTJOBS


def url(cluster, template="triage"):
    return f"/v1/namespaces/{cluster.namespace}/triggers/{template}"


async def test_a_caller_with_permission_creates_a_job_once(http, cluster, apiserver):
    headers = {"Authorization": f"Bearer {apiserver.token}"}
    answers = [await http.post(url(cluster), json={"idempotencyKey": "order-7"}, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() | {"created": False} == answers[1].json()


async def test_the_api_servers_refusal_of_a_job_is_passed_on(http, cluster, apiserver):
    headers = {"Authorization": f"Bearer {apiserver.token}"}
    answer = await http.post(url(cluster), json={"name": "Not A Name"}, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


@pytest.mark.parametrize(("token", "status"), [("nobodys", 401), (None, 403)], ids=["unknown", "without-the-right"])
async def test_a_caller_without_permission_creates_no_job_even_if_the_gateway_is_an_administrator(
    http, cluster, token, status
):
    token = token or await cluster.token()
    answer = await http.post(url(cluster), headers={"Authorization": f"Bearer {token}"})
    path = f"/apis/agentjobs.dev/v1alpha1/namespaces/{cluster.namespace}/agentjobs"

    assert (answer.status_code, (await cluster.http.get(path)).json()["items"]) == (status, [])


async def test_a_callers_client_has_only_the_callers_token(apiserver, cluster):
    """If the gateway's own token were sent in addition, an unknown token would be accepted."""
    given = {"user_agent": "test", "on_write": lambda *_: None}
    async with Callers.connect(str(apiserver.kubeconfig), **given) as callers:
        with pytest.raises(Exception, match="401"):
            await callers.client("nobodys").list(AGENTJOBS, cluster.namespace)
        assert isinstance(await callers.client(apiserver.token).list(AGENTJOBS, cluster.namespace), tuple)
