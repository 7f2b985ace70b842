"""The real runner, the real clients and the real proxy, before fake providers; history is in memory."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from tests.modelproviders import Answer, FakeProviders, Used, serving

from agentjobs import contract
from agentjobs.auth import RunnerIdentity
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_model_calls import MemoryModelCalls
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.history.memory_rows import MemoryJob, MemoryStart
from agentjobs.models.budget import Limits
from agentjobs.models.environment import from_environment
from agentjobs.proxy.checker import Checker
from agentjobs.proxy.connections import Server
from agentjobs.proxy.exchange import Exchange
from agentjobs.proxy.keys import Keys
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.proxy.sending import Sender
from agentjobs.proxy.server import Requests
from agentjobs.proxy.settlements import Settlements
from agentjobs.proxy.upstream import Upstream

UID = "5f0f3a52-6a39-4a36-9b52-6d3a5f1a0c11"
MODELS = {"gemini": "gemini-2.5-flash", "openai": "openai/gpt-5-mini", "anthropic": "anthropic/claude-sonnet-4-5"}


@dataclass
class Proxy:
    """A proxy that serves in a thread of its own."""

    fake: FakeProviders
    history: MemoryHistory
    url: str = ""
    budget: Limits = field(default_factory=Limits)

    async def runner_of_token(self, _token, _address):
        return RunnerIdentity("default", "hello", UID, 1, "hello-1", "pod-1", budget=self.budget)

    @property
    def calls(self):
        return [call for job in self.history.jobs_by_uid.values() for call in job.calls.values()]


@asynccontextmanager
async def _serving(made: Proxy):
    env = {"GOOGLE_API_KEY": "AIza-of-the-installation", "GOOGLE_GEMINI_BASE_URL": made.fake.gemini}
    env |= {"OPENAI_API_KEY": "sk-of-the-installation", "OPENAI_BASE_URL": made.fake.openai}
    env |= {"ANTHROPIC_API_KEY": "sk-ant-of-the-installation", "ANTHROPIC_BASE_URL": made.fake.anthropic}
    models, metrics, keys = from_environment(env), ProxyMetrics(), Keys()
    ledger = MemoryModelCalls(made.history)
    settlements = Settlements(ledger)
    limiter = Limiter(MemoryModelLimits(made.history.now), proxy="p")

    async def key_of(way):
        return "" if way.key.source is None else keys.read(way.key.source)

    async with Upstream() as upstream:
        sender = Sender(limiter=limiter, upstream=upstream, key_of=key_of, metrics=metrics, clock=time.monotonic)
        requests = Requests({}, registry=metrics.registry, clock=time.monotonic)
        requests.exchange = Exchange(
            authenticator=made,
            models=lambda: models,
            ledger=ledger,
            settlements=settlements,
            sender=sender,
            checker=Checker(upstream),
            metrics=metrics,
            proxy="p",
        )
        server = Server(requests, per_address=None)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        settling = asyncio.create_task(settlements.run())
        made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            listening.close()
            await requests.stop(1.0)
            await server.shutdown(1.0)
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            await settlements.drain(1.0)
            await limiter.close()


@contextmanager
def in_a_thread():
    ready, found = threading.Event(), []

    async def run():
        async with serving(Answer(used=Used(input=1000, output=100, cached=600))) as fake:
            start = MemoryStart(attempt=1, pod="hello-1", pod_uid="pod-1", claimed=datetime.now(UTC))
            history = MemoryHistory()
            history.jobs_by_uid[UID] = MemoryJob(SimpleNamespace(uid=UID), datetime.now(UTC), starts={1: start})
            made, end = Proxy(fake, history), asyncio.Event()
            async with _serving(made):
                found.extend([made, asyncio.get_running_loop(), end])
                ready.set()
                await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(20), "the proxy did not start"
    made, loop, end = found
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


@pytest.fixture
def proxy():
    with in_a_thread() as made:
        yield made


@pytest.fixture
def run(start, gateway, proxy):
    def begin(*models, kind="SequentialAgent", mode="NONE"):
        members = [{"name": f"m{n}", "instruction": "Help.", "model": model} for n, model in enumerate(models)]
        names = [member["name"] for member in members]
        inline = {"name": "team", "agentClass": kind, "subAgents": names, "agents": members}
        told = gateway(
            agent={"inline": inline, "runConfig": {"streaming_mode": mode}}, steps={"llm": {"maxAttempts": 1}}
        )
        told.attempt["uid"] = UID
        return told, start(told, **{contract.ENV_MODELS_URL: proxy.url}).wait()

    return begin


@pytest.mark.parametrize("mode", ["NONE", "SSE"])
def test_each_call_is_priced_and_belongs_to_its_step(run, proxy, mode):
    told, process = run(*MODELS.values(), mode=mode)

    assert process.verdict == ("Succeed", "ResultAccepted"), process.err
    steps = [step["key"] for step in told.steps if step["kind"] == "model"]
    assert [(call.new.step, call.new.requested) for call in proxy.calls] == list(
        zip(steps, MODELS.values(), strict=True)
    )
    assert all(call.end.cost > 0 and call.end.tokens.cached == 600 for call in proxy.calls)
    usage = [step["usage"] for step in told.steps if step["kind"] == "model"]
    assert [(used["inputTokens"], used["outputTokens"]) for used in usage] == [(1000, 100)] * 3


def test_no_pod_sends_a_key_and_no_provider_gets_a_token(run, proxy):
    _, process = run(*MODELS.values())
    token = (process.folder / "token").read_text()

    assert process.verdict == ("Succeed", "ResultAccepted"), process.err
    assert all("of-the-installation" in seen.key for seen in proxy.fake.seen)
    assert not any(token in str(seen.headers) or contract.HEADER_STEP in seen.headers for seen in proxy.fake.seen)


def test_a_budget_enforced_by_the_proxy_ends_the_start(run, proxy):
    proxy.budget = Limits(llm_calls=2)
    _, process = run(*MODELS.values())

    assert process.verdict == ("Fail", "BudgetExceeded"), process.err
    assert len(proxy.fake.seen) == 2


def test_parallel_members_do_not_exceed_a_limit_of_the_proxy(run, proxy):
    proxy.budget = Limits(llm_calls=3)
    _, process = run(*MODELS.values(), *MODELS.values(), kind="ParallelAgent")

    assert process.verdict == ("Fail", "BudgetExceeded"), process.err
    assert len(proxy.fake.seen) == 3


def test_a_pod_whose_start_was_claimed_by_another_exits(run, proxy):
    proxy.history.jobs_by_uid[UID].starts[1].pod_uid = "another-pod"
    _, process = run("openai/gpt-5-mini")
    assert (process.code, proxy.fake.seen) == (contract.EXIT_FENCED, [])


def test_no_call_passes_while_history_is_unavailable(run, proxy):
    proxy.history.away = True
    _, process = run("openai/gpt-5-mini")
    assert process.message.verdict in ("Retry", "Snooze"), process.err
    assert proxy.fake.seen == []
