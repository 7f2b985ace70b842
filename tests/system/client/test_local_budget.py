"""`run --local` counts and limits what a job uses as a cluster does, and prints it at the end."""

import json
import os
import subprocess
import sys

import pytest
from tests.modelproviders import Answer, Used, in_thread

from agentjobs import contract

JOB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tour}
data:
  script: |
    starts:
      - - {text: one, usage: {inputTokens: 30, outputTokens: 4}}
        - {text: two, usage: {inputTokens: 30, outputTokens: 4}}
      - - {text: two, usage: {inputTokens: 30, outputTokens: 4}}
---
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: tour}
spec:
  agent:
    model: MODEL
    inline:
      name: team
      agentClass: SequentialAgent
      subAgents: [first, second]
      agents: [{name: first, instruction: Be brief.}, {name: second, instruction: Be brief.}]
  input: {message: Go.}
"""
CODE = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: chooses}
spec:
  agent: {module: {ref: "chooses:root_agent"}}
  input: {message: Go.}
"""
SCRIPTED = "scripted/tour/script"
PROGRAM = "from agentjobs.cli import main; main()"


@pytest.fixture
def run(tmp_path):
    """Runs a job of two model calls in a folder of its own; returns exit code, output and error output."""

    def begin(*more, job=JOB, model=SCRIPTED, budget=None, **env):
        spec = f"  budget: {json.dumps(budget)}\n" if budget else ""
        (tmp_path / "job.yaml").write_text(job.replace("MODEL", model) + spec)
        child = subprocess.run(
            [sys.executable, "-c", PROGRAM, "run", "-f", "job.yaml", "--local", *more],
            cwd=tmp_path,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return child.returncode, child.stdout, child.stderr

    return begin


def test_a_run_stops_at_its_limit_and_names_a_solution(run):
    code, out, err = run(budget={"maxLLMCalls": 1})

    assert (code, out) == (contract.EXIT_CODES[contract.Verdict.FAIL], "")
    assert "Fail BudgetExceeded: budget.maxLLMCalls is reached: the job used 1 of 1" in err
    assert "used: 1 model call, 0 tool calls, 34 tokens, $0" in err


def test_a_run_whose_limit_is_raised_continues_and_counts_what_it_used_before(run):
    run(budget={"maxTokens": 30})
    again = run("--resume", budget={"maxTokens": 34})
    code, out, err = run("--resume", "--json", budget={"maxTokens": 100})

    assert "budget.maxTokens is reached: the job used 34 of 34" in again[2]
    assert (code, json.loads(out)["result"]["text"]) == (0, "two"), err
    assert json.loads(out)["usage"] == {
        "llmCalls": 2,
        "toolCalls": 0,
        "inputTokens": 60,
        "outputTokens": 8,
        "costUSD": "0",
        "unpriced": [],
    }


def test_each_run_is_a_separate_attempt(run):
    budget = {"maxLLMCalls": 1, "scope": "Attempt"}
    run(budget=budget)
    code, out, _ = run("--resume", budget=budget)
    assert (code, out) == (0, "two\n")


def test_a_limited_cost_needs_the_price_of_each_model_that_the_job_names(run):
    code, _, err = run(model="openai/of-my-own", budget={"maxCostUSD": "1.00"})
    assert (code, "openai/of-my-own" in err, "attempt.started" in err) == (2, True, False)


@pytest.fixture
def fake():
    with in_thread(Answer(used=Used(input=1_000_000, output=1000, cached=900_000))) as providers:
        yield providers


def test_the_cost_of_answers_is_printed_with_cached_tokens(run, fake):
    own = {"OPENAI_BASE_URL": fake.openai, "OPENAI_API_KEY": "sk-of-the-test-alone"}
    code, out, err = run("--json", model="openai/gpt-5-mini", **own)

    assert code == 0, err
    # Each call: 100,000 tokens at 0.25, 900,000 at 0.025, 1000 at 2 dollars a million.
    assert json.loads(out)["usage"]["costUSD"] == "0.099"
    assert "2 model calls, 0 tool calls, 2002000 tokens, $0.099" in err


def test_a_run_stops_when_its_cost_is_spent(run, fake):
    own = {"OPENAI_BASE_URL": fake.openai, "OPENAI_API_KEY": "sk-of-the-test-alone"}
    code, _, err = run(model="openai/gpt-5-mini", budget={"maxCostUSD": "0.04"}, **own)

    assert (code, len(fake.seen)) == (78, 1)
    assert "budget.maxCostUSD is reached: the job used 0.0495 of 0.0400" in err


def test_models_without_a_price_are_named(run, fake):
    own = {"OPENAI_BASE_URL": fake.openai, "OPENAI_API_KEY": "sk-of-the-test-alone"}
    _, _, err = run(model="openai/of-my-own", **own)
    assert "$0 without of-my-own, whose price is unknown" in err


def test_no_model_proxy_is_used(run, fake):
    own = {"OPENAI_BASE_URL": fake.openai, "OPENAI_API_KEY": "sk-of-the-test-alone"}
    code, _, err = run(model="openai/gpt-5-mini", **own, **{contract.ENV_MODELS_URL: "http://127.0.0.1:9"})
    assert (code, len(fake.seen)) == (0, 2), err


def test_a_limited_cost_needs_the_price_of_a_model_that_code_chooses_at_its_first_call(run, fake, tmp_path):
    (tmp_path / "chooses.py").write_text(
        "from google.adk.agents import LlmAgent\n"
        "root_agent = LlmAgent(name='a', model='openai/of-my-own', instruction='Be brief.')\n"
    )
    own = {"OPENAI_BASE_URL": fake.openai, "OPENAI_API_KEY": "sk-of-the-test-alone", "PYTHONPATH": str(tmp_path)}
    code, _, err = run(job=CODE, budget={"maxCostUSD": "1.00"}, **own)

    assert (code, fake.seen) == (78, [])
    assert "Fail UnknownModelPrice" in err
