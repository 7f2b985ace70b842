"""Tools of an MCP server on the loopback, called by the real runner through the real client."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentjobs.contract import mcp_header_variable

SERVER = '''
import asyncio, socket, sys
import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("papers")

@server.tool()
def search(topic: str) -> str:
    """Search papers."""
    with open("calls", "a") as calls:
        print(topic, file=calls)
    return f"Three papers on {topic}."

@server.tool()
def erase() -> str:
    """Erase all papers."""
    return "gone"

app = server.sse_app() if sys.argv[1] == "SSE" else server.streamable_http_app()

async def guarded(scope, receive, send):
    headers = dict(scope.get("headers") or ())
    if scope["type"] == "http" and headers.get(b"authorization") != b"Bearer tool-secret-123":
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"who are you?"})
        return
    await app(scope, receive, send)

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(guarded, log_level="error", timeout_graceful_shutdown=0)
asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
'''


@pytest.fixture
def papers(tmp_path: Path) -> Iterator[Any]:
    """`papers(transport)` starts a server and returns its entry of `mcpServers`."""
    processes: list[subprocess.Popen[str]] = []

    def start(transport: str = "StreamableHTTP") -> dict[str, Any]:
        command = [sys.executable, "-c", SERVER, transport]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path))
        port = (processes[-1].stdout or sys.stdin).readline().strip()
        path = "sse" if transport == "SSE" else "mcp"
        reference = {"header": "Authorization", "secretKeyRef": {"name": "papers", "key": "token"}}
        address = f"http://127.0.0.1:{port}/{path}"
        return {"name": "papers", "url": address, "transport": transport, "headersFrom": [reference]}

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def asking(server: dict[str, Any], **more: Any) -> dict[str, Any]:
    inline = {"name": "a", "instruction": "Help.", "mcpServers": [server | more]}
    return {"model": "scripted/script/main", "inline": inline}


CALL = {"toolCalls": [{"name": "search", "args": {"topic": "tea"}}]}
VARIABLE = mcp_header_variable(0, 0, 0)
SECRET = "Bearer tool-secret-123"


@pytest.mark.parametrize("transport", ["StreamableHTTP", "SSE"])
def test_a_tool_of_a_server_is_called(gateway, start, papers, transport):
    served = gateway(starts=[[CALL, {"text": "There are three."}]], agent=asking(papers(transport)))

    run = start(served, **{VARIABLE: SECRET}).wait()

    assert run.verdict == ("Succeed", "ResultAccepted"), run.err
    (called,) = [event["data"] for event in served.events if event["kind"] == "tool"]
    assert "Three papers on tea." in str(called["result"])
    assert "tool-secret" not in run.raw + run.err + run.out + str(served.events)


def test_only_tools_that_the_job_names_are_available(gateway, start, papers):
    served = gateway(starts=[[CALL, {"text": "Done."}]], agent=asking(papers(), toolFilter=["erase"]))

    start(served, **{VARIABLE: SECRET}).wait()

    (called,) = [event["data"] for event in served.events if event["kind"] == "tool"]
    assert "The tools you can call are: erase." in str(called["result"])


def test_a_tool_that_the_server_lacks_is_a_mistake_in_the_job(gateway, start, papers):
    served = gateway(starts=[[{"text": "hi"}]], agent=asking(papers(), toolFilter=["fetch"]))

    run = start(served, **{VARIABLE: SECRET}).wait()

    assert run.verdict == ("Fail", "ConfigInvalid")
    assert "'papers' has no tool fetch (it has: erase, search)" in run.message.message


@pytest.mark.parametrize(
    "secret", ["Bearer wrong-secret-456", "Bearer tool-secret-123"], ids=["refused", "nobody-there"]
)
def test_an_unavailable_server_is_retried(gateway, start, papers, secret):
    server = papers()
    away = {} if "wrong" in secret else {"url": "http://127.0.0.1:9/mcp"}
    served = gateway(starts=[[{"text": "hi"}]], agent=asking(server, **away))

    run = start(served, **{VARIABLE: secret}).wait(40)

    assert run.verdict == ("Retry", "ToolError"), run.message
    assert "mcpServers[0]: the tools of 'papers' at http://127.0.0.1" in run.message.message
    assert "-secret" not in run.raw + run.err


def test_an_empty_secret_is_named_before_anything_runs(gateway, start, papers):
    run = start(gateway(agent=asking(papers())), **{VARIABLE: "\n"}).wait()

    assert run.verdict == ("Fail", "ConfigInvalid")
    assert "headersFrom[0]: key 'token' of Secret 'papers' is empty" in run.message.message
