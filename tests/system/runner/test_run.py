"""The real runner, start to end, against a gateway on the loopback."""

import json
import signal
from pathlib import Path

import pytest
import yaml

from agentjobs import contract

EXAMPLES = Path(__file__).parents[3] / "examples"


def inline(**more):
    return {"model": "scripted/script/main", "inline": {"name": "helper", "instruction": "Help.", **more}}


def test_a_scripted_answer_becomes_the_result_and_the_verdict(gateway, start):
    fake = gateway(starts=[[{"text": '{"mood": "fine"}', "usage": {"inputTokens": 7, "outputTokens": 3}}]])

    run = start(fake).wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert (run.code, run.message.uid, run.message.summary) == (0, "0b6f2a", '{"mood": "fine"}')
    assert fake.results[0]["result"] == {
        "text": '{"mood": "fine"}',
        "structured": {"mood": "fine"},
        "outcome": None,
        "usage": {"llmCalls": 1, "toolCalls": 0, "inputTokens": 7, "outputTokens": 3},
    }
    assert fake.kinds() == ["started", "model", "text", "ended"]
    assert run.out == ""


def test_an_outcome_is_in_the_verdict_too(gateway, start):
    schema = {"type": "object", "properties": {"outcome": {"type": "string"}}, "required": ["outcome"]}
    fake = gateway(starts=[[{"text": '{"outcome": "unsure"}'}]], output={"schema": schema})

    run = start(fake).wait()

    assert (run.verdict, run.message.outcome) == (("Succeed", "ResultAccepted"), "unsure")
    assert fake.results[0]["result"]["outcome"] == "unsure"


def test_a_team_passes_state_and_the_last_member_answers(gateway, start):
    spec = yaml.safe_load_all((EXAMPLES / "team.yaml").read_text())
    config_map, job = spec
    fake = gateway(spec=job["spec"], scripts={"team/script": config_map["data"]["script"]})

    run = start(fake).wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert [event["author"] for event in fake.events if event["kind"] == "text"] == ["researcher", "writer"]
    assert run.message.summary.startswith("Heat pumps move heat")
    assert "Warning" not in run.err


def test_a_module_agent_runs_on_the_jobs_model(gateway, start):
    config_map, job = yaml.safe_load_all((EXAMPLES / "module.yaml").read_text())
    fake = gateway(spec=job["spec"], scripts={"module/script": config_map["data"]["script"]})

    run = start(fake).wait()

    assert run.message.summary == "It is sunny in Paris, at 24 °C."
    tool = next(event for event in fake.events if event["kind"] == "tool")
    assert tool["data"]["result"] == {"city": "Paris", "sky": "sunny", "celsius": 24}
    assert fake.results[0]["result"]["usage"]["toolCalls"] == 1


TOOLS = """
import multiprocessing, os, signal, sys, threading, time

def fails(): raise ValueError("no such city; tried with ?key=AIzaSecretSecretSecret and " + os.environ["SHOP_PASSWORD"])
def exits(): sys.exit(3)
def stops(): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)
def base():
    class Odd(BaseException): pass
    raise Odd("odd")
def noisy():
    threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    os.write(1, b"\\xff\\xfe\\x00garbage\\n" * 2000)
    sys.stdout.close()
    return {"ok": b"\\x00", "nan": float("nan")}
def forks():
    if os.fork() == 0:
        return {"child": True}
    time.sleep(0.3)
    return {"child": False}
def square(n): return n * n
def pools():
    for context in map(multiprocessing.get_context, ("fork", "spawn", "forkserver")):
        with context.Pool(3) as pool:
            assert sum(pool.map(square, range(20))) == 2470
        child = context.Process(target=time.sleep, args=(600,))
        child.start()
        child.terminate()
        child.join()
        assert child.exitcode == -signal.SIGTERM, child.exitcode
    return {"ok": True}
def blocks():
    open("blocking", "w").close(); time.sleep(60)
"""


@pytest.mark.parametrize(
    ("tool", "verdict"),
    [
        pytest.param("fails", ("Retry", "ToolError"), id="raises"),
        pytest.param("exits", ("Retry", "AgentError"), id="sys-exit"),
        pytest.param("stops", ("Retry", "AgentError"), id="sigterm-to-itself"),
        pytest.param("base", ("Retry", "AgentError"), id="base-exception"),
        pytest.param("noisy", ("Succeed", "ResultAccepted"), id="garbage-on-stdout-and-a-thread-that-never-ends"),
        pytest.param("forks", ("Succeed", "ResultAccepted"), id="fork"),
        pytest.param("pools", ("Succeed", "ResultAccepted"), id="process-pools"),
    ],
)
def test_every_failure_of_a_tool_has_an_error_class(gateway, start, tool, verdict):
    agent = inline(tools=[{"name": f"tools:{tool}"}])
    fake = gateway(starts=[[{"toolCalls": [{"name": tool}]}, {"text": "done"}]], agent=agent)

    run = start(fake, files={"tools.py": TOOLS}, SHOP_PASSWORD="correct horse").wait()

    assert run.verdict == verdict
    assert len(fake.results) == 1
    sent = run.raw + json.dumps(fake.events) + json.dumps(fake.results)
    assert not any(secret in sent for secret in ("AIzaSecret", "correct horse"))


def test_a_job_with_a_final_result_runs_nothing(gateway, start):
    stored = {"text": "from start 1", "structured": None, "usage": {}}
    fake = gateway(result=stored, start=2)

    run = start(fake).wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert run.message.summary == "from start 1"
    assert fake.calls == [f"GET {contract.PATH_ATTEMPT}"]


def test_a_start_that_fails_after_the_success_of_another_succeeds(gateway, start):
    stored = {"text": "from start 1", "structured": None, "usage": {}}
    fake = gateway(starts=[[{"error": {"status": 503}}]], final=stored)

    run = start(fake).wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert run.message.summary == "from start 1"


@pytest.mark.parametrize("path", [contract.PATH_ATTEMPT, contract.PATH_EVENTS])
def test_a_fenced_pod_exits_without_a_message(gateway, start, path):
    fake = gateway(starts=[[{"delay": "500ms", "text": "hi"}]])
    fake.script[path] = [(409, {"reason": "Fenced", "message": "another pod holds this start"})]

    run = start(fake).wait()

    assert (run.code, run.raw) == (contract.EXIT_FENCED, "")


def test_a_short_outage_of_the_gateway_loses_nothing(gateway, start):
    fake = gateway()
    away = [(503, None), (401, None)]
    fake.script = {path: list(away) for path in (contract.PATH_ATTEMPT, contract.PATH_EVENTS, contract.PATH_RESULT)}

    run = start(fake).wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert [event["seq"] for event in fake.events] == [1, 2, 3]


# A time-out of one second, in the child alone: Python loads sitecustomize before anything else.
ONE_SECOND = {"sitecustomize.py": "from agentjobs import contract; contract.GATEWAY_TIMEOUT_SECONDS = 1.0"}


@pytest.mark.parametrize("path", [contract.PATH_ATTEMPT, contract.PATH_EVENTS, contract.PATH_RESULT])
def test_a_long_outage_of_the_gateway_snoozes_the_job(gateway, start, path):
    fake = gateway(starts=[[{"delay": "30s" if path == contract.PATH_EVENTS else "0s", "text": "hi"}]])
    fake.script[path] = [(503, None)] * 99

    run = start(fake, files=ONE_SECOND).wait()

    assert run.verdict == ("Snooze", "JournalUnavailable")
    assert run.message.delay_seconds == 30.0


def test_an_unreadable_ca_file_is_named(gateway, start):
    fake = gateway()
    fake.url = fake.url.replace("http", "https")

    run = start(fake, **{contract.ENV_GATEWAY_CA: "/nowhere/ca.crt"}).wait()

    assert run.verdict == ("Snooze", "JournalUnavailable")
    assert "/nowhere/ca.crt" in run.message.message


def test_a_refused_result_is_an_error_and_not_a_success(gateway, start):
    fake = gateway()
    fake.script[contract.PATH_RESULT] = [(413, {"reason": "TooLarge", "message": "too large"})]

    run = start(fake).wait()

    assert run.verdict == ("Retry", "ResultError")


def test_on_sigterm_the_running_tool_finishes_and_no_further_step_begins(gateway, start):
    source = """
import time, pathlib
def work():
    pathlib.Path("began").touch()
    time.sleep(0.5)
    return {"ok": 1}
"""
    steps = [{"toolCalls": [{"name": "work"}]}, {"text": "never asked for"}]
    fake = gateway(starts=[steps], agent=inline(tools=[{"name": "work:work"}]))
    run = start(fake, files={"work.py": source})
    run.until(lambda: (run.folder / "began").exists())

    run.send(signal.SIGTERM)
    run.wait()

    assert run.verdict == ("Snooze", "Interrupted")
    assert "between two steps" in run.message.message
    assert fake.kinds() == ["started", "model", "tool", "ended"]


def test_a_sigterm_while_the_runner_still_loads_is_not_lost(gateway, start):
    source = """
import os, signal, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "agentjobs_runner.attempt":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Stop())
"""
    fake = gateway()

    run = start(fake, files={"sitecustomize.py": source}).wait()

    assert (run.code, run.verdict) == (75, ("Snooze", "Interrupted"))
    assert "text" not in fake.kinds()


def test_on_sigterm_a_blocking_tool_is_abandoned(gateway, start):
    fake = gateway(starts=[[{"toolCalls": [{"name": "blocks"}]}]], agent=inline(tools=[{"name": "tools:blocks"}]))
    run = start(fake, files={"tools.py": TOOLS}, grace=6)
    run.until(lambda: (run.folder / "blocking").exists())

    run.send(signal.SIGTERM)
    run.wait()

    assert run.verdict == ("Snooze", "Interrupted")
    assert fake.results[0]["reason"] == "Interrupted"


def test_user_code_is_loaded_with_the_garbage_collector_on(gateway, start):
    fake = gateway(agent={"module": {"ref": "looks:agent"}})

    run = start(fake, files={"looks.py": "import gc; print(gc.isenabled())"}).wait()

    assert run.out == "True\n"


def test_a_module_that_hangs_at_import_ends_with_a_progress_timeout(gateway, start):
    source = "import time\ntime.sleep(600)\n"
    fake = gateway(agent={"module": {"ref": "hanging:agent"}}, timeouts={"progress": "2s"})

    run = start(fake, files={"hanging.py": source}).wait()

    assert (run.verdict, fake.kinds()) == (("Retry", "ProgressTimeout"), ["ended"])


def test_an_agent_that_blocks_its_event_loop_ends_with_a_progress_timeout(gateway, start):
    agent = inline(tools=[{"name": "tools:blocks"}])
    fake = gateway(starts=[[{"toolCalls": [{"name": "blocks"}]}]], agent=agent, timeouts={"progress": "4s"})

    run = start(fake, files={"tools.py": TOOLS}).wait()

    assert (run.code, run.verdict) == (70, ("Retry", "ProgressTimeout"))
    assert run.message.message.startswith("no progress for 4s")
    assert fake.results[0]["reason"] == fake.events[-1]["data"]["reason"] == "ProgressTimeout"


def test_a_killed_process_leaves_no_message(gateway, start):
    fake = gateway(starts=[[{"exit": "SIGKILL"}]])

    run = start(fake).wait()

    assert (run.code, run.raw, fake.results) == (-signal.SIGKILL, "", [])


def test_a_missing_variable_is_named_and_ends_the_process(gateway, start):
    run = start(gateway(), **{contract.ENV_START: "zero"}).wait()

    assert run.code == contract.EXIT_CODES[contract.Verdict.FAIL]
    assert contract.ENV_START in run.err
