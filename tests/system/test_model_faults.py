"""What a provider does wrong, and a proxy that is killed, as jobs see it: a whole cluster, and fake providers."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import pytest_asyncio
from psycopg.rows import namedtuple_row
from tests.modelproviders import Answer, Cut, Failure, Garbage, Used, in_thread

from agentjobs.dev.programs import handed_to_models
from agentjobs.dev.up import up

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("model-faults"),
    pytest.mark.alone("a proxy of others is not killed for a test"),
]

KEY = "key-of-the-installation"
MODELS = {"gemini": "gemini-flash-latest", "openai": "openai/gpt-5", "anthropic": "anthropic/claude-sonnet-4-5"}
WHOLE = "The whole answer, from its beginning to its end."
ANSWER = Answer(WHOLE, used=Used(1000, 100), pieces=6)


@pytest.fixture(scope="module")
def fake():
    with in_thread(ANSWER) as providers:
        yield providers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(fake, systems, checkout, backend, forks, tmp_path_factory):
    environ = {
        **dict.fromkeys(("GOOGLE_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"), KEY),
        "GOOGLE_GEMINI_BASE_URL": fake.gemini,
        "OPENAI_BASE_URL": fake.openai,
        "ANTHROPIC_BASE_URL": fake.anthropic,
    }
    folder = tmp_path_factory.mktemp("cluster")
    made = up(folder, apiserver=backend, providers=handed_to_models(environ), working_folder=checkout, forks=forks)
    async with made as cluster:
        yield systems(cluster)


@pytest.fixture
def job_with_a_call(job_of):
    """A job of one model call."""

    def build(name, kind, *, streamed=False, **spec):
        run = {"runConfig": {"streaming_mode": "SSE"}} if streamed else {}
        inline = {"instruction": "Be brief.", "maxOutputTokens": 500}
        retry = {"maxAttempts": 1}
        llm = {"maxAttempts": 2, "backoff": {"initial": "100ms"}}
        agent = {"model": MODELS[kind], "inline": inline, **run}
        return job_of(name, agent=agent, retry=retry, steps={"llm": llm}, **spec)

    return build


async def calls(system, name):
    """What the ledger has of a job's calls, once all have ended."""
    query = """
        SELECT c.* FROM agentjobs.model_calls c JOIN agentjobs.jobs j USING (uid)
        WHERE j.name = %s AND j.namespace = %s ORDER BY c.began
    """
    async with (
        asyncio.timeout(60),
        await psycopg.AsyncConnection.connect(
            system.cluster.dsn, autocommit=True, row_factory=namedtuple_row
        ) as connection,
    ):
        while True:
            found = await (await connection.execute(query, [name, system.namespace])).fetchall()
            if found and all(call.ended for call in found):
                return found
            await asyncio.sleep(0.1)


WHOLE_BUT = Answer(WHOLE, pieces=6)
HALF = b'data: {"candidates": [{"content": {"role": "model", "parts": [{"text": "The whole'
ENDED = b'data: {"candidates": [{"content": {"role": "model", "parts": [{"text": "The whole"}]}}]}\r\n\r\n'
FAULTS = {
    "whole": {
        "cut": Cut(),
        "cut-within": replace(WHOLE_BUT, cut_after=0),
        "wrong-length": replace(WHOLE_BUT, missing=10),
        "garbage": Garbage(HALF, content_type="application/json"),
        "nothing": Garbage(b"", content_type="application/json"),
        "a-page": Garbage(),
        "busy": Failure(503, "try later"),
    },
    "streamed": {
        "cut": Cut(),
        "cut-between": replace(WHOLE_BUT, cut_after=4),
        "cut-within": replace(WHOLE_BUT, cut_within=4),
        "garbage": Garbage(HALF, content_type="text/event-stream"),
        "no-end": Garbage(ENDED, content_type="text/event-stream"),
        "nothing": Garbage(b"", content_type="text/event-stream"),
        "a-page": Garbage(),
    },
}


@pytest.mark.parametrize("manner", [*FAULTS])
@pytest.mark.parametrize("kind", [*MODELS])
async def test_no_job_succeeds_with_an_incomplete_answer(system, job_with_a_call, fake, said, kind, manner):
    names = {f"{kind}-{manner}-{fault}": behaviour for fault, behaviour in FAULTS[manner].items()}
    met = set()

    def choose(seen):
        found = next((name for name in names if f"I am {name}." in seen.body.decode()), None)
        if found is None or found in met:
            return None
        met.add(found)
        return names[found]

    fake.choose = choose
    for name in names:
        await system.apply(
            *job_with_a_call(name, kind, streamed=manner == "streamed", input={"message": f"I am {name}."})
        )
    ends = {name: await system.finished(name) for name in names}
    fake.choose = lambda seen: None

    told = {name: (end["phase"], end.get("result", {}).get("summary")) for name, end in ends.items()}
    assert told == dict.fromkeys(names, ("Succeeded", WHOLE)), [said(end, "Failed", "message") for end in ends.values()]
    assert met == {*names}


@pytest.mark.parametrize("kind", [*MODELS])
async def test_a_job_with_only_incomplete_answers_fails(system, job_with_a_call, fake, kind):
    fake.choose = lambda seen: replace(WHOLE_BUT, cut_after=4)
    await system.apply(*job_with_a_call(f"{kind}-half", kind, streamed=True))

    status = await system.finished(f"{kind}-half")
    fake.choose = lambda seen: None

    assert (status["phase"], "result" in status) == ("Failed", False)
    assert [call.outcome for call in await calls(system, f"{kind}-half")] == ["Cut", "Cut"]


@pytest.mark.parametrize("raw", [None, {}], ids=["missing", "empty"])
@pytest.mark.parametrize("kind", [*MODELS])
async def test_missing_usage_is_estimated_and_the_job_succeeds(system, job_with_a_call, fake, kind, raw):
    name = f"{kind}-usage-{'missing' if raw is None else 'empty'}"
    fake.script(Answer(WHOLE, used=None, raw_usage=raw))
    await system.apply(*job_with_a_call(name, kind))

    status = await system.finished(name)

    call, *_ = await calls(system, name)  # Anthropic's client takes no message without usage
    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", WHOLE)
    assert (call.outcome, call.estimated, 0 < call.cost <= call.reserved_cost) == ("Answered", True, True)


@pytest.mark.parametrize("kind", [*MODELS])
async def test_absurd_usage_does_not_use_up_the_budget(system, job_with_a_call, fake, kind):
    names = {
        "gemini": {"promptTokenCount": -5, "candidatesTokenCount": 10**15, "totalTokenCount": 10**15},
        "openai": {"prompt_tokens": -5, "completion_tokens": 10**15, "total_tokens": 10**15},
        "anthropic": {"input_tokens": -5, "output_tokens": 10**15},
    }
    fake.script(Answer(WHOLE, used=None, raw_usage=names[kind]))
    await system.apply(*job_with_a_call(f"{kind}-absurd", kind, budget={"maxCostUSD": "5", "maxTokens": 50_000}))

    status = await system.finished(f"{kind}-absurd")

    (call,) = await calls(system, f"{kind}-absurd")
    assert status["phase"] == "Succeeded", status
    assert (call.estimated, call.cost <= call.reserved_cost) == (True, True)
    assert float(status["usage"]["costUSD"]) <= float(call.reserved_cost)


@pytest.mark.parametrize("kind", [*MODELS])
async def test_a_wrong_key_is_named_with_its_location_and_never_shown(system, job_with_a_call, fake, said, kind):
    fake.choose = lambda seen: Failure(401, f"Incorrect API key provided: {KEY}")
    await system.apply(*job_with_a_call(f"{kind}-key", kind))

    status = await system.finished(f"{kind}-key")
    fake.choose = lambda seen: None

    variable = {"gemini": "GOOGLE_API_KEY", "openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}[kind]
    story = await system.job_history(f"{kind}-key")
    assert (status["phase"], status["reason"]) == ("Failed", "ModelAuth")
    message = said(status, "Failed", "message")
    assert (f"Provider {kind} " in message, variable in message) == (True, True), message
    everything = [status, story, await system.events(f"{kind}-key")]
    everything += [system.cluster.parts[part].log.read_text() for part in ("gateway", "operator")]
    assert not [one for one in everything if KEY in str(one)]


async def test_a_used_up_daily_quota_delays_the_job_without_further_starts(system, job_with_a_call, fake, said):
    fake.choose = lambda seen: Failure(429, "quota", retry_after=20, quota="GenerateRequestsPerDayPerProjectPerModel")
    before = len(fake.seen)
    await system.apply(*job_with_a_call("daily", "gemini"))
    status = await system.phase("daily", "Retrying")
    await system.apply(*job_with_a_call("daily-2", "gemini"))
    waiting = await system.until("daily-2", lambda status: status.get("reason") == "WaitingForModelLimit")
    fake.choose = lambda seen: None
    for name in ("daily", "daily-2"):
        await system.edit(name, cancel=True)

    assert ([start["charged"] for start in status["attemptHistory"]], waiting.get("starts", 0)) == ([False], 0)
    assert len(fake.seen) == before + 1


async def test_a_call_of_a_killed_proxy_costs_its_estimate_and_the_step_is_repeated(system, job_with_a_call, fake):
    fake.script(replace(ANSWER, hang_after=4))
    before = len(fake.seen)
    await system.apply(*job_with_a_call("killed", "anthropic", streamed=True))
    await system.until("the provider", lambda seen: seen > before, status_of=lambda _: asyncio.sleep(0, len(fake.seen)))
    await asyncio.sleep(0.5)
    await system.crash("gateway")
    killed = datetime.now(UTC)
    system.start("gateway")
    status = await system.finished("killed")
    await pass_time(system, killed)
    first, second = await calls(system, "killed")

    assert (status["phase"], status["starts"], status["result"]["summary"]) == ("Succeeded", 1, WHOLE)
    assert len(fake.seen) == before + 2
    assert (first.outcome, first.estimated, first.cost) == ("Lost", True, first.reserved_cost)
    assert (second.outcome, second.estimated, first.step) == ("Answered", False, second.step)


async def pass_time(system, killed, seconds=50):
    """Let so much time have passed since the killed proxy was seen."""
    passed = (
        "UPDATE agentjobs.proxies SET since = since - 2 * %(time)s",
        "UPDATE agentjobs.proxies SET seen_at = seen_at - %(time)s WHERE seen_at < %(killed)s",
        "UPDATE agentjobs.model_calls SET began = began - %(time)s WHERE ended IS NULL",
    )
    async with await psycopg.AsyncConnection.connect(system.cluster.dsn) as connection:
        for statement in passed:
            await connection.execute(statement, {"time": timedelta(seconds=seconds), "killed": killed})
