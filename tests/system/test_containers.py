"""Programs of one's own instead of the runner, through the whole system: good ones, and such as keep no contract."""

import shutil

import httpx
import pytest
import yaml

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

PROGRAM = "tests/system/conformance/program.py"
NODE = shutil.which("node")


@pytest.fixture
def program(job_of):
    """A job whose container has this command. There are no images here: any will do."""

    def make(name, *command, **spec):
        agent = {"container": {"command": list(command)}}
        runtime = {"image": "example.com/any:1", "terminationGracePeriodSeconds": 5, **spec.pop("runtime", {})}
        return job_of(name, None, agent=agent, runtime=runtime, **{"retry": {"maxAttempts": 1}, **spec})

    return make


@pytest.mark.skipif(NODE is None, reason="node is not installed, and the example is a program for it")
async def test_the_example_in_javascript_answers(system, checkout):
    job = yaml.safe_load((checkout / "examples/container/job.yaml").read_text())
    job["spec"]["agent"]["container"]["command"] = [NODE, str(checkout / "examples/container/agent.mjs")]

    await system.apply(job)
    status = await system.finished("container")
    result = (await system.history("container/result"))["result"]

    assert (status["phase"], status["starts"], status["result"]["summary"]) == (
        "Succeeded",
        1,
        "Hello from a program of your own.",
    )
    assert result["text"] == "Hello from a program of your own."


async def test_the_outcome_of_a_program_is_the_outcome_of_its_job(system, program):
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    output = {"schema": schema, "outcomeKey": "mood"}

    await system.apply(*program("decides", "python", PROGRAM, "none", "0", output=output))
    status = await system.finished("decides")

    assert (status["phase"], status["result"]["outcome"]) == ("Succeeded", "fine")
    assert status["result"]["structured"] == {"mood": "fine"}


@pytest.mark.parametrize(
    ("name", "command", "reason"),
    [
        pytest.param("does-nothing", ["true"], "RunnerCrashed", id="exits-0-without-a-result"),
        pytest.param("floods", ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], "RunnerCrashed", id="megabytes"),
        pytest.param("is-missing", ["no-such-program"], "ConfigInvalid", id="cannot-be-started"),
        pytest.param("is-silent", ["sh", "-c", "exit 3"], "RunnerCrashed", id="exits-with-a-code-of-its-own"),
        pytest.param("is-wrong", ["python", PROGRAM, "wrong-result", "0"], "ResultError", id="a-result-of-no-shape"),
    ],
)
async def test_a_program_that_violates_the_contract_fails_its_job(system, program, said, name, command, reason):
    await system.apply(*program(name, *command))
    status = await system.finished(name)

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", reason), status
    assert "result" not in status


@pytest.mark.parametrize("fault", ["no-message", "uid-of-its-own", "no-json"])
async def test_a_program_whose_result_is_stored_succeeds_without_a_termination_message(system, program, said, fault):
    await system.apply(*program(fault, "python", PROGRAM, fault, "0"))
    status = await system.finished(fault)

    assert (status["phase"], status["starts"]) == ("Succeeded", 1), status
    assert status["result"]["summary"] == "Go."
    assert "RunnerCrashed" in said(status, "Complete", "message")


async def test_a_termination_message_of_success_is_accepted_without_a_stored_result(system, program):
    await system.apply(*program("unstored", "python", PROGRAM, "never-reports", "0"))
    status = await system.finished("unstored")

    assert (status["phase"], status["result"]["summary"]) == ("Succeeded", "Go.")
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await system.history("unstored/result")


async def test_a_hanging_program_is_stopped_by_its_timeout(system, program, said):
    timeouts = {"attempt": "3s"}

    await system.apply(*program("hangs", "python", PROGRAM, "hangs", timeouts=timeouts))
    status = await system.finished("hangs")

    assert (status["phase"], said(status, "Failed", "reason")) == ("Failed", "AttemptTimeout"), status


async def test_the_result_of_a_program_that_crashed_before_its_message_is_found_by_the_next_start(system, program):
    retry = {"maxAttempts": 2, "backoff": {"initial": "1s"}}

    await system.apply(*program("mute", "python", PROGRAM, "no-message-at-first", "0", retry=retry))
    status = await system.finished("mute")

    assert (status["phase"], status["starts"]) == ("Succeeded", 2), status


async def test_a_running_program_is_cancelled_within_its_grace_period(system, program):
    await system.apply(*program("long", "python", PROGRAM, "none", "600"))
    await system.running("long")
    await system.edit("long", cancel=True)
    status = await system.finished("long", seconds=60)

    assert status["phase"] == "Cancelled"


@pytest.mark.parametrize(
    ("name", "script"),
    [
        pytest.param("calls-it-success", "trap 'exit 0' TERM; sleep 600 & wait", id="exits-0-on-sigterm"),
        pytest.param("is-deaf", "trap '' TERM; sleep 600 & wait; sleep 600", id="deaf-to-sigterm"),
    ],
)
async def test_a_program_that_is_stopped_does_not_succeed(system, program, name, script):
    from devcluster.client import PODS

    await system.apply(*program(name, "sh", "-c", script, runtime={"terminationGracePeriodSeconds": 1}))
    await system.running(name)
    await system.delete(PODS, f"{name}-1")
    again = await system.until(name, lambda status: status.get("starts") == 2)
    await system.edit(name, cancel=True)
    status = await system.finished(name)

    assert (again["attempts"], status["phase"]) == (1, "Cancelled")
    assert "result" not in status


async def test_a_program_whose_pod_is_deleted_runs_again_without_a_charge(system, program):
    from devcluster.client import PODS

    # The first start works until its pod is deleted, however late that is.
    work = f'[ "$AGENTJOBS_START" = 1 ] && exec python {PROGRAM} none 600; exec python {PROGRAM} none 0'
    await system.apply(*program("moved", "sh", "-c", work))
    await system.running("moved")
    await system.delete(PODS, "moved-1")
    status = await system.finished("moved")

    assert (status["phase"], status["starts"], status["attempts"]) == ("Succeeded", 2, 1), status
