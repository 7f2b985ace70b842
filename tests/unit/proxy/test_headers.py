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
def test_headers_about_billing_or_reporting_are_not_forwarded(name):
    assert name not in passed({name.title(): "x"})


def test_versions_and_betas_of_a_client_reach_its_provider():
    sent = {"Anthropic-Version": "2023-06-01", "anthropic-beta": "a,b", "X-Stainless-Lang": "python"}

    assert passed(sent).items() >= {name.lower(): value for name, value in sent.items()}.items()


def test_uncompressed_answers_are_requested():
    assert passed({"Accept-Encoding": "gzip, br"})["accept-encoding"] == "identity"
