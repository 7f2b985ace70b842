"""Claude Code in the runner: what a start does, and what it leaves behind."""

import json

from tests.system.runner.claude_code.conftest import bash, left

from agentjobs import contract
from agentjobs.contract import ErrorClass


def test_an_answer_is_the_result_and_its_steps_are_recorded(job):
    one = job({"text": "I look.", "tools": [bash("echo seen")]}, {"text": "All is well."})

    run = one.start().wait()

    assert run.verdict == ("Succeed", "ResultAccepted"), run.err
    assert run.message.summary == "All is well."
    steps = [(step["kind"], step["name"], step["ended"] is not None) for step in one.fake.steps]
    model = "claude-sonnet-5-5"
    assert steps == [("model", model, True), ("tool", "Bash", False), ("tool", "Bash", True), ("model", model, True)]
    assert one.fake.kinds() == ["started", "model", "text", "tool", "model", "text", "ended"]


def test_usage_is_counted_once_and_is_in_the_result(job):
    one = job({"text": "I look.", "tools": [bash("true")]}, {"text": "Done."})

    one.start().wait()

    counted = {"llmCalls": 2, "toolCalls": 1, "inputTokens": 200, "outputTokens": 40}
    used = {name: sum(step["usage"].get(name, 0) for step in one.fake.steps) for name in counted}
    assert used == one.fake.results[-1]["result"]["usage"] == counted


def test_processes_left_by_a_tool_are_killed_with_the_cli(job):
    marker = "sleep 3313"
    one = job({"tools": [bash(f"(setsid {marker} >/dev/null 2>&1 &) ; echo begun")]}, {"text": "Done."})

    run = one.start().wait()

    assert run.verdict[0] == "Succeed", run.err
    assert left(marker) == []


def test_a_structured_answer_and_its_outcome_are_the_result(job):
    schema = {"type": "object", "properties": {"outcome": {"type": "string"}}, "required": ["outcome"]}
    one = job({"tools": [{"name": "StructuredOutput", "input": {"outcome": "fixed"}}]})

    run = one.start(spec={"output": {"schema": schema}}).wait()

    assert run.verdict == ("Succeed", "ResultAccepted"), run.err
    assert run.message.outcome == "fixed"


def test_a_missing_cli_fails_the_job_and_names_a_solution(job):
    run = job().start(env={contract.ENV_CLAUDE: "/nowhere/claude"}).wait()

    assert run.verdict == ("Fail", "BinaryNotFound")
    assert "claude-code" in run.message.message


def test_the_proxy_is_called_with_the_pods_token_and_no_key_is_in_the_environment(job):
    one = job({"tools": [bash("env | grep -c ^ANTHROPIC_API_KEY= || true")]}, {"text": "Done."})
    unset = {"ANTHROPIC_BASE_URL": "", "ANTHROPIC_API_KEY": ""}

    run = one.start(env={**unset, contract.ENV_MODELS_URL: one.api.url}).wait()

    assert run.verdict[0] == "Succeed", run.err
    asked = one.api.requests[0]
    assert asked.path.startswith(contract.MODELS_ANTHROPIC)
    assert asked.headers["authorization"] == f"Bearer {(run.folder / 'token').read_text()}"
    assert [event["data"]["result"]["result"] for event in one.fake.events if event["kind"] == "tool"] == ["0"]


def test_commands_of_the_cli_do_not_have_the_pods_token_in_their_environment(job):
    one = job({"tools": [bash('env | grep -cF "$(cat "$AGENTJOBS_TOKEN_FILE")" || true')]}, {"text": "Done."})
    unset = {"ANTHROPIC_BASE_URL": "", "ANTHROPIC_API_KEY": ""}

    run = one.start(env={**unset, contract.ENV_MODELS_URL: one.api.url}).wait()

    assert run.verdict[0] == "Succeed", run.err
    assert [event["data"]["result"]["result"] for event in one.fake.events if event["kind"] == "tool"] == ["0"]


def test_a_budget_enforced_by_the_proxy_ends_the_job(job):
    code = contract.refusal_identifier(ErrorClass.BUDGET_EXCEEDED)
    error = {"type": "agentjobs.dev/BudgetExceeded", "message": "spent", "details": {"error_code": code}}
    one = job({"status": 402, "error": error})

    run = one.start().wait()

    assert run.verdict == ("Fail", "BudgetExceeded"), run.err


def test_a_tool_beyond_the_budget_is_stopped(job):
    budget = {"limits": {"maxToolCalls": 1}, "used": {"costUSD": "0", "tokens": 0, "llmCalls": 0, "toolCalls": 0}}
    one = job({"tools": [bash("sleep 0.3")]}, {"tools": [bash("sleep 3312")]}, {"text": "Done."})

    run = one.start(attempt={"budget": budget}).wait()

    assert run.verdict == ("Fail", "BudgetExceeded"), run.err
    assert left("sleep 3312") == []


def test_turns_are_counted_over_all_starts(job):
    budget = {"limits": {"maxTurns": 2}, "used": {"costUSD": "0", "tokens": 0, "llmCalls": 0, "toolCalls": 0}}
    one = job({"tools": [bash("true")]}, {"status": 500}, {"status": 500}, {"status": 500}, {"tools": [bash("true")]})

    first = one.start(attempt={"budget": budget}).wait()
    second = one.start(attempt={"budget": budget}).wait()

    assert first.verdict == ("Retry", "ModelUnavailable"), first.err
    assert second.verdict == ("Fail", "MaxTurnsExceeded"), second.err


def test_turns_of_a_new_run_count_as_well(job):
    used = {"costUSD": "0", "tokens": 0, "llmCalls": 0, "toolCalls": 0, "turns": 2}
    one = job({"text": "Done."})

    run = one.start(attempt={"budget": {"limits": {"maxTurns": 2}, "used": used}}).wait()

    assert run.verdict == ("Fail", "MaxTurnsExceeded"), run.err
    assert one.api.requests == []


def test_kept_files_do_not_contain_secrets_of_the_pod(job):
    secret = "s3cr3t-value-of-this-pod"
    one = job({"tools": [bash("echo $DEPLOY_TOKEN; sleep 1")]}, {"text": "Done."})

    one.start(env={"DEPLOY_TOKEN": secret}).wait()

    kept = one.kept["claude-code/session.jsonl"].decode()
    assert secret not in kept
    assert "DEPLOY_TOKEN" in kept
    assert all(json.loads(line) for line in kept.splitlines())


def test_without_a_proxy_the_runner_counts_the_budget_of_model_calls(job):
    budget = {"limits": {"maxLLMCalls": 2}, "used": {"costUSD": "0", "tokens": 0, "llmCalls": 1, "toolCalls": 0}}
    one = job({"tools": [bash("true")]}, {"tools": [bash("true")]}, {"text": "Done."})

    run = one.start(attempt={"budget": budget}).wait()

    assert run.verdict == ("Fail", "BudgetExceeded"), run.err


def test_a_job_that_names_no_model_uses_the_clis_default(job):
    one = job({"text": "All is well."})

    run = one.start(spec={"agent": {"claudeCode": {}}}).wait()

    assert run.verdict[0] == "Succeed", run.err
    assert one.api.requests[-1].body["model"].startswith("claude-")
