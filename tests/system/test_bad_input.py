"""The worst behaviour of code and models has a named error class and no effect on others. Real runner and gateway."""

import asyncio
import contextlib
from pathlib import Path

import httpx
import pytest

from agentjobs.contract import MAX_RESULT_BYTES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

FOLDER = "tests.system"


@pytest.fixture
def hostile(job_of):
    """A job that runs an agent of `hostile.py`, made by the function of that name."""

    def make(name, function, *, args=None, agent=None, **spec):
        module = {"ref": f"{FOLDER}.hostile:{function}", **({"args": args} if args else {})}
        retry = {"maxAttempts": 1}
        return job_of(name, None, agent={"module": module, **(agent or {})}, **{"retry": retry, **spec})

    return make


def processes(job):
    """Living processes with this job in their environment: the runner and what it left."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"AGENTJOBS_JOB={job}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


async def test_an_answer_of_fifty_megabytes_is_truncated_and_stored(system, hostile):
    await system.apply(*hostile("huge", "huge"))
    status = await system.finished("huge")
    result = (await system.history("huge/result"))["result"]

    assert (status["phase"], status["result"]["truncated"]) == ("Succeeded", True)
    assert MAX_RESULT_BYTES / 2 < len(result["text"]) <= MAX_RESULT_BYTES
    assert result["cutFrom"] > MAX_RESULT_BYTES
    assert len(str(status)) < 16 * 1024


@pytest.mark.parametrize(
    ("function", "phase"),
    [
        pytest.param("garbage", "Succeeded", id="answer"),
        pytest.param("tool_of_garbage", "Succeeded", id="tool-result"),
        pytest.param("tool_that_raises_garbage", "Failed", id="tool-error"),
    ],
)
async def test_an_answer_with_invalid_unicode_is_stored_as_text(system, hostile, said, function, phase):
    name = function.replace("_", "-")
    await system.apply(*hostile(name, function))
    status = await system.finished(name)
    events = (await system.history(f"{name}/events"))["items"]

    assert status["phase"] == phase
    assert phase == "Succeeded" or said(status, "Failed", "reason") == "ToolError"
    assert events[-1]["kind"] == "ended"
    assert "\x00" not in str(events)


async def test_a_message_with_invalid_unicode_is_refused_by_the_api_server(system, job_of):
    (body,) = job_of("bytes", None, agent={"model": "gemini-x", "inline": {"instruction": "x"}})
    raw = str(body).replace("'", '"').replace("Go.", "\\ud800").encode() + b"\xff"
    path = f"/apis/agentjobs.dev/v1alpha1/namespaces/{system.namespace}/agentjobs"
    async with httpx.AsyncClient(verify=system.trust(), trust_env=False) as http:
        headers = {"Authorization": f"Bearer {system.cluster.token}", "Content-Type": "application/json"}
        answer = await http.post(system.cluster.url + path, content=raw, headers=headers)

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("module", "limit", "reason"),
    [
        pytest.param("hangs_at_import:agent", {"attempt": "4s"}, "AttemptTimeout", id="import"),
        pytest.param("hostile:hangs", {"attempt": "4s"}, "AttemptTimeout", id="factory"),
        pytest.param("hangs_at_import:agent", {"progress": "1s"}, "ProgressTimeout", id="import-without-progress"),
        pytest.param("hostile:hangs", {"progress": "1s"}, "ProgressTimeout", id="factory-without-progress"),
    ],
)
async def test_a_hanging_module_is_ended_by_its_timeout(system, job_of, said, module, limit, reason):
    name = f"{module}-{reason}".lower().replace(":", "-").replace("_", "-")
    agent = {"module": {"ref": f"{FOLDER}.{module}"}}
    grace = {"terminationGracePeriodSeconds": 1}
    await system.apply(*job_of(name, None, agent=agent, timeouts=limit, retry={"maxAttempts": 1}, runtime=grace))
    status = await system.finished(name)

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", reason)


async def test_children_and_daemons_of_a_module_end_with_it(system, hostile):
    # A variable of Python's own has it executed and not forked, so that /proc tells its variables.
    await system.apply(*hostile("children", "children", runtime={"env": [{"name": "PYTHONHASHSEED", "value": "0"}]}))
    status = await system.finished("children")

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Forked.")
    for _ in range(1000):
        if not processes("children"):
            break
        await asyncio.sleep(0.05)
    assert processes("children") == []


async def test_a_run_of_many_events_loses_none_and_does_not_affect_other_jobs(system, hostile, job_of):
    count = 3_000
    await system.apply(*hostile("many", "many", args={"events": count}))
    await system.apply(*job_of("beside", {"starts": [[{"text": "Done."}]]}))
    beside, status = await system.finished("beside"), await system.finished("many")

    assert (beside["phase"], status["phase"]) == ("Succeeded", "Succeeded")
    assert await system.event_count("many") == count + 2  # started and ended are two more


async def test_an_agent_that_never_stops_is_stopped_by_adks_limit(system, hostile, said):
    await system.apply(*hostile("endless", "endless", agent={"runConfig": {"max_llm_calls": 30}}))
    status = await system.finished("endless")

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", "BudgetExceeded")
    assert "max_llm_calls" in said(status, "Failed", "message")


@pytest.mark.alone("the cluster's API server trusts no certificate of our node, so it serves no logs of it")
async def test_lines_of_a_megabyte_are_kept_in_the_log(system, hostile):
    await system.apply(*hostile("long-lines", "long_lines"))
    status = await system.finished("long-lines")
    path = f"/api/v1/namespaces/{system.namespace}/pods/long-lines-1/log"
    log = (await system.client.request("GET", path))["text"]

    assert status["phase"] == "Succeeded"
    # Container runtimes cut lines, ours too; nothing of them is lost.
    assert log.count("x") >= 2 * 1024 * 1024
