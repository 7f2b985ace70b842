"""The dashboard's pages over answers of REST that a test gives: no database, no API server, no network.

`Answers` is what REST answers, by path; `client` asks for pages as someone who is signed in; `site` is the whole
dashboard, where one has to sign in; `served` runs them on a socket, for a browser.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from agentjobs.dashboard import csrf
from agentjobs.dashboard.app import create_pages
from agentjobs.dashboard.asgi import create_site, guarded
from agentjobs.dashboard.identity import Identity
from agentjobs.dashboard.metrics import DashboardMetrics
from agentjobs.dashboard.sign_in.ways import Ways
from devcluster.ports import free_port

ADA = Identity(name="ada", way="token", headers={"Authorization": "Bearer ada"}, csrf="csrf-of-ada")
SIGNED = {"csrf": ADA.csrf}
"""What each form of hers carries."""


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


def application(answers, identity=ADA, ways=None, *, router=None):
    """The pages as the dashboard guards them, for a person who is signed in or for no one; with a test's own pages."""
    rest = httpx.AsyncClient(transport=httpx.MockTransport(answers), base_url="http://rest")
    pages = create_pages(rest, ways)
    if router is not None:
        pages.include_router(router)
    return guarded(pages, lambda _request: identity, secure=False)


def site(answers, ways=None, *, hosts=()):
    """The whole dashboard over these answers: each user signs in first, and REST is served as well."""
    metrics = DashboardMetrics(CollectorRegistry())
    return create_site(_answering(answers), ways=ways or Ways(), metrics=metrics, hosts=hosts)


def _answering(answers):
    async def rest(scope, receive, send):
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        url = f"http://rest{scope['path']}?{scope['query_string'].decode()}"
        answer = answers(httpx.Request(scope["method"], url, headers=scope["headers"], content=body))
        head = [(name.lower(), value) for name, value in answer.headers.raw]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": head})
        await send({"type": "http.response.body", "body": answer.content})

    return rest


def client(answers, identity=ADA) -> httpx.AsyncClient:
    """Ask for pages; each request carries the token that forms have."""
    token = {csrf.HEADER: identity.csrf} if identity else {}
    transport = httpx.ASGITransport(application(answers, identity))
    return httpx.AsyncClient(transport=transport, base_url="http://pages", headers=token)


@contextlib.contextmanager
def served(app, port=0) -> Iterator[str]:
    """The pages on a socket of this machine, for a browser; gives their address."""
    port = port or free_port()
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
