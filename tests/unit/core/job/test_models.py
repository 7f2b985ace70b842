"""The models that a job names, and whether they are available: by keys of its namespace and by fallbacks."""

from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.core.job.models import exhausted_until, named_models, requested_models, uncounted, unpriced
from agentjobs.models.config import parse
from agentjobs.models.environment import from_environment
from agentjobs.models.names import pool

SOON = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LATER = SOON + timedelta(hours=1)
FILE = """
providers:
  - name: gemini
    kind: Gemini
    keys: [{name: main, file: /k/main}, {name: spare, file: /k/spare}, {name: research, file: /k/research}]
namespaces:
  - {names: [research], keys: {gemini: [research]}}
fallbacks:
  - {model: gemini-pro-latest, to: [gemini-flash-latest]}
"""
MAIN = ("gemini/main", "gemini/spare")


def spec_of(agent, **spec):
    return AgentJobSpec.model_validate({"agent": agent, "input": {"message": "Go."}, **spec})


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("sonnet", set()),
        ("sonnet[1m]", set()),
        (None, set()),
        ("claude-opus-5-5[1m]", {"anthropic/claude-opus-5-5"}),
        ("claude-opus-5-5", {"anthropic/claude-opus-5-5"}),
        ("anthropic/claude-opus-5-5", {"anthropic/claude-opus-5-5"}),
        ("team/coder", {"team/coder"}),
    ],
)
def test_a_model_of_claude_code_has_its_canonical_name_unless_its_cli_chooses(model, asked):
    spec = spec_of({"model": model, "claudeCode": {}})

    assert {name for _, name in named_models(spec)} == asked


def test_an_alias_of_the_installation_has_precedence_over_one_of_claude_code():
    spec = spec_of({"model": "sonnet", "claudeCode": {}})

    assert requested_models(spec, {"sonnet": "anthropic/claude-x"}) == {"anthropic/claude-x"}


def test_a_cost_limit_for_a_model_chosen_by_the_cli_requires_only_a_proxy():
    spec = spec_of({"model": "sonnet", "claudeCode": {}}, budget={"maxCostUSD": "1"})

    assert unpriced(spec, lambda _: False, "here") == ()
    assert uncounted(spec)


def test_every_named_model_is_found_with_its_field():
    agents = [{"name": "a", "model": "openai/b"}, {"name": "c", "model": "scripted/texts/c"}, {"name": "d"}]
    inline = {"agentClass": "SequentialAgent", "subAgents": ["a", "c", "d"], "agents": agents}
    spec = spec_of(
        {"model": "team/fast", "inline": inline}, steps={"compaction": {"everyEvents": 9, "model": "gemini-e"}}
    )

    assert dict(named_models(spec)) == {
        "spec.agent.model": "team/fast",
        "spec.agent.inline.agents[0].model": "openai/b",
        "spec.steps.compaction.model": "gemini-e",
    }
    assert requested_models(spec, {"team/fast": "gemini-flash-latest"}) == {
        "gemini-flash-latest",
        "openai/b",
        "gemini-e",
    }


def test_a_script_of_the_whole_team_replaces_the_models_of_its_members():
    agents = [{"name": "a", "model": "openai/b"}]
    inline = {"agentClass": "SequentialAgent", "subAgents": ["a"], "agents": agents}

    assert list(named_models(spec_of({"model": "scripted/texts/x", "inline": inline}))) == []


@pytest.mark.parametrize(
    ("model", "namespace", "told", "until"),
    [
        pytest.param("gemini-flash-latest", "shop", {pool("gemini-flash-latest", MAIN): SOON}, SOON, id="its-keys"),
        pytest.param("gemini-flash-latest", "research", {pool("gemini-flash-latest", MAIN): SOON}, None, id="others"),
        pytest.param("gemini-flash-latest", "shop", {pool("gemini-flash-latest", MAIN[:1]): SOON}, None, id="one-key"),
        pytest.param("gemini-flash-latest", "shop", {"gemini-flash-latest": SOON}, SOON, id="whatever-the-keys"),
        pytest.param("gemini-flash-latest", "shop", {"gemini-x": SOON}, None, id="another-model"),
        pytest.param("gemini-pro-latest", "shop", {"gemini-pro-latest": SOON}, None, id="a-fallback-answers"),
        pytest.param(
            "gemini-pro-latest", "shop", {"gemini-pro-latest": LATER, "gemini-flash-latest": SOON}, SOON, id="none-does"
        ),
    ],
)
def test_a_job_waits_for_the_keys_of_its_namespace_and_for_fallbacks(model, namespace, told, until):
    assert exhausted_until(parse(FILE), model, namespace, told) == until


def test_without_a_models_file_all_jobs_share_the_keys():
    told = {pool("gemini-flash-latest", ["gemini/main"]): SOON}

    assert exhausted_until(from_environment({}), "gemini-flash-latest", "shop", told) == SOON
