"""Programs that people look at keep the contract: our own runner, with agents of several kinds, and the example."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
RUNNER = (sys.executable, "-m", "agentjobs_runner")
NODE = shutil.which("node")
SCHEMA = {"type": "object", "properties": {"outcome": {"type": "string"}}, "required": ["outcome"]}

pytestmark = pytest.mark.timeout(280)


def played(*words, **env):
    """What the command says of each situation, by name."""
    command = [sys.executable, "-c", "from agentjobs.cli import main; main()", "conformance", "-o", "json", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, cwd=ROOT)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["passed"] else 1)
    return {one["name"]: one for one in told["situations"]}


def wrong(told):
    return {name: one["faults"] for name, one in told.items() if one["faults"]}


def skipped(told):
    return {name for name, one in told.items() if one["result"] == "Skipped"}


@pytest.fixture
def job(tmp_path):
    """Write a job whose model is a script; return the file's path."""

    def write(name, *answers, **spec):
        script = yaml.safe_dump({"starts": [list(answers)]})
        agent = {"model": f"scripted/{name}/script", "inline": {"instruction": "Be brief."}}
        bodies = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"script": script}},
            {
                "apiVersion": "agentjobs.dev/v1alpha1",
                "kind": "AgentJob",
                "metadata": {"name": name},
                "spec": {"agent": agent, "input": {"message": "Go."}, **spec},
            },
        ]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump_all(bodies))
        return str(tmp_path / f"{name}.yaml")

    return write


def test_our_runner_conforms_to_the_contract(job):
    plain = job("plain", {"text": '{"outcome": "fine"}'}, output={"schema": SCHEMA})
    busy = job("busy", {"text": "late", "delay": "36s"})

    told = played("-f", plain, "--busy", busy, "--parallel", "6", "--", *RUNNER)

    assert wrong(told) == {}
    assert skipped(told) == {"budget"}


def test_our_runner_conforms_to_the_contract_with_recorded_tools():
    names = ("success", "unavailable-after-claim", "too-many-requests", "fenced-later", "token-renewed")
    only = [word for name in names for word in ("--only", name)]

    told = played("-f", "examples/module.yaml", *only, "--", *RUNNER, PYTHONPATH=str(ROOT / "examples"))

    assert wrong(told) == {}
    assert skipped(told) == set()


def test_our_runner_conforms_to_the_contract_with_a_proxied_model(tmp_path):
    agent = {"model": "openai/gpt-5-mini", "inline": {"instruction": "Be brief."}}
    body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": "asks"}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({**body, "spec": {"agent": agent, "input": {"message": "Hi."}}}))
    names = ("success", "already-answered", "sigterm", "token-renewed", "tls", "budget")
    only = [word for name in names for word in ("--only", name)]

    told = played("-f", str(tmp_path / "job.yaml"), *only, "--", *RUNNER)

    assert wrong(told) == {}
    assert skipped(told) == set()


@pytest.mark.skipif(NODE is None, reason="node is not installed, and the example is a program for it")
def test_the_example_conforms_to_the_contract():
    told = played("--parallel", "6", "--", "node", "examples/container/agent.mjs")

    assert wrong(told) == {}
    assert skipped(told) == {"structured"}
