"""Which headers a provider sees."""

import pytest

from agentjobs.proxy.apis.headers import passed


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
