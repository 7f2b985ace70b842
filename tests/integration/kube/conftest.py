"""A tiny API server that records requests and gives the answers of a test."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from agentjobs.kube.client import KubeClient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class TinyServer:
    """Answers with `handler`; `requests` is all it was asked."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    handler: Handler | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append(
            Request(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                json.loads(raw) if raw else None,
            )
        )
        assert self.handler is not None
        return await self.handler(request)

    def answer(self, body: Any, *, code: int = 200, headers: dict[str, str] | None = None) -> None:
        async def handler(_request: web.Request) -> web.StreamResponse:
            return web.json_response(body, status=code, headers=headers)

        self.handler = handler

    def refuse(self, code: int, reason: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        status = {"kind": "Status", "code": code, "reason": reason, "message": message}
        self.answer(status, code=code, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[TinyServer]:
    tiny = TinyServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tiny.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    tiny.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield tiny
    await runner.cleanup()


@pytest.fixture
def kubeconfig(server: TinyServer, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig_document(server.url, {"token": "secret"})))
    return path


def kubeconfig_document(url: str, user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "test", "user": user}],
    }


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(str(kubeconfig)) as made:
        yield made
