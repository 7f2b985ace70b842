"""Which headers a provider sees."""

import pytest

from agentjobs.proxy.apis.headers import Auth, auth_headers, passed, token_of


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer token"},
        {"authorization": "bearer token "},
        {"X-Api-Key": "token"},
        {"x-goog-api-key": "token"},
        {"api-key": "token"},
        {"x-api-key": "token", "authorization": "Bearer token"},
    ],
)
def test_a_pods_token_is_found_in_each_providers_header(headers):
    assert token_of(headers) == "token"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"authorization": "Basic x"}, {"x-api-key": ""}])
def test_what_is_no_token_is_none(headers):
    assert token_of(headers) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization", "host"),
        *("x-goog-fieldmask", "x-goog-user-project", "x-http-method-override", "openai-organization", "openai-project"),
        *("content-length", "transfer-encoding", "connection", "agentjobs-step", "x-forwarded-for", "content-encoding"),
    ],
)
def test_no_header_that_chooses_who_pays_or_what_is_told_reaches_a_provider(name):
    assert name not in passed({name.title(): "x"})


def test_versions_and_betas_of_a_client_reach_its_provider():
    sent = {"Anthropic-Version": "2023-06-01", "anthropic-beta": "a,b", "X-Stainless-Lang": "python"}

    assert passed(sent).items() >= {name.lower(): value for name, value in sent.items()}.items()


def test_an_answer_is_asked_for_that_is_not_compressed():
    assert passed({"Accept-Encoding": "gzip, br"})["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (Auth.GOOGLE, {"x-goog-api-key": "k"}),
        (Auth.BEARER, {"authorization": "Bearer k"}),
        (Auth.ANTHROPIC, {"x-api-key": "k"}),
        (Auth.AZURE, {"api-key": "k"}),
    ],
)
def test_each_provider_gets_its_key_where_it_looks_for_it(auth, header):
    assert auth_headers(auth, "k") == header


def test_a_host_without_a_key_gets_none():
    assert auth_headers(Auth.BEARER, "") == {}
