"""Claude Code's CLI behind a real proxy: the one that AGENTJOBS_CLAUDE names, otherwise the tests' stand-in."""

import asyncio
import os
import uuid
from pathlib import Path

import pytest
from tests.modelproviders import Answer, Failure, Used

from agentjobs import contract
from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.claude_code.command import ClaudeCodeSettings, Left, Place, SessionChoice, build
from agentjobs_runner.claude_code.stream import Reader
from agentjobs_runner.claude_code.verdict import Exit, judge
from agentjobs_runner.output import Output

pytestmark = pytest.mark.alone("runners' pods here have no job")

CLAUDE = os.environ.get(contract.ENV_CLAUDE) or str(Path(__file__).parents[2] / "claudecli.py")
SPEC = {"agent": {"model": "anthropic/claude-sonnet-4-5", "claudeCode": {}}}


@pytest.fixture
def claude(proxy, tmp_path):
    """Run the CLI with a pod's token, and return how its job would end."""

    async def run(token):
        folders = [tmp_path / name for name in ("home", "tmp", "tree")]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        (tmp_path / "token").write_text(token)
        home, tmp, tree = map(str, folders)
        asked = ClaudeCodeSettings.read(SPEC)
        place = Place(CLAUDE, home, tmp, tree, f"{proxy}{contract.MODELS_ANTHROPIC}", str(tmp_path / "token"))
        command = build(asked, place, SessionChoice(str(uuid.uuid4()), resumes=False), Left())
        inherited = {name: value for name, value in os.environ.items() if name not in command.unset}
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            env=inherited | command.env,
            cwd=tree,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(b"Say hello.")
        reader = Reader()
        for line in out.splitlines():
            reader.feed(line)
        return judge(reader.facts, Exit(process.returncode, err.decode()), asked, Output()).ending

    return run


async def test_the_cli_is_answered_through_the_proxy_and_its_call_is_settled(claude, pod, fake, ledger):
    fake.default = Answer("Hello.", used=Used(input=100, output=20))
    token = await pod()

    ending = await claude(token)

    assert (ending.verdict, ending.message) == (Verdict.SUCCEED, "the agent answered")
    assert ending.result["text"] == "Hello."
    (seen,) = fake.seen
    assert (seen.key, token in f"{seen.headers}{seen.body}") == ("key-of-anthropic", False)
    (call,) = await ledger.calls()
    assert (call.asked, call.input, call.output) == ("anthropic/claude-sonnet-4-5", 100, 20)


async def test_a_used_up_budget_ends_the_job_immediately(claude, pod, fake):
    token = await pod(budget='{"maxLLMCalls": 1}')

    endings = [await claude(token), await claude(token)]

    assert [ending.reason for ending in endings] == ["ResultAccepted", ErrorClass.BUDGET_EXCEEDED]
    assert "budget.maxLLMCalls" in endings[1].message
    assert len(fake.seen) == 1


async def test_a_retry_delay_of_hours_snoozes_the_job_for_hours(claude, pod, fake):
    fake.default = Failure(429, retry_after=7200)

    ending = await claude(await pod())

    assert (ending.verdict, ending.reason) == (Verdict.SNOOZE, ErrorClass.MODEL_RATE_LIMITED)
    assert ending.delay_seconds == 7200.0


async def test_a_start_with_an_unknown_token_ends_within_seconds(claude, pod, fake):
    await pod()

    ending = await claude("nobody's")

    assert (ending.verdict, ending.reason) == (Verdict.FAIL, ErrorClass.MODEL_AUTH)
    assert fake.seen == []


async def test_a_fenced_pod_ends_as_fenced(claude, pod, story, fake):
    token = await pod()
    await story.begin(uid="u1", name="hello", start=2)

    ending = await claude(token)

    assert ending.reason == "Fenced"
    assert fake.seen == []
