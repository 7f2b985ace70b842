"""Query parameters that a route does not have."""

import pytest
from tests.restparameters import STRICT

AS_ADA = {"Authorization": "Bearer t"}
JOBS = "/v1/namespaces/docs/agentjobs"


@pytest.fixture(autouse=True)
def _ada(kube):
    kube.add_user("t", "ada", may={("list", "docs", ""), ("get", "docs", "hello")})


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        pytest.param("phse", "did you mean phase?", id="misspelled"),
        pytest.param("ended_since", "endedSince or since?", id="other-case"),
        pytest.param("partitionKey", "did you mean partition?", id="as-in-the-spec"),
        pytest.param("zzz", "use one of cursor, ended", id="nothing-like-it"),
    ],
)
async def test_an_unknown_parameter_is_refused_with_a_suggestion(http, name, cure):
    answer = await http.get(JOBS, headers=AS_ADA, params={name: "Failed"})

    assert (answer.status_code, answer.json()["reason"]) == (422, "UnknownParameter")
    assert f"query.{name} " in answer.json()["message"]
    assert cure in answer.json()["message"]


async def test_a_route_without_parameters_says_so(http):
    answer = await http.get("/v1/me", headers=AS_ADA, params={"limit": 5})

    assert "query.limit " in answer.json()["message"]
    assert answer.json()["message"].endswith(" none.")


async def test_an_invalid_namespace_is_reported_once(http):
    answer = await http.get("/v1/namespaces/No_Where/agentjobs", headers=AS_ADA)

    assert answer.status_code == 400
    assert answer.json()["message"].count("path.namespace") == 1


async def test_a_long_name_is_truncated(http):
    answer = await http.get(JOBS, headers=AS_ADA, params={"x" * 5000: ""})

    assert answer.status_code == 422
    assert len(answer.json()["message"]) < 500


@pytest.mark.parametrize("route", STRICT, ids=lambda route: f"{min(route.methods)} {route.path}")
async def test_every_route_of_users_refuses_unknown_parameters(http, route):
    answer = await http.request(min(route.methods), route.path, headers=AS_ADA, params={"nonsense": "1"})

    assert (answer.status_code, answer.json()["reason"]) == (422, "UnknownParameter")


async def test_a_trigger_takes_what_the_calling_system_adds(http):
    answer = await http.post("/v1/namespaces/docs/triggers/review?source=github", content=b"{}")

    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


async def test_a_runner_can_send_parameters_of_a_newer_version(http, kube, history):
    kube.add_runner("r", job="hello", start=1, uid="u1", pod_uid="p1")
    await history.accept()

    answer = await http.get("/v1/attempt", headers={"Authorization": "Bearer r"}, params={"newer": "1"})

    assert answer.status_code == 200
