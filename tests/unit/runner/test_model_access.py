"""Clients of models are led to the proxy, and what they send to it carries the pod's token and the step."""

import ssl
import tempfile
from pathlib import Path
from urllib.parse import unquote

import certifi
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs import contract
from agentjobs_runner import model_access
from agentjobs_runner.model_access import ModelAccess, ModelStep
from agentjobs_runner.recorded_steps import stored_key

URL = "https://models.agentjobs-system.svc:8443/asked"
ROOTS = Path(certifi.where()).read_text()
AUTHORITY = ROOTS[ROOTS.index("-----BEGIN") : ROOTS.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def access():
    return ModelAccess(URL, lambda: "newest")


def led(access, authority=None, **variables):
    access.lead(variables, authority)
    return variables


@pytest.mark.parametrize(
    ("url", "path", "key"),
    [
        ("GOOGLE_GEMINI_BASE_URL", contract.MODELS_GEMINI, "GOOGLE_API_KEY"),
        ("OPENAI_BASE_URL", contract.MODELS_OPENAI, "OPENAI_API_KEY"),
        ("ANTHROPIC_BASE_URL", contract.MODELS_ANTHROPIC, "ANTHROPIC_API_KEY"),
    ],
)
def test_each_providers_clients_use_the_proxy_with_the_token(access, url, path, key):
    found = led(access)
    assert (found[url], found[key]) == (URL + path, "newest")


def test_an_empty_key_of_the_job_does_not_count_as_a_key(access):
    found = led(access, GOOGLE_API_KEY="", GEMINI_API_KEY="")
    assert found["GOOGLE_API_KEY"] == "newest"
    assert "GEMINI_API_KEY" not in found


@pytest.mark.parametrize(
    ("own", "untouched"),
    [
        pytest.param({"OPENAI_API_KEY": "sk-own"}, "OPENAI_BASE_URL", id="openai-key"),
        pytest.param({"OPENAI_BASE_URL": "http://ollama"}, "OPENAI_API_KEY", id="openai-address"),
        pytest.param({"ANTHROPIC_AUTH_TOKEN": "own"}, "ANTHROPIC_API_KEY", id="anthropic-token"),
        pytest.param({"GEMINI_API_KEY": "own"}, "GOOGLE_API_KEY", id="gemini-key"),
        pytest.param({"GOOGLE_CLOUD_PROJECT": "own"}, "GOOGLE_VERTEX_BASE_URL", id="vertex-project"),
        pytest.param(
            {"GOOGLE_APPLICATION_CREDENTIALS": "/own", "GOOGLE_GENAI_USE_VERTEXAI": "True"},
            "GOOGLE_API_KEY",
            id="vertex-alone",
        ),
    ],
)
def test_settings_of_a_provider_that_the_job_calls_directly_are_not_changed(access, own, untouched):
    found = led(access, **own)
    assert own.items() <= found.items()
    assert untouched not in found


def test_a_renewed_token_is_the_key_of_new_clients(access):
    found = led(access, OPENAI_API_KEY="sk-own")
    access.renew(found, "renewed")
    assert (found["ANTHROPIC_API_KEY"], found["OPENAI_API_KEY"]) == ("renewed", "sk-own")


def test_calls_to_models_bypass_the_clusters_http_proxy(access):
    assert led(access, NO_PROXY="localhost")["NO_PROXY"] == "localhost,models.agentjobs-system.svc"
    assert led(access)["no_proxy"] == "models.agentjobs-system.svc"


def test_the_installations_ca_is_trusted_in_addition_to_public_ones(access, tmp_path):
    (tmp_path / "ca.crt").write_text(AUTHORITY)
    found = led(access, str(tmp_path / "ca.crt"))

    known = ssl.create_default_context(cafile=found["SSL_CERT_FILE"]).cert_store_stats()["x509_ca"]
    assert known == ssl.create_default_context(cafile=certifi.where()).cert_store_stats()["x509_ca"]
    assert Path(found["REQUESTS_CA_BUNDLE"]).read_text().rstrip().endswith(AUTHORITY.rstrip())
    assert Path(found["NODE_EXTRA_CA_CERTS"]).read_text().strip() == AUTHORITY.strip()


def test_starts_that_share_a_folder_share_the_ca_bundle(access):
    first, second = led(access, AUTHORITY), led(access, AUTHORITY)
    assert first["SSL_CERT_FILE"] == second["SSL_CERT_FILE"] == first["REQUESTS_CA_BUNDLE"]


def test_a_file_with_changed_content_is_replaced(access):
    found = Path(led(access, AUTHORITY)["NODE_EXTRA_CA_CERTS"])
    found.write_text("of somebody else")
    again = led(access, AUTHORITY)["NODE_EXTRA_CA_CERTS"]
    assert Path(again).read_text().strip() == AUTHORITY.strip()


def test_a_ca_of_the_job_remains_trusted(access, tmp_path):
    (tmp_path / "own.pem").write_text("# of the job\n")
    found = led(access, AUTHORITY, SSL_CERT_FILE=str(tmp_path / "own.pem"))
    written = Path(found["SSL_CERT_FILE"]).read_text()
    assert written.startswith("# of the job")
    assert AUTHORITY in written


def test_an_unreadable_ca_bundle_changes_nothing(access):
    assert "SSL_CERT_FILE" not in led(access, "/nonexistent/ca.crt")


def sent(access, url, step="", **headers):
    request = httpx.Request("POST", url, headers=headers)
    token = model_access.current_step.set(ModelStep(step, 120) if step else None)
    try:
        access.give_headers(request)
    finally:
        model_access.current_step.reset(token)
    return request.headers


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "x-goog-api-key"])
def test_the_newest_token_replaces_the_key_of_a_client(access, header):
    headers = sent(access, f"{URL}/openai/v1/chat/completions", **{header: "Bearer old"})
    assert headers[header].removeprefix("Bearer ") == "newest"
    assert [name for name in ("authorization", "x-api-key", "x-goog-api-key") if name in headers] == [header.lower()]


def test_a_request_of_a_step_names_the_step(access):
    headers = sent(access, f"{URL}/anthropic/v1/messages", "1|Zoë#2")
    assert headers[contract.HEADER_STEP] == "1|Zo%C3%AB#2"


def test_a_request_of_a_step_has_its_time_limit(access):
    headers = sent(access, f"{URL}/anthropic/v1/messages", "1|a#2", **{contract.HEADER_MAX_WAIT: "9"})
    assert headers[contract.HEADER_MAX_WAIT] == "115"


def test_a_request_of_the_users_own_code_names_no_step(access):
    headers = sent(access, f"{URL}/anthropic/v1/messages", **{contract.HEADER_STEP: "forged"})
    assert contract.HEADER_STEP not in headers


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/asked/openai/v1/chat/completions",
        "http://models.agentjobs-system.svc:8443/asked/openai/v1/chat/completions",
        "https://models.agentjobs-system.svc/asked/openai/v1/chat/completions",
        f"{URL}/openai/v10/x",
        f"{URL}/v1/attempt",
        "https://models.agentjobs-system.svc:8443@evil.example/asked/openai/v1/x",
    ],
)
def test_the_token_is_not_sent_to_other_addresses(access, url):
    headers = sent(access, url, "1|a#1", Authorization="Bearer own")
    assert headers["Authorization"] == "Bearer own"
    assert contract.HEADER_STEP not in headers


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=700).map(stored_key))
def test_the_step_key_in_a_header_equals_that_in_the_journal(access, key):
    written = sent(access, f"{URL}/anthropic/v1/messages", key)[contract.HEADER_STEP]
    assert all("!" <= character <= "~" for character in written)
    assert unquote(written) == key
