import pytest
from google.adk.agents.run_config import RunConfig

from agentjobs import contract
from agentjobs.api.job.run_config import KEYS
from agentjobs_runner.adk.models import Models
from agentjobs_runner.adk.run_config import run_config
from agentjobs_runner.adk.scripted import ScriptCursor
from agentjobs_runner.endings import StartEnded


@pytest.fixture
def models():
    return Models(ScriptCursor({}, 1), {})


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("gpt-4o", "use openai/gpt-4o"),
        ("claude-sonnet-4", "use anthropic/claude-sonnet-4"),
        ("mistral", "gemini-flash-latest"),
        ("openai/", "is unknown"),
    ],
)
def test_a_model_of_an_unknown_format_is_refused_with_an_example(models, name, cure):
    with pytest.raises(StartEnded, match=r"agent\.model: model") as refused:
        models.resolve(name, "agent.model")

    assert refused.value.ending.reason == "ConfigInvalid"
    assert cure in refused.value.ending.message


@pytest.mark.parametrize(
    ("name", "package"),
    [("mistral/large", "litellm"), ("openai/gpt-4o", "openai"), ("anthropic/claude-4", "anthropic")],
)
def test_a_provider_missing_in_the_image_is_reported_with_its_installation(models, monkeypatch, name, package):
    # A runner's image without the extra; here some of them are installed.
    monkeypatch.setattr("agentjobs_runner.adk.models.find_spec", lambda _: None)

    with pytest.raises(StartEnded) as refused:
        models.resolve(name, "agent.model")

    assert refused.value.ending.reason == "ConfigInvalid"
    assert f"install agentjobs[{package}] " in refused.value.ending.message


def test_a_mistyped_alias_is_reported_with_the_known_ones(monkeypatch):
    monkeypatch.setattr("agentjobs_runner.adk.models.find_spec", lambda _: None)
    models = Models(ScriptCursor({}, 1), {"team/fast": "gemini-2.5-flash", "team/best": "anthropic/claude-opus-5"})

    with pytest.raises(StartEnded) as refused:
        models.resolve("team/fats", "agent.model")

    assert "(team/best, team/fast)" in refused.value.ending.message


def test_a_model_without_key_and_host_is_refused_before_the_run(models, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    with pytest.raises(StartEnded, match=r"OPENAI_API_KEY.*runtime\.env") as refused:
        models.resolve("openai/gpt-4o", "agent.model")

    assert refused.value.ending.reason == "ModelAuth"


def test_with_a_proxy_only_a_key_configured_in_the_job_can_be_missing(models, monkeypatch):
    monkeypatch.setenv(contract.ENV_MODELS_URL, "https://models")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    with pytest.raises(StartEnded, match="variables"):
        models.resolve("openai/gpt-4o", "agent.model")


@pytest.mark.parametrize("name", ["gemini-2.5-flash", "gemini/gemini-2.5-flash", "team/fast"])
def test_a_gemini_model_is_called_with_its_own_client_by_any_name(name):
    found = Models(ScriptCursor({}, 1), {"team/fast": "gemini-2.5-flash"}).resolve(name, "agent.model")
    assert (type(found).__name__, found.model) == ("Gemini", "gemini-2.5-flash")


@pytest.mark.parametrize("name", ["openai/gpt-4o", "anthropic/claude-4"])
def test_a_client_does_not_retry_and_has_the_jobs_timeout(models, monkeypatch, name):
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(variable, "sk-of-the-test")

    client = models.resolve(name, "agent.model").client

    assert client.max_retries == 0
    assert client.timeout.read is None
    assert client.timeout.connect == 5.0


def test_every_setting_of_a_job_exists_in_adk():
    assert set(KEYS) <= set(RunConfig.model_fields)


def test_without_settings_adks_defaults_apply():
    assert run_config({}) is None


def test_the_streaming_mode_is_selected_by_name():
    assert run_config({"streaming_mode": "SSE", "max_llm_calls": 3}).streaming_mode.value == "sse"


@pytest.mark.parametrize("given", [{"max_calls": 3}, {"max_llm_calls": "many"}, {"streaming_mode": "FAST"}])
def test_settings_that_adk_refuses_are_invalid_and_named(given):
    with pytest.raises(StartEnded, match=r"^agent\.runConfig: .*max_llm_calls") as refused:
        run_config(given)

    assert refused.value.ending.reason == "ConfigInvalid"


async def test_a_limit_of_calls_ends_the_run_as_a_budget(run):
    inline = {"name": "a", "instruction": "Help.", "tools": [{"name": "load_memory"}]}
    agent = {"model": "scripted/script/main", "inline": inline, "runConfig": {"max_llm_calls": 1}}
    ending = await run([{"toolCalls": [{"name": "load_memory", "args": {"query": "x"}}]}, {"text": "hi"}], agent=agent)

    assert (ending.verdict, ending.reason) == ("Fail", "BudgetExceeded")
    assert "agent.runConfig.max_llm_calls" in ending.message
