"""Connections to providers and to the installation's checker, over real sockets."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from agentjobs.models.models_file import CheckerEntry
from agentjobs.proxy.checker import Checker, Denied, Failed, Redacted
from agentjobs.proxy.upstream import CutShort, FailureCause, ProviderTimeouts, Unreachable, Upstream


@asynccontextmanager
async def serving(handler):
    """A server of one handler; gives its URL."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/x"
    finally:
        await runner.cleanup()


async def ask(url, **given):
    async with Upstream(**given) as upstream, upstream.send("POST", url, {"accept": "a/b"}, b"body") as answer:
        return answer, [piece async for piece in answer.pieces()]


async def test_a_redirect_is_not_followed_and_its_target_is_not_shown():
    async def handler(request):
        return web.Response(status=307, headers={"Location": "http://169.254.169.254/", "Set-Cookie": "a=b"})

    async with serving(handler) as url:
        answer, _ = await ask(url)

    assert (answer.status, {name.lower() for name in answer.headers} & {"location", "set-cookie"}) == (307, set())


async def test_no_headers_are_added_to_a_request(monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    seen = []

    async def handler(request):
        seen.append(({name.lower() for name in request.headers}, await request.read()))
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with serving(handler) as url, Upstream() as upstream:
        for _ in range(2):
            async with upstream.send("POST", url, {"accept": "a/b"}, b"body") as answer:
                await answer.start(10)

    assert seen == [({"host", "accept", "accept-encoding", "content-length"}, b"body")] * 2


async def test_a_proxy_of_the_environment_and_its_exceptions_are_used(monkeypatch):
    seen = []

    async def handler(request):
        seen.append(request.raw_path)
        return web.Response()

    async with serving(handler) as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/x"))
        await ask("http://provider.example/v1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await ask(url)

    assert seen == ["http://provider.example/v1", "/x"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://nobody.invalid/x", "https://127.0.0.1:1/x"])
async def test_an_unreachable_provider_is_reported_as_unreachable(url):
    with pytest.raises(Unreachable) as failed:
        await ask(url)

    assert failed.value.cause is FailureCause.REFUSED


async def test_an_answer_above_the_size_limit_is_cut_off():
    async def handler(request):
        return web.Response(body=b"x" * 1000)

    async with serving(handler) as url:
        with pytest.raises(CutShort) as cut:
            await ask(url, most=999)

    assert cut.value.cause is FailureCause.TOO_LARGE


async def test_an_answer_that_pauses_too_long_is_cut_off():
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(1)

    async with serving(handler) as url:
        with pytest.raises(CutShort) as cut:
            await ask(url, timeouts=ProviderTimeouts(5.0, 0.1))

    assert cut.value.cause is FailureCause.SILENT


REQUEST = {"model": "m", "messages": []}


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        pytest.param({"decision": "Allow"}, None, id="allow"),
        pytest.param({"decision": "Deny", "reason": "a name"}, Denied("a name"), id="deny"),
        pytest.param({"decision": "Redact", "body": {"a": 1}}, Redacted(b'{"a": 1}'), id="redact"),
    ],
)
async def test_the_checker_gets_the_caller_and_the_request_and_decides(verdict, said):
    seen = []

    async def handler(request):
        seen.append(json.loads(await request.read()))
        return web.json_response(verdict)

    async with serving(handler) as url, Upstream() as upstream:
        entry = CheckerEntry(url=url, timeout="5s")
        body = json.dumps(REQUEST).encode()
        found = await Checker(upstream).check(entry, namespace="n", job="j", model="m", body=body)

    assert (found, seen) == (said, [{"namespace": "n", "job": "j", "model": "m", "body": REQUEST}])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((500, {"decision": "Allow"}), id="500"),
        pytest.param((200, {"decision": "Maybe"}), id="no-decision"),
        pytest.param((200, {"decision": "Redact"}), id="nothing-instead"),
        pytest.param((200, ["Allow"]), id="no-object"),
        pytest.param((200, {"decision": "Allow", "reason": "x" * 200_000}), id="endless"),
        pytest.param(None, id="hangs"),
    ],
)
@pytest.mark.parametrize("on_failure", ["Deny", "Allow"])
async def test_an_unavailable_checker_allows_or_refuses_as_configured(answer, on_failure):
    async def handler(request):
        if answer is None:
            await asyncio.sleep(1)
        return web.json_response(answer[1], status=answer[0])

    async with serving(handler) as url, Upstream() as upstream:
        entry = CheckerEntry(url=url, timeout="200ms", onFailure=on_failure)
        checking = Checker(upstream).check(entry, namespace="n", job="j", model="m", body=b"{}")
        if on_failure == "Deny":
            with pytest.raises(Failed):
                await checking
        else:
            assert await checking is None
