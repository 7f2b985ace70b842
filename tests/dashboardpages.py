"""The dashboard's pages over answers of REST that a test gives: no database, no API server, no network.

`Answers` is what REST answers, by path; `Pages` asks for pages as somebody who is signed in; `served` runs them on a
socket, for a browser.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import uvicorn
from pydantic import BaseModel

from agentjobs.dashboard.app import create_pages
from agentjobs.dashboard.identity import STATE, Identity
from devcluster.ports import free_port

ADA = Identity(name="ada", way="token", headers={"Authorization": "Bearer ada"}, csrf="csrf-of-ada")


@dataclass
class Answers:
    """What REST answers by path: a model, a response, an exception, or a function of the request that gives one."""

    by_path: dict = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def __setitem__(self, path, answer):
        self.by_path[path] = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.by_path.get((request.method, request.url.path), self.by_path.get(request.url.path))
        if callable(answer) and not isinstance(answer, type):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, BaseModel):
            return httpx.Response(
                200, content=answer.model_dump_json(by_alias=True), headers={"Content-Type": "application/json"}
            )
        if isinstance(answer, httpx.Response):
            return answer
        if answer is None:
            return refusal(404, "NotFound", f"the test answers nothing at {request.url.path}")
        return httpx.Response(200, json=answer)


def refusal(status, reason, message="It is so.", **headers):
    return httpx.Response(status, json={"reason": reason, "message": message}, headers=headers)


class _SignedIn:
    def __init__(self, app, identity):
        self.app, self.identity = app, identity

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and self.identity is not None:
            scope.setdefault("state", {})[STATE] = self.identity
        await self.app(scope, receive, send)


def application(answers, identity=ADA):
    """The pages, with somebody signed in (or nobody)."""
    rest = httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url="http://rest")
    return _SignedIn(create_pages(rest), identity)


def client(answers, identity=ADA) -> httpx.AsyncClient:
    """Ask for pages."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(application(answers, identity)), base_url="http://pages")


@contextlib.contextmanager
def served(app) -> Iterator[str]:
    """The pages on a socket of this machine, for a browser; gives their address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        pass
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
