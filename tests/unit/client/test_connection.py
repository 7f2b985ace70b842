"""Who we are to a server, for how long, and what its refusals mean."""

import json
import time
from pathlib import Path

import httpx
import pytest

from agentjobs import errors
from agentjobs.client.connection import NoResult, TokenAuth, api_server, gateway, with_plugin
from agentjobs.client.kubeconfig import Access, Credentials, GatewayAddress

FOR_EVER = float("inf")


@pytest.fixture
def access():
    def build(credentials=None, known=None):
        return Access(
            source="config",
            context="dev",
            server="https://127.0.0.1:6443",
            namespace="default",
            ca=None,
            verify=True,
            server_name=None,
            proxy=None,
            credentials=credentials or Credentials(token="t"),
            gateway=known,
        )

    return build


@pytest.fixture
def plugin(tmp_path, access):
    """A plugin that numbers its tokens, and an access that uses it."""
    script = tmp_path / "plugin"

    def build(expires=""):
        until = f', "expirationTimestamp": "{expires}"' if expires else ""
        script.write_text(
            '#!/bin/sh\necho x >> "$0.calls"\n'
            f"echo '{{\"status\": {{\"token\": \"t'$(wc -l < $0.calls)'\"{until}}}}}' | tr -d ' '\n"
        )
        script.chmod(0o755)
        return access(Credentials(plugin={"command": "./plugin"}, folder=tmp_path))

    return build


def a_server(*codes):
    """A transport that answers `codes` in order, and the tokens it was shown."""
    shown, left = [], list(codes)

    def answer(request):
        shown.append(request.headers.get("Authorization"))
        return httpx.Response(left.pop(0), json={})

    return httpx.MockTransport(answer), shown


def test_a_token_file_is_read_for_each_request(tmp_path, access):
    file = tmp_path / "token"
    credentials = Credentials(token="first", token_file=file)
    transport, shown = a_server(200, 200, 200)

    with httpx.Client(transport=transport, auth=TokenAuth(access(credentials), credentials, FOR_EVER)) as http:
        for content in ("one\n", "two\n"):
            file.write_text(content)
            http.get("https://server")
        file.unlink()
        http.get("https://server")

    assert shown == ["Bearer one", "Bearer two", "Bearer first"]


@pytest.mark.parametrize("token", ["two\nlines", "schlüssel"])
def test_a_token_that_is_invalid_in_a_header_is_refused_without_showing_it(access, token):
    transport, shown = a_server(200)
    credentials = Credentials(token=token)

    with (
        httpx.Client(transport=transport, auth=TokenAuth(access(credentials), credentials, FOR_EVER)) as http,
        pytest.raises(errors.Misconfigured, match="AGENTJOBS_TOKEN") as refused,
    ):
        http.get("https://server")

    assert (shown, token in str(refused.value)) == ([], False)


def test_the_token_of_a_plugin_is_cached_until_it_is_refused(plugin):
    asked = plugin()
    transport, shown = a_server(200, 401, 200)

    with httpx.Client(transport=transport, auth=TokenAuth(asked, *with_plugin(asked.credentials, asked))) as http:
        answers = [http.get("https://server").status_code for _ in range(2)]

    assert (answers, shown) == ([200, 200], ["Bearer t1", "Bearer t1", "Bearer t2"])


async def test_the_token_of_a_plugin_is_renewed_before_it_expires(plugin):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))
    asked = plugin(soon)
    transport, shown = a_server(200)
    auth = TokenAuth(asked, *with_plugin(asked.credentials, asked))

    async with httpx.AsyncClient(transport=transport, auth=auth) as http:
        await http.get("https://server")

    assert shown == ["Bearer t2"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(404, {"reason": "NotFound"}, errors.NotFound, id="not-found"),
        pytest.param(404, {"reason": "NoResult"}, NoResult, id="no-result"),
        pytest.param(409, {"reason": "AlreadyExists"}, errors.AlreadyExists, id="exists"),
        pytest.param(409, {"reason": "Conflict"}, errors.Conflict, id="conflict"),
        pytest.param(410, {}, errors.Gone, id="gone"),
        pytest.param(422, {}, errors.Invalid, id="invalid"),
        pytest.param(401, {}, errors.Denied, id="unknown"),
        pytest.param(403, {}, errors.Denied, id="forbidden"),
        pytest.param(429, {}, errors.TooManyRequests, id="busy"),
        pytest.param(500, {}, errors.Unavailable, id="crash"),
        pytest.param(503, {}, errors.Unavailable, id="away"),
        pytest.param(418, {}, errors.Invalid, id="teapot"),
    ],
)
def test_a_status_code_becomes_its_error(access, status, body, kind):
    response = httpx.Response(status, content=json.dumps(body | {"message": "said"}), headers={"Retry-After": "7"})

    with pytest.raises(errors.AgentJobsError, match="said") as raised:
        api_server(access()).answered(response)

    assert type(raised.value) is kind


def test_an_answer_that_is_not_json_is_named(access):
    with pytest.raises(errors.Unavailable, match="without JSON"):
        api_server(access()).answered(httpx.Response(200, text="<html>"))


def test_an_explicit_gateway_address_overrides_the_environment_and_the_kubeconfig(access):
    known = access(known=GatewayAddress(url="https://from-kubeconfig/", ca=None))
    environ = {"AGENTJOBS_GATEWAY_URL": "https://from-environment"}

    urls = [
        gateway(known, url=url, ca=None, environ=values).url
        for url, values in (("https://given", environ), (None, environ), (None, {}))
    ]

    assert urls == ["https://given", "https://from-environment", "https://from-kubeconfig"]


@pytest.mark.parametrize(
    ("credentials", "environ", "words"),
    [
        pytest.param(None, {}, "--gateway URL", id="no-address"),
        pytest.param(
            None, {"AGENTJOBS_GATEWAY_URL": "gateway:8443"}, "invalid gateway address 'gateway:8443'", id="no-scheme"
        ),
        pytest.param(None, {"AGENTJOBS_GATEWAY_URL": "https://"}, "invalid gateway address", id="no-host"),
        pytest.param(Credentials(), {"AGENTJOBS_GATEWAY_URL": "http://g"}, "AGENTJOBS_TOKEN", id="no-token"),
    ],
)
def test_an_unreachable_gateway_is_reported_with_the_setting(access, credentials, environ, words):
    with pytest.raises(errors.Misconfigured, match=words):
        gateway(access(credentials), url=None, ca=None, environ=environ)


def test_a_missing_ca_file_is_named(access):
    with pytest.raises(errors.Misconfigured, match=str(Path("/does/not/exist"))):
        gateway(access(), url="https://g", ca="/does/not/exist", environ={})
