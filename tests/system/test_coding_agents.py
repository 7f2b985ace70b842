"""Claude Code through the whole system: operator, gateway, model proxy, a pod as processes, and a scripted API."""

import os
import shutil
import signal
from decimal import Decimal

import psycopg
import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("coding-agents")]

MODEL = "claude-sonnet-5-5"
BRIEF = 120.0
"""Seconds in which a job gets there."""
OTHER_MODEL = "claude-haiku-4-5"
"""For the test after which nobody asks it for a while."""


def bash(command):
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}]}


@pytest.fixture
def claude_job():
    """A job of Claude Code that may do everything."""

    def build(name, message="Go.", model=MODEL, **spec):
        agent = {"model": model, "claudeCode": {"permissionMode": "BypassPermissions"}}
        body = {"agent": agent, "input": {"message": message}, "isolation": {"profile": "Restricted"}, **spec}
        return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": name}, "spec": body}

    return build


async def asked(coding, count):
    """Until the API was asked so often."""

    async def requests(_):
        return len(coding.api.requests)

    await coding.until("the API", lambda found: found >= count, BRIEF, status_of=requests)


async def kept(coding, name, text):
    """Until what is kept of the job's session has a text: it is at most a second behind."""
    uid = (await coding.job(name))["metadata"]["uid"]

    async def session(_):
        async with await psycopg.AsyncConnection.connect(coding.cluster.dsn) as connection:
            asked = "SELECT data FROM agentjobs.kept_parts WHERE uid = %s AND name LIKE '%%.jsonl'"
            return b"".join(row[0] for row in await (await connection.execute(asked, [uid])).fetchall())

    await coding.until("the session", lambda found: text in found, BRIEF, status_of=session)


async def test_a_job_calls_models_through_the_proxy_and_has_steps_and_cost(coding, claude_job):
    coding.api.play(bash("echo one"), {"text": "Done."})
    await coding.apply(claude_job("simple"))

    status = await coding.finished("simple", BRIEF)

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Done.")
    assert (status["usage"]["llmCalls"], status["usage"]["toolCalls"]) == (2, 1)
    assert Decimal(status["usage"]["costUSD"]) > 0
    steps = (await coding.history("simple/steps"))["items"]
    assert sorted(step["kind"] for step in steps) == ["model", "model", "tool"]


async def test_the_pod_has_no_key(coding, claude_job):
    coding.api.play(bash("env"), {"text": "Done."})
    await coding.apply(claude_job("keyless"))

    await coding.finished("keyless", BRIEF)

    (first, second) = coding.api.requests
    assert first.headers["x-api-key"] == "sk-of-the-installation-0123456789"
    assert "sk-of-the-installation" not in second.said


async def test_a_killed_runner_continues_its_session(coding, claude_job):
    coding.api.play(bash("echo one"), {"text": "never heard", "delay": 60}, {"text": "Went on."})
    await coding.apply(claude_job("killed", retry={"maxAttempts": 2, "backoff": {"initial": "1s"}}))
    await asked(coding, 2)
    await kept(coding, "killed", b"tool_result")
    pod = await coding.pod("killed-1")
    os.kill(int(pod["status"]["containerStatuses"][0]["containerID"].removeprefix("process://")), signal.SIGKILL)

    status = await coding.finished("killed", BRIEF)

    assert (status["phase"], status["starts"], status["result"]["summary"]) == ("Succeeded", 2, "Went on.")
    assert "toolu_" in coding.api.requests[2].said


async def test_a_job_is_suspended_at_its_cost_limit_and_continues_when_it_is_raised(coding, claude_job, said):
    dear = {"input_tokens": 1_000_000, "output_tokens": 10}
    coding.api.play({**bash("echo one"), "usage": dear}, {"text": "Went on."})
    await coding.apply(claude_job("dear", budget={"maxCostUSD": "0.5", "onExceeded": "Suspend"}))
    kept = await coding.phase("dear", "Suspended", BRIEF)
    assert said(kept, "Suspended", "reason") == "BudgetExceeded"

    await coding.edit("dear", budget={"maxCostUSD": "50"})
    status = await coding.finished("dear", BRIEF)

    assert (status["phase"], status["result"]["summary"], status["starts"]) == ("Succeeded", "Went on.", 2)


async def test_turns_are_counted_over_all_starts(coding, claude_job):
    coding.api.play(bash("echo one"), bash("echo two"), bash("echo three"), {"text": "too late"})
    await coding.apply(claude_job("turns", budget={"maxTurns": 2}))

    status = await coding.finished("turns", BRIEF)

    assert (status["phase"], status["reason"]) == ("Failed", "MaxTurnsExceeded")
    assert len(coding.api.requests) == 2


async def test_the_operator_waits_out_a_long_retry_delay_of_a_provider(coding, claude_job):
    refusal = {"type": "rate_limit_error", "message": "slow down"}
    coding.api.play({"status": 429, "error": refusal, "headers": {"retry-after": "900"}})
    await coding.apply(claude_job("busy", model=OTHER_MODEL))

    status = await coding.phase("busy", "Retrying", BRIEF)

    assert status["attemptHistory"][0]["reason"] == "ModelRateLimited"
    await coding.edit("busy", cancel=True)


async def test_an_answer_is_checked_against_its_schema(coding, claude_job):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    coding.api.play({"tools": [{"name": "StructuredOutput", "input": {"ok": True}}]})
    await coding.apply(claude_job("judged", output={"schema": schema}))

    status = await coding.finished("judged", BRIEF)

    assert (status["phase"], status["result"]["structured"]) == ("Succeeded", {"ok": True})


async def test_a_job_without_the_cli_reports_what_is_missing(system, claude_job):
    if shutil.which("claude") or os.environ.get("AGENTJOBS_CLAUDE"):
        pytest.skip("this machine has claude")
    await system.apply(claude_job("nothing"))

    status = await system.finished("nothing")

    assert (status["phase"], status["reason"]) == ("Failed", "BinaryNotFound")
