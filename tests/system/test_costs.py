"""Budgets in dollars: a whole cluster with the model proxy, and a provider that reports the usage of each call."""

import asyncio

import pytest
import pytest_asyncio
from tests.modelproviders import Answer, Failure, Used, in_thread

from agentjobs.dev.programs import handed_to_models
from agentjobs.dev.up import up
from agentjobs.history.database import Database
from agentjobs.history.model_limits import ModelLimits
from agentjobs.reconcile.job.exhausted import LOAD_SECONDS
from devcluster.client import NAMESPACES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("costs")]

MODEL = "gemini-flash-latest"
# Of the shipped table: 1.50 dollars for a million tokens of input, 7.50 for output; so a call costs 0.009.
CALL = Answer("A chapter.", used=Used(1000, 1000))
WRITER = {"name": "writer", "instruction": "Write the next chapter.", "maxOutputTokens": 1000}
BOOK = {"agentClass": "LoopAgent", "maxIterations": 5, "subAgents": ["writer"], "agents": [WRITER]}


@pytest.fixture(scope="module")
def fake():
    with in_thread(CALL) as providers:
        yield providers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(fake, systems, checkout, backend, forks, tmp_path_factory):
    environ = {"GOOGLE_API_KEY": "key-of-google", "GOOGLE_GEMINI_BASE_URL": fake.gemini}
    folder = tmp_path_factory.mktemp("cluster")
    made = up(folder, apiserver=backend, providers=handed_to_models(environ), working_folder=checkout, forks=forks)
    async with made as cluster:
        yield systems(cluster)


async def test_a_budget_in_dollars_is_exceeded_by_one_call_and_raised(system, job_of, fake, said):
    budget = {"maxCostUSD": "0.02", "onExceeded": "Suspend"}
    await system.apply(*job_of("book", agent={"model": MODEL, "inline": BOOK}, budget=budget))
    kept = await system.phase("book", "Suspended")
    assert (said(kept, "Suspended", "reason"), kept["attempts"], len(fake.seen)) == ("BudgetExceeded", 1, 3)

    await system.edit("book", budget={"maxCostUSD": "1.00"})
    status = await system.finished("book")

    assert (status["phase"], status["starts"], len(fake.seen)) == ("Succeeded", 2, 5)
    assert status["usage"]["costUSD"] == "0.045"


async def test_twenty_parallel_agents_exceed_a_budget_by_one_call_at_most(system, job_of, fake):
    before = len(fake.seen)
    names = [f"agent_{number}" for number in range(20)]
    agents = [{**WRITER, "name": name} for name in names]
    inline = {"agentClass": "ParallelAgent", "subAgents": names, "agents": agents}
    await system.apply(*job_of("crowd", agent={"model": MODEL, "inline": inline}, budget={"maxCostUSD": "0.05"}))

    status = await system.finished("crowd")

    assert (status["phase"], status["reason"]) == ("Failed", "BudgetExceeded")
    assert 0.05 <= float(status["usage"]["costUSD"]) <= 0.05 + 0.009
    assert len(fake.seen) - before == 6


async def test_a_job_is_delayed_while_the_provider_asks_to_wait(system, job_of, fake):
    kube_system = await system.client.get(NAMESPACES, None, "kube-system")
    one = {"model": MODEL, "inline": {"instruction": "Be brief."}}
    fake.script(Failure(429, "too many", retry_after=15))
    await system.apply(*job_of("first", agent=one))
    async with Database(system.cluster.dsn) as database, asyncio.timeout(60):
        limits = ModelLimits(database, cluster=kube_system["metadata"]["uid"])
        while not await limits.exhausted_models():
            await asyncio.sleep(0.1)
    await asyncio.sleep(LOAD_SECONDS + 0.5)  # what the operator asked for the first job's start is too old then
    await system.apply(*job_of("second", agent=one))
    waiting = await system.until("second", lambda status: status.get("reason") == "WaitingForModelLimit", seconds=15)
    first, second = await system.finished("first"), await system.finished("second")

    assert waiting.get("starts", 0) == 0
    assert (first["phase"], second["phase"], second["starts"]) == ("Succeeded", "Succeeded", 1)


def a_queue(name, **spec):
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentQueue", "metadata": {"name": name}, "spec": spec}


def spent_so(dollars):
    return lambda status: [one["costUSD"] for one in status.get("spend", [])] == [dollars]


async def test_the_cost_of_calls_counts_for_their_queue_and_holds_its_next_job(system, job_of, fake):
    before = len(fake.seen)
    day = {"name": "day", "period": "Daily", "maxCostUSD": "0.005"}
    one = {"model": MODEL, "inline": {"instruction": "Be brief."}}
    await system.apply(a_queue("thrifty", budgets=[day]), *job_of("spends", agent=one, queue="thrifty"))
    await system.finished("spends")
    await system.until("thrifty", spent_so("0.009"), status_of=system.queue)
    await system.apply(*job_of("held", agent=one, queue="thrifty"))
    await system.until("held", lambda status: status.get("reason") == "BudgetHeld")
    calls = len(fake.seen) - before
    await system.edit_queue("thrifty", budgets=[{**day, "maxCostUSD": "1"}])
    status = await system.finished("held")

    assert (calls, len(fake.seen) - before, status["phase"]) == (1, 2, "Succeeded")


async def test_a_budget_of_the_queue_suspends_a_running_job_after_its_step(system, job_of, fake, said):
    day = {"name": "day", "period": "Daily", "maxCostUSD": "0.005", "action": "Suspend"}
    fake.script(CALL, Answer("A chapter.", used=Used(1000, 1000), delay=12))
    await system.apply(a_queue("strict", budgets=[day]))
    await system.apply(*job_of("novel", agent={"model": MODEL, "inline": BOOK}, queue="strict"))
    kept = await system.phase("novel", "Suspended")
    await system.edit_queue("strict", budgets=[{**day, "maxCostUSD": "1"}])
    status = await system.finished("novel")

    assert said(kept, "Suspended", "reason") == "QueueBudgetExceeded"
    assert (status["phase"], status["attempts"], status["starts"]) == ("Succeeded", 1, 2)
