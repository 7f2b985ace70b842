"""The engine that the pod's environment names, and no other."""

from agentjobs import contract

OTHER = """
import sys
from agentjobs.contract import Verdict
from agentjobs_runner.endings import Ending
from agentjobs_runner.results import bounded_result

def execute(attempt, gate, recorder, journal, stores=None):
    recorder.add("text", "other", {"text": "at work"})
    engines = ("google.adk", "google.genai", "agentjobs_runner.adk")
    loaded = sorted(name for name in sys.modules if name.startswith(engines))
    text = f"{attempt['job']} with {loaded}"
    result = bounded_result(text, None, recorder.usage.total)
    return Ending(Verdict.SUCCEED, "ResultAccepted", "answered", result=result)
"""
REGISTERS = """
from agentjobs_runner import engines
engines.MODULES["other"] = "other_engine"
"""


def test_only_the_named_engine_is_imported(gateway, start):
    fake = gateway()

    run = start(fake, files={"other_engine.py": OTHER, "sitecustomize.py": REGISTERS}, **{contract.ENV_ENGINE: "other"})
    run.wait()

    assert run.verdict == ("Succeed", "ResultAccepted")
    assert run.message.summary == "hello with []"
    assert fake.kinds() == ["text", "ended"]


def test_an_unknown_engine_fails_the_job_and_the_known_ones_are_named(gateway, start):
    fake = gateway()

    run = start(fake, **{contract.ENV_ENGINE: "quantum"}).wait()

    assert run.verdict == ("Fail", "ConfigInvalid")
    assert "'quantum'" in run.message.message
    assert "(it has: adk, claude-code)" in run.message.message
    assert fake.kinds() == ["ended"]


def test_an_engine_that_cannot_be_imported_is_retried(gateway, start):
    files = {"other_engine.py": "raise ImportError('no library')", "sitecustomize.py": REGISTERS}

    run = start(gateway(), files=files, **{contract.ENV_ENGINE: "other"}).wait()

    assert run.verdict == ("Retry", "AgentError")
    assert "no library" in run.message.message


def test_a_pod_without_an_engine_variable_runs_adk(gateway, start):
    fake = gateway(starts=[[{"text": "hi"}]])

    run = start(fake, **{contract.ENV_ENGINE: ""}).wait()

    assert run.message.summary == "hi"
    assert "adk" in fake.events[0]["data"]
