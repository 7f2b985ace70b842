"""Health, metrics and the OpenAPI document."""

import pytest

from agentjobs import errors


async def test_the_gateway_is_ready_when_database_and_api_server_answer(http):
    assert [(await http.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]


@pytest.mark.parametrize("away", ["database", "API server"])
async def test_the_gateway_is_not_ready_without_a_server_and_names_it(http, kube, database, clock, away, caplog):
    if away == "database":
        database.problem = errors.Unavailable("connection refused")
    else:
        kube.away = True

    unready = await http.get("/readyz")
    database.problem, kube.away = None, False
    clock.now += 2
    ready = await http.get("/readyz")

    assert (unready.status_code, unready.json()["reason"]) == (503, "NotReady")
    assert away in unready.json()["message"]
    told = [record.problems for record in caplog.records if record.name == "agentjobs.readiness"]
    assert told == [{away: "connection refused"}, {}]
    assert ready.status_code == 200
    assert (await http.get("/healthz")).status_code == 200


async def test_readiness_checks_the_servers_at_most_every_two_seconds(http, kube):
    for _ in range(20):
        await http.get("/readyz")

    assert kube.asked == ["TokenReview"]


async def test_the_gateway_waits_for_the_api_server_at_its_start(http, kube, history, clock):
    kube.add_runner("t", job="hello", start=1, uid="u1", pod_uid="p1")
    await history.accept()
    kube.away = True
    first = await http.get("/v1/attempt", headers={"Authorization": "Bearer t"})
    kube.away = False
    second = await http.get("/v1/attempt", headers={"Authorization": "Bearer t"})

    assert (first.status_code, first.json()["reason"], second.status_code) == (503, "Unavailable", 200)


async def test_metrics_have_routes_and_no_text_of_callers(http, kube):
    kube.add_user("t", "ada")
    await http.get("/v1/namespaces/secret-name/agentjobs", headers={"Authorization": "Bearer t"})
    await http.request("BREW", "/secret-path")

    text = (await http.get("/metrics")).text

    line = 'agentjobs_gateway_requests_total{code="403",method="GET",route="/v1/namespaces/{namespace}/agentjobs"} 1.0'
    assert line in text
    assert 'method="other",route="unmatched"' in text
    assert "secret" not in text


async def test_the_openapi_document_is_complete(http):
    document = (await http.get("/openapi.json")).json()

    body = document["paths"]["/v1/attempt/result"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/ResultDocumentBody"}
    assert {"EventBody", "ResultBody", "RecordedJob"} <= set(document["components"]["schemas"])
    references = {word for word in str(document).split("'") if word.startswith("#/components/schemas/")}
    assert {word.rpartition("/")[2] for word in references} <= set(document["components"]["schemas"])


async def test_the_openapi_document_describes_each_operation_and_parameter(http):
    paths = (await http.get("/openapi.json")).json()["paths"]
    operations = {f"{verb} {path}": told for path, verbs in paths.items() for verb, told in verbs.items()}
    asked = [(label, one) for label, told in operations.items() for one in told.get("parameters", ())]

    assert [label for label, told in operations.items() if not (told.get("summary") and told.get("description"))] == []
    assert [f"{label}: {one['name']}" for label, one in asked if not one.get("description")] == []
    assert [label for label, told in operations.items() if "default" not in told["responses"]] == []


async def test_the_openapi_document_describes_each_field_of_answers_and_bodies(http):
    schemas = (await http.get("/openapi.json")).json()["components"]["schemas"]
    fields = {
        f"{name}.{field}": told for name, one in schemas.items() for field, told in one.get("properties", {}).items()
    }

    assert [label for label, told in fields.items() if not told.get("description")] == []
    assert fields["RecordedStep.costUSD"]["description"].startswith("The cost of its model calls")
    assert fields["RelatedJob.phase"]["description"] == fields["RecordedJob.phase"]["description"]


async def test_answers_are_not_cached(http):
    assert (await http.get("/healthz")).headers["cache-control"] == "no-store"
