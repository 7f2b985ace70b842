"""One request with a ledger and limits in memory, and a provider of a few lines."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentjobs import errors
from agentjobs.auth import RunnerIdentity
from agentjobs.contract import HEADER_MAX_WAIT, read_refusal
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_model_calls import MemoryModelCalls
from agentjobs.history.memory_model_limits import MemoryModelLimits
from agentjobs.history.records import Acceptance, JobKey, JobRecord, StartRecord
from agentjobs.models.budget import Limits
from agentjobs.models.config import parse
from agentjobs.proxy import apis
from agentjobs.proxy.checker import Denied, Failed, Redacted
from agentjobs.proxy.exchange import Exchange
from agentjobs.proxy.limits import Limiter
from agentjobs.proxy.metrics import ProxyMetrics
from agentjobs.proxy.sending import Sender
from agentjobs.proxy.settlements import Settlements
from agentjobs.proxy.upstream import CutShort, FailureCause, Unreachable, retry_after

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
MODELS = """
providers:
- {name: anthropic, kind: Anthropic, baseUrl: "http://a", keys: [{name: main, file: /a}, {name: other, file: /b}]}
prices: [{models: ["anthropic/*"], input: "1", output: "10", maxOutput: 1000}]
fallbacks: [{model: anthropic/big, to: [anthropic/small], after: 1s}]
"""
LIMITED = MODELS.replace("file: /a}", "file: /a, limits: [{concurrentCalls: 1, requestsPerMinute: 5}]}").replace(
    ", {name: other, file: /b}", ""
)
BODY = {"model": "big", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "big",
    "content": [{"type": "text", "text": "yes"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 100, "output_tokens": 10},
}


class Answer:
    """A provider's answer, in pieces that take a turn of the loop each."""

    media_type, retry_after = "application/json", ""

    def __init__(self, status=200, body=ANSWER, cut=None, **headers):
        self.status, self.headers, self._body, self._cut = status, headers, json.dumps(body).encode(), cut
        self.retry_after = headers.get("retry_after", "")

    async def pieces(self):
        for begin in range(0, len(self._body), 64):
            await asyncio.sleep(0)
            if self._cut is not None and begin >= self._cut:
                raise CutShort(FailureCause.BROKEN, "cut")
            yield self._body[begin : begin + 64]

    async def start(self, most):
        await asyncio.sleep(0)
        return self._body[:most]


class Silent(Answer):
    """An answer whose model thinks before it says anything."""

    def __init__(self, said=b""):
        super().__init__()
        self._said = said

    async def pieces(self):
        yield self._said
        await asyncio.Event().wait()


class Provider:
    """Upstream: gives the answers it was told to, then good ones."""

    def __init__(self):
        self.answers, self.seen, self.open = [], [], 0

    @asynccontextmanager
    async def send(self, method, url, headers, body):
        self.seen.append((url, headers, body))
        self.open += 1
        try:
            await asyncio.sleep(0)
            answer = self.answers.pop(0) if self.answers else Answer()
            if isinstance(answer, Exception):
                raise answer
            yield answer
        finally:
            self.open -= 1


class Client:
    """A pod's client, as `client.Client`; each of its steps takes a turn of the loop."""

    def __init__(self, body=BODY, headers=()):
        self.method, self.path, self.query, self.address = "POST", "/anthropic/v1/messages", "", "10.0.0.1"
        self.headers, self.parameters = {"x-api-key": "token", **dict(headers)}, {}
        self.status, self.came, self.is_whole, self.is_cut, self.held = 0, b"", False, False, 0
        self._body = json.dumps(body).encode()

    @asynccontextmanager
    async def body(self, most):
        self.held += 1
        try:
            await asyncio.sleep(0)
            yield self._body
        finally:
            self.held -= 1

    async def begin(self, status, headers, *, streamed=False):
        await asyncio.sleep(0)
        self.status, self.told = status, headers

    async def write(self, piece):
        assert self.status
        await asyncio.sleep(0)
        self.came += piece

    async def end(self):
        await asyncio.sleep(0)
        self.is_whole = True

    def cut(self):
        self.is_cut = True

    @property
    def refusal(self):
        code = read_refusal(json.loads(self.came)["error"]["type"])
        return self.status, code.error_class if code is not None else ""


class Ledger(MemoryModelCalls):
    """The ledger behind a network."""

    def __init__(self, history):
        super().__init__(history)
        self.fails = None

    async def reserve(self, call):
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        reserved = await super().reserve(call)
        await asyncio.sleep(0)
        return reserved

    async def settle(self, ends):
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        await super().settle(ends)

    @property
    def calls(self):
        return [call for job in self._history.jobs_by_uid.values() for call in job.calls.values()]


class MemoryLimits(MemoryModelLimits):
    async def take(self, *asked):
        await asyncio.sleep(0)
        taken = await super().take(*asked)
        await asyncio.sleep(0)
        return taken


class Checker:
    said = None

    async def check(self, entry, **asked):
        await asyncio.sleep(0)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class World:
    """Everything around one exchange."""

    def __init__(self, models, budget, max_wait):
        self.history = MemoryHistory(now=lambda: NOW)
        self.ledger = Ledger(self.history)
        self.limits = MemoryLimits(now=lambda: datetime.now(UTC))
        self.limiter = Limiter(self.limits, proxy="p")
        self.settlements = Settlements(self.ledger)
        self.provider = Provider()
        self.checker = Checker()
        self.metrics = ProxyMetrics()
        self.runner = RunnerIdentity("default", "hello", "u1", 1, "hello-1", "p1", queue="q", budget=budget)
        self.keys = {"anthropic/main": "k1", "anthropic/other": "k2"}
        loop = asyncio.get_running_loop()
        sender = Sender(
            limiter=self.limiter, upstream=self.provider, key_of=self.key, metrics=self.metrics, clock=loop.time
        )
        self.exchange = Exchange(
            authenticator=self,
            models=lambda: models,
            ledger=self.ledger,
            settlements=self.settlements,
            sender=sender,
            checker=self.checker,
            metrics=self.metrics,
            proxy="p",
            clock=loop.time,
        )
        self.exchange._max_wait = max_wait
        self.writing = asyncio.create_task(self.settlements.run())

    async def runner_of_token(self, token, address):
        await asyncio.sleep(0)
        return self.runner

    async def key(self, way):
        await asyncio.sleep(0)
        if way.key.name not in self.keys:
            raise errors.Misconfigured(f"{way.key.source.place}: is empty")
        return self.keys[way.key.name]

    async def begin(self):
        job = JobKey("u1", "default", "hello", NOW, "")
        resolved = {"spec": {"retry": {"maxAttempts": 3}}, "scripts": {}}
        await self.history.accept(Acceptance(JobRecord(job, resolved, "x"), StartRecord(job, 1, 1, "hello-1", NOW)))
        await self.history.claim("u1", 1, "p1", namespace="default", job="hello")

    async def ask(self, client=None):
        client = client or Client()
        api, path = apis.find(client.path)
        await self.exchange.serve(client, api, path)
        return client

    async def settle(self):
        await self.settlements.drain(5)
        return [call.end for call in self.ledger.calls]

    def held(self):
        """What is still taken anywhere."""
        return {
            "calls": [call for call in self.ledger.calls if call.end is None],
            "turns": dict(self.exchange._per_pod._taken),
            "running": dict(self.limits._running),
            "open": self.provider.open,
        }


NOTHING_HELD = {"calls": [], "turns": {}, "running": {}, "open": 0}


@pytest.fixture
async def world():
    made = []

    async def build(models=MODELS, *, budget=None, max_wait=60.0, checker=False):
        text = models + ('checker: {url: "http://c"}' if checker else "")
        world = World(parse(text), budget or Limits(), max_wait)
        await world.begin()
        made.append(world)
        return world

    yield build
    for world in made:
        world.writing.cancel()
        await world.limiter.close()


async def test_a_call_is_reserved_sent_with_the_providers_key_answered_and_settled(world):
    here = await world()

    client = await here.ask(Client(headers={"Agentjobs-Step": "main/1"}))

    (end,) = await here.settle()
    url, headers, body = here.provider.seen[0]
    assert (client.status, json.loads(client.came), client.is_whole) == (200, ANSWER, True)
    assert (url, headers["x-api-key"], json.loads(body)) == ("http://a/v1/messages", "k1", BODY)
    assert (end.outcome, end.tokens.input, str(end.cost), end.queue) == ("Answered", 100, "0.0002", "q")
    assert here.ledger.calls[0].new.step == "main/1"


@pytest.mark.parametrize(
    ("header", "step"),
    [("1|Zo%C3%AB#2", "1|Zoë#2"), ("a%20b%25", "a b%"), ("%C3%AB" * 512, "ë" * 512), ("a" * 513, ""), ("%FF", "")],
)
async def test_a_call_is_recorded_with_the_key_of_its_step(world, header, step):
    here = await world()
    await here.ask(Client(headers={"Agentjobs-Step": header}))
    assert here.ledger.calls[0].new.step == step


@pytest.mark.parametrize("turns", range(60))
async def test_a_disconnect_at_any_time_leaves_nothing_reserved_or_taken(world, turns):
    here, client = await world(LIMITED), Client()

    asking = asyncio.create_task(here.ask(client))
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await here.settle()
    await here.limiter.close()

    assert (here.held(), client.held) == (NOTHING_HELD, 0)


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_an_outage_of_the_database_at_any_time_is_reported_and_leaves_nothing_taken(world, turns):
    here = await world(LIMITED)

    asking = asyncio.create_task(here.ask())
    for _ in range(turns):
        await asyncio.sleep(0)
    here.ledger.fails = errors.Unavailable("away")
    client = await asking
    here.ledger.fails = None
    await here.settle()
    await here.limiter.close()

    assert client.is_whole
    assert client.status in (200, 503)
    assert here.held() == NOTHING_HELD


async def test_a_disconnect_ends_the_wait_for_a_turn(world):
    here = await world(LIMITED)
    asking = [asyncio.create_task(here.ask()) for _ in range(3)]
    for _ in range(12):
        await asyncio.sleep(0)

    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await here.settle()
    await here.limiter.close()

    assert here.held() == NOTHING_HELD


@pytest.mark.parametrize(
    ("answers", "status", "keys"),
    [
        pytest.param([Answer(429)], 200, ["k1", "k2"], id="busy-key"),
        pytest.param([Answer(503)], 200, ["k1", "k2"], id="down"),
        pytest.param([Unreachable(FailureCause.REFUSED, "no host")], 200, ["k1", "k2"], id="no-connection"),
        pytest.param([Answer(401)], 200, ["k1", "k2"], id="bad-key"),
        pytest.param([Answer(429, {"error": {"code": "insufficient_quota"}})], 200, ["k1", "k2"], id="no-credit"),
        pytest.param([Answer(400)], 400, ["k1"], id="its-own-400"),
        pytest.param([Answer(404)], 404, ["k1"], id="its-own-404"),
        pytest.param([Answer(401), Answer(403)], 403, ["k1", "k2"], id="no-key-is-good"),
        pytest.param([Answer(302)], 502, ["k1"], id="a-redirection"),
    ],
)
async def test_the_next_key_is_tried_when_one_fails(world, answers, status, keys):
    here = await world(MODELS.partition("fallbacks")[0])
    here.provider.answers = answers

    client = await here.ask()

    (end,) = await here.settle()
    assert (client.status, [headers["x-api-key"] for _, headers, _ in here.provider.seen]) == (status, keys)
    assert end.outcome == ("Answered" if status == 200 else "Failed")


async def test_the_providers_error_is_passed_on_if_every_key_is_closed_for_too_long(world):
    here = await world(max_wait=1.0)
    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slower"}}
    here.provider.answers = [Answer(429, error, retry_after="30") for _ in range(4)]

    client = await here.ask()

    assert (client.status, json.loads(client.came), client.told["retry_after"]) == (429, error, "30")
    assert len(here.provider.seen) == 4  # two keys, two models


async def test_a_fallback_replaces_an_unavailable_model_and_the_answer_says_so(world):
    here = await world()
    here.provider.answers = [Answer(503)] * 4  # two keys, twice within the second

    client = await here.ask()

    (end,) = await here.settle()
    assert (client.status, client.told["Agentjobs-Model"]) == (200, "anthropic/small")
    assert (end.model, json.loads(here.provider.seen[-1][2])["model"]) == ("anthropic/small", "small")


async def test_an_answer_that_is_cut_off_is_settled_at_what_was_received_and_cut_off_for_the_client(world):
    here = await world()
    here.provider.answers = [Answer(cut=128)]

    client = await here.ask()

    (end,) = await here.settle()
    assert (client.is_cut, client.is_whole) == (True, False)
    assert (end.outcome, end.estimated, end.cost > 0) == ("Cut", True, True)
    assert end.cost <= here.ledger.calls[0].new.cost


async def test_the_last_chunk_of_an_answer_is_sent_when_the_answer_is_complete(world):
    here = await world()
    half = Answer()
    half._body = half._body[:-40]
    here.provider.answers = [half]

    client = await here.ask()

    assert (client.is_cut, client.is_whole, len(client.came) < len(half._body)) == (True, False, True)


async def test_a_key_quoted_by_a_provider_is_not_passed_on(world):
    here = await world()
    here.provider.answers = [Answer(400, {"error": {"message": "bad key k1"}})]

    client = await here.ask()

    assert (client.status, b"k1" in client.came) == (502, False)


async def test_missing_keys_are_named(world):
    here = await world()
    here.keys = {}

    client = await here.ask()

    assert client.refusal == (403, "ModelAuth")
    assert b"anthropic/other: /b: is empty" in client.came


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        pytest.param(Denied("secrets"), (403, "ContentBlocked"), id="denied"),
        pytest.param(Failed(), (503, "ModelUnavailable"), id="failed"),
    ],
)
async def test_a_call_refused_by_the_checker_reaches_no_provider_and_reserves_nothing(world, said, refusal):
    here = await world(checker=True)
    here.checker.said = said

    client = await here.ask()

    assert (client.refusal, here.provider.seen, here.ledger.calls) == (refusal, [], [])


async def test_a_request_redacted_by_the_checker_replaces_the_original(world):
    here = await world(checker=True)
    other = BODY | {"messages": [{"role": "user", "content": "[name]"}]}
    here.checker.said = Redacted(json.dumps(other).encode())

    await here.ask()

    assert json.loads(here.provider.seen[0][2]) == other


async def test_a_checker_cannot_return_an_invalid_request(world):
    here = await world(checker=True)
    here.checker.said = Redacted(b'"text"')

    client = await here.ask()

    assert (client.refusal, here.provider.seen) == ((400, "ModelBadRequest"), [])


async def test_simultaneous_calls_share_a_budget_and_one_gets_the_rest(world):
    here = await world(budget=Limits(llm_calls=4))

    clients = await asyncio.gather(*(here.ask() for _ in range(12)))

    assert sorted(client.status for client in clients) == [200] * 4 + [402] * 8
    assert len(here.provider.seen) == 4


async def test_a_call_without_budget_because_of_others_waits_and_is_then_refused_with_a_retry_delay(world):
    here = await world(budget=Limits(tokens=500), max_wait=0.2)
    held = asyncio.Event()
    pieces = Answer.pieces

    async def slow(self):
        await held.wait()
        async for piece in pieces(self):
            yield piece

    here.provider.answers = [Answer()]
    here.provider.answers[0].pieces = lambda: slow(here.first)
    here.first = Answer()
    first = asyncio.create_task(here.ask(Client(BODY | {"max_tokens": 450})))
    await asyncio.sleep(0.05)

    second = await here.ask(Client(BODY | {"max_tokens": 450}))
    held.set()

    assert second.refusal == (429, "ModelRateLimited")
    assert int(second.told["retry-after"]) > 0
    assert (await first).status == 200


@pytest.mark.parametrize(
    ("told", "max_wait"), [("9", 9.0), ("900", 100.0), ("-1", 100.0), ("soon", 100.0), ("", 100.0)]
)
async def test_a_call_does_not_wait_longer_than_its_client(world, told, max_wait):
    here = await world(max_wait=100.0)

    assert here.exchange._max_wait_of(Client(headers={HEADER_MAX_WAIT: told})) == max_wait


async def test_a_pod_that_is_not_the_current_one_is_fenced(world):
    here = await world()
    here.ledger.fails = errors.Fenced("another pod")

    client = await here.ask()

    assert (client.status, here.provider.seen) == (409, [])


async def test_requests_and_answers_are_recorded_if_the_installation_says_so(world):
    here = await world(MODELS + "recordContent: All\n")

    await here.ask()

    (end,) = await here.settle()
    assert end.content == {"request": BODY, "answer": ANSWER}


async def test_two_keys_in_one_request_are_refused(world):
    here = await world()

    client = await here.ask(Client(headers={"Authorization": "Bearer other", "authorization": "Bearer other"}))

    assert (client.status, here.provider.seen) == (401, [])


GEMINI = """
providers:
- {name: google, kind: Gemini, baseUrl: "http://g", keys: [{name: main, file: /a}, {name: other, file: /b}]}
"""


async def test_a_providers_stored_objects_are_created_and_deleted_with_the_same_key(world):
    here = await world(GEMINI)
    here.keys = {"google/main": "k1", "google/other": "k2"}
    made, gone = Client({"model": "models/gemini-2.5-flash", "contents": []}), Client()
    made.path, gone.path = "/gemini/v1beta/cachedContents", "/gemini/v1beta/cachedContents/abc"
    gone.method, gone._body = "DELETE", b""

    for client in (made, gone):
        await here.ask(client)

    assert [headers["x-goog-api-key"] for _, headers, _ in here.provider.seen] == ["k1", "k1"]
    assert here.provider.seen[1][0] == "http://g/v1beta/cachedContents/abc"
    assert len(here.ledger.calls) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, "30"),
        ({"retry-after": "Sun, 29 Nov 1998 09:00:30 GMT", "date": "Sun, 29 Nov 1998 09:00:00 GMT"}, "30"),
        ({"retry-after": "Sun, 29 Nov 1998 08:00:00 GMT", "date": "Sun, 29 Nov 1998 09:00:00 GMT"}, "0"),
        ({"retry-after": "Sun, 29 Nov 1998 09:00:30 GMT"}, ""),
        ({"retry-after": "soon", "date": "Sun, 29 Nov 1998 09:00:00 GMT"}, ""),
        ({}, ""),
    ],
)
def test_a_retry_date_is_relative_to_the_providers_clock(headers, seconds):
    assert retry_after(headers) == seconds


CHATS = """
providers: [{name: openai, kind: OpenAI, baseUrl: "http://a", keys: [{name: main, file: /a}]}]
prices: [{models: ["openai/*"], input: "1", output: "10", maxOutput: 1000}]
"""


@pytest.mark.parametrize(
    ("budget", "status"),
    [
        (Limits(cost=Decimal(1)), 400),
        (Limits(tokens=10_000), 400),
        (Limits(llm_calls=5), 200),
    ],
)
async def test_a_stream_without_usage_is_refused_if_usage_is_limited(world, budget, status):
    here = await world(CHATS, budget=budget)
    here.keys["openai/main"] = "k"
    client = Client({"model": "big", "stream": True, "messages": []})
    client.path = "/openai/v1/chat/completions"

    await here.ask(client)

    assert client.status == status
    assert b"include_usage" in client.came or status == 200


async def test_a_disconnect_before_the_usage_is_charged_for_the_thinking_time(world):
    here, client = await world(), Client({**BODY, "stream": True, "max_tokens": 1000})
    here.provider.answers = [Silent()]
    asking = asyncio.create_task(here.ask(client))
    await asyncio.sleep(0.1)

    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    (end,) = await here.settle()
    assert (end.outcome, end.estimated) == ("Cut", True)
    assert 10 <= end.tokens.output <= 1000


async def test_a_disconnect_between_a_chats_last_text_and_its_usage_is_charged_for_its_time(world):
    here = await world(CHATS)
    here.keys["openai/main"] = "k"
    client = Client({"model": "big", "stream": True, "stream_options": {"include_usage": True}, "messages": []})
    client.path = "/openai/v1/chat/completions"
    here.provider.answers = [Silent(b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n')]
    asking = asyncio.create_task(here.ask(client))
    await asyncio.sleep(0.1)

    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

    (end,) = await here.settle()
    assert (end.outcome, end.estimated) == ("Cut", True)
    assert end.tokens.output >= 10


async def test_an_input_of_unknown_size_reserves_the_models_whole_context(world):
    here = await world(budget=Limits(cost=Decimal(100)))
    document = {"type": "document", "source": {"type": "url", "url": "https://example.test/a.pdf"}}

    await here.ask(Client({**BODY, "messages": [{"role": "user", "content": [document]}]}))

    assert here.ledger.calls[0].new.cost >= 1
    (end,) = await here.settle()
    assert str(end.cost) == "0.0002"
