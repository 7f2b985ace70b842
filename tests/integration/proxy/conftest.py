"""The least that can be called a proxy: it reads with the APIs that are tested, sends to the fake providers, watches
what comes back. It knows no limits and no budgets."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession, web
from tests.modelproviders import FakeProviders, serving

from agentjobs import contract
from agentjobs.proxy import apis
from agentjobs.proxy.apis.api import CallRefusal, ParsedRequest, Request, UsageReader


@dataclass
class Forwarder:
    """What it does, and what it saw."""

    fake: FakeProviders
    origin: str = ""
    refusal: CallRefusal | None = None
    """Refuse instead of asking."""
    refuse_after: int | None = None
    """Refuse within the stream, after so many pieces."""
    model: str | None = None
    """Ask this model instead."""
    asked: list[ParsedRequest] = field(default_factory=list)
    read: list[UsageReader] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    """What came back to the client."""

    @property
    def gemini(self):
        return self.origin + contract.MODELS_GEMINI

    @property
    def vertex(self):
        return self.origin + contract.MODELS_VERTEX

    @property
    def openai(self):
        return self.origin + contract.MODELS_OPENAI

    @property
    def anthropic(self):
        return self.origin + contract.MODELS_ANTHROPIC

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        found = apis.find(path)
        assert found is not None, path
        api, below = found
        body = await request.read()
        asked = api.read(Request(request.method, below, query, request.headers, body))
        if isinstance(asked, CallRefusal) or (self.refusal and self.refuse_after is None):
            refusal = asked if isinstance(asked, CallRefusal) else self.refusal
            headers = {**refusal.headers, "content-type": "application/json"}
            return web.Response(status=refusal.status, body=api.refusal_body(refusal), headers=headers)
        self.asked.append(asked)
        if self.model:
            asked = asked.with_model(self.model)
        base = getattr(self.fake, {"VertexAI": "vertex"}.get(asked.kind.value, asked.kind.value.lower()))
        target = base + asked.target(project="ours", location="eu")
        headers = {**asked.headers, "authorization": "Bearer the-key"}
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(asked.method, target, data=asked.body, headers=headers) as answer,
        ):
            passed = {name: value for name, value in answer.headers.items() if name.lower() != "transfer-encoding"}
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            reader = api.usage_reader(asked)
            self.read.append(reader)
            whole = b""
            async for number, piece in _numbered(answer.content.iter_any()):
                if number == self.refuse_after:
                    await response.write(api.refusal_event(self.refusal))
                    break
                reader.feed(piece)
                whole += piece
                await response.write(piece)
            self.answers.append(whole)
            await response.write_eof()
            return response


async def _numbered(pieces):
    number = 0
    async for piece in pieces:
        yield number, piece
        number += 1


@pytest.fixture
async def fake():
    async with serving() as fake:
        yield fake


@pytest.fixture
async def proxy(fake):
    async with _forwarding(fake) as proxy:
        yield proxy


@asynccontextmanager
async def _forwarding(fake):
    proxy = Forwarder(fake)
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{rest:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield proxy
    finally:
        await runner.cleanup()
