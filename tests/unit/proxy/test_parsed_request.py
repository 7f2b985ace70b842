"""A request is sent to another model without another change of it."""

import msgspec
import pytest

from agentjobs.models.names import Kind
from agentjobs.proxy.apis.api import Operation, ParsedRequest, Place, own_name

BODY = b'{ "messages":[ {"role" : "user"}],\n "model"\t: "team/fast" ,"temperature":1.0}'


def asked(kind=Kind.OPENAI, *, body=b"", named="team/fast", path="/chat/completions", places=()):
    return ParsedRequest(kind, Operation.GENERATE, named, f"openai/{named}", "POST", path, "", {}, body, places=places)


def place_of(body, text, prefix=""):
    return Place(body.index(text), body.index(text) + len(text), prefix)


def test_only_the_name_of_the_model_changes_in_a_body():
    found = asked(body=BODY, places=(place_of(BODY, b'"team/fast"'),)).with_model("openai/gpt-5")

    assert found.body == BODY.replace(b"team/fast", b"gpt-5")
    assert (found.model, found.named) == ("openai/gpt-5", "gpt-5")


def test_a_body_whose_model_does_not_change_is_the_same_object():
    before = asked(body=BODY, places=(place_of(BODY, b'"team/fast"'),))

    assert before.with_model("openai/team/fast").body is before.body


def test_the_model_of_a_request_can_be_replaced_twice():
    body = b'{"requests":[{"model":"models/a"},{"model":"models/a"}]}'
    first = body.index(b'"models/a"')
    second = body.index(b'"models/a"', first + 1)
    places = (Place(first, first + 10, "models/"), Place(second, second + 10, "models/"))
    before = asked(Kind.GEMINI, body=body, named="a", path="/v1beta/models/{model}:embedContent", places=places)

    found = before.with_model("gemini-embedding-001").with_model("gemini-b")

    assert [each["model"] for each in msgspec.json.decode(found.body)["requests"]] == ["models/gemini-b"] * 2
    assert found.target() == "/v1beta/models/gemini-b:embedContent"


@pytest.mark.parametrize(
    ("model", "within"),
    [
        ("gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"),
        ("anthropic/claude-x@20260101", "publishers/anthropic/models/claude-x@20260101"),
    ],
)
def test_a_model_of_vertex_is_found_with_its_publisher_in_the_installations_own_project(model, within):
    path = "/v1/projects/{project}/locations/{location}/{model}:rawPredict"

    found = asked(Kind.VERTEX_AI, path=path).with_model(model)

    assert found.target(project="p/1", location="eu") == f"/v1/projects/p%2F1/locations/eu/{within}:rawPredict"


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        (Kind.OPENAI, "gemini-2.5-pro"),
        (Kind.OPENAI, "openai/"),
        (Kind.ANTHROPIC, "anthropic/a/../b"),
        (Kind.GEMINI, "team/fast"),
        (Kind.GEMINI, "gemini/.."),
        (Kind.GEMINI, "gemini-a//b"),
        (Kind.GEMINI, "gemini-a%2fb"),
        (Kind.GEMINI, "gemini-a\n"),
        (Kind.GEMINI, "gemini-a?key=b"),
        (Kind.GEMINI, "gemini-" + "a" * 250),
    ],
)
def test_an_invalid_model_name_is_not_sent_to_the_provider(kind, model):
    with pytest.raises(ValueError, match=r"not the name|not a model"):
        own_name(kind, model)
