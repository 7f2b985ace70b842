"""The proxy as a process of its own, and in the gateway's."""

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import asynccontextmanager

import httpx
import pytest

pytestmark = pytest.mark.alone("runners' pods here have no job")

MAIN = "from agentjobs.cli import main; main()"
MESSAGES = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def process(*arguments, event, **environment):
    """Run a command until it has said where it listens."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", MAIN, *arguments),
        env=os.environ | {f"AGENTJOBS_{name.upper()}": str(value) for name, value in environment.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            while (line := json.loads(await child.stderr.readline()))["event"] != event:
                pass
        yield child, line["url"]
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.fixture
def environment(settings):
    """What a process of the proxy or of the gateway finds."""
    made = settings()
    return {
        "database_url": made.database_url.get_secret_value(),
        "kubeconfig": made.kubeconfig,
        "models_file": made.models_file,
        "host": "127.0.0.1",
    }


async def ask(url, token):
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        for _ in range(200):
            answer = await http.post(f"{url}/anthropic/v1/messages", json=MESSAGES, headers={"x-api-key": token})
            if answer.status_code != 503:  # it may not know its cluster yet
                return answer
            await asyncio.sleep(0.02)
    raise AssertionError(answer.text)


async def test_a_proxy_serves_and_exits_with_0_on_sigterm(environment, pod, fake):
    token = await pod()

    async with process("proxy", event="proxy.listening", port=0, **environment) as (child, url):
        answer = await ask(url, token)
        child.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(child.wait(), 20)

    assert (answer.status_code, code, len(fake.seen)) == (200, 0, 1)


async def test_the_gateway_can_also_serve_the_proxy_for_development(environment, pod, fake):
    token = await pod()

    async with process(*("gateway", "--models", "--models-port=0"), event="proxy.listening", port=0, **environment) as (
        child,
        url,
    ):
        answer = await ask(url, token)
        child.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(child.wait(), 20)

    assert (answer.status_code, code) == (200, 0)


async def test_an_invalid_models_file_ends_the_process_at_its_start_and_names_the_line(environment, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("providers: []\nprices:\n- {models: ['openai/*'], input: cheap, output: '1'}\n")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", MAIN, "proxy"),
        env=os.environ
        | {f"AGENTJOBS_{name.upper()}": str(value) for name, value in {**environment, "models_file": wrong}.items()},
        stderr=asyncio.subprocess.PIPE,
    )

    said = (await child.communicate())[1].decode()

    assert child.returncode != 0
    assert re.search(r"wrong\.yaml:3: .*cheap", said)
