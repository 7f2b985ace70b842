"""Budgets and limits of models, with real runners: scripted models are counted as all others are."""

import pytest

from agentjobs.history.database import Database
from agentjobs.history.model_limits import ModelLimits
from devcluster.client import NAMESPACES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

WRITER = {"name": "writer", "instruction": "Write the next chapter."}
BOOK = {"agentClass": "LoopAgent", "maxIterations": 4, "subAgents": ["writer"], "agents": [WRITER]}


def a_book(job_of, name, *starts, **spec):
    """A job of four model calls; each start's list has the answers that are not recorded yet."""
    script = {"starts": [[{"text": text} for text in texts] for texts in starts]}
    return job_of(name, script, agent={"model": f"scripted/{name}/script", "inline": BOOK}, **spec)


async def test_a_job_is_suspended_at_its_budget_and_continues_when_it_is_raised(system, job_of, said):
    budget = {"maxLLMCalls": 3, "onExceeded": "Suspend"}
    await system.apply(*a_book(job_of, "book", ["one", "two", "three"], ["four"], budget=budget))
    kept = await system.phase("book", "Suspended")
    assert (said(kept, "Suspended", "reason"), kept["starts"], kept["attempts"]) == ("BudgetExceeded", 1, 1)
    assert kept["checkpoint"]["step"] == 3
    await system.event("book", "BudgetExceeded")

    await system.edit("book", budget={"maxLLMCalls": 4})
    status = await system.finished("book")

    assert (status["phase"], status["starts"], status["attempts"]) == ("Succeeded", 2, 1)
    assert status["result"]["summary"] == "four"
    assert status["usage"]["llmCalls"] == 4
    assert status["attemptHistory"][1]["fromStep"] == 3


async def test_a_job_fails_at_its_budget_by_default(system, job_of, said):
    await system.apply(*a_book(job_of, "short", ["one", "two", "three"], budget={"maxLLMCalls": 2}))

    status = await system.finished("short")

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", "BudgetExceeded")
    assert (status["usage"]["llmCalls"], status["starts"]) == (2, 1)


@pytest.mark.parametrize(("scope", "phase", "calls"), [("Job", "Failed", 3), ("Attempt", "Succeeded", 4)])
async def test_the_scope_determines_whether_usage_of_earlier_attempts_counts(system, job_of, scope, phase, calls):
    name, budget = scope.lower(), {"maxLLMCalls": 3, "scope": scope}
    retry = {"maxAttempts": 3, "backoff": {"initial": "1s"}}
    script = {
        "starts": [[{"text": "one"}, {"text": "two"}, {"exit": "SIGKILL"}], [{"text": "three"}, {"text": "four"}]]
    }
    agent = {"model": f"scripted/{name}/script", "inline": BOOK}
    await system.apply(*job_of(name, script, agent=agent, retry=retry, budget=budget))

    status = await system.finished(name)

    assert (status["phase"], status["usage"]["llmCalls"], status["starts"]) == (phase, calls, 2)
    assert status["reason"] == ("BudgetExceeded" if phase == "Failed" else "ResultAccepted")


async def test_tool_calls_are_counted_over_all_starts(system, job_of, said):
    call = {"toolCalls": [{"name": "get_weather", "args": {"city": "Paris"}}]}
    script = {"starts": [[call, {"exit": "SIGKILL"}], [call, call, {"text": "Fine."}]]}
    agent = {"model": "scripted/tools/script", "module": {"ref": "examples.agents.weather:agent"}}
    retry = {"maxAttempts": 3, "backoff": {"initial": "1s"}}
    budget = {"maxToolCalls": 2, "onExceeded": "Suspend"}
    await system.apply(*job_of("tools", script, agent=agent, retry=retry, budget=budget))

    kept = await system.phase("tools", "Suspended")
    assert (said(kept, "Suspended", "reason"), kept["starts"]) == ("BudgetExceeded", 2)

    await system.edit("tools", cancel=True)
    status = await system.finished("tools")

    assert (status["phase"], status["usage"]["toolCalls"]) == ("Cancelled", 2)


async def test_a_job_waits_while_its_model_is_at_its_limit(system, job_of, said):
    # The model that would write summaries: it is named, and never asked.
    steps = {"compaction": {"everyEvents": 1000, "model": "gemini-at-its-limit"}}
    kube_system = await system.client.get(NAMESPACES, None, "kube-system")
    async with Database(system.cluster.dsn) as database:
        limits = ModelLimits(database, cluster=kube_system["metadata"]["uid"])
        await limits.exhausted("gemini-at-its-limit", seconds=8, reason="a test")
        await system.apply(*job_of("limited", {"starts": [[{"text": "Done."}]]}, steps=steps))
        waiting = await system.until("limited", lambda status: status.get("reason") == "WaitingForModelLimit")
        assert (waiting["phase"], waiting.get("starts", 0)) == ("Queued", 0)

        status = await system.finished("limited")

    assert status["phase"] == "Succeeded"
    assert said(status, "Admitted", "reason") == "Finished"
