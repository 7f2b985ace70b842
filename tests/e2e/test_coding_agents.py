"""Coding agents in their own pods: Claude Code, or the tests' stand-in for it, and a program in another image.

tests/e2e/images.sh says which of both is in the image.
"""

import json
import shlex
from pathlib import Path

import pytest

from .coding import bash, prompt
from .conftest import PULL_POLICY, REPOSITORY, TAG, job_of
from .gitserver import LABELS, PASSWORD, PORT

MODEL = "anthropic/claude-sonnet-4-5"
PROGRAM = Path(__file__).parents[1] / "system" / "conformance" / "program.py"
# Searches the pod for words that it is given backwards, and tries what it must not be able to do; prints both.
ATTACK = r"""
import json, os, pathlib, socket, sys
words = [word[::-1].encode() for word in sys.argv[2:]]
found = []
for path in [*pathlib.Path("/").rglob("*"), *pathlib.Path("/proc").glob("[0-9]*/environ")]:
    if path.parts[1] == "sys" or path.parts[1] == "proc" and path.name != "environ":
        continue
    try:
        if path.is_file() and path.stat().st_size < 2**20 and any(word in path.read_bytes() for word in words):
            found.append(str(path))
    except OSError:
        pass
token = pathlib.Path(os.environ["AGENTJOBS_TOKEN_FILE"]).read_text()
ends = {"found": found, "uid": os.getuid(), "token": [name for name, value in os.environ.items() if value == token]}
for folder in ("/", "/usr/local/bin", "/opt/agentjobs", "/var/run/agentjobs"):
    try:
        pathlib.Path(folder, "mine").write_text("x")
        ends[folder] = "written"
    except OSError as error:
        ends[folder] = error.strerror
try:
    socket.create_connection(sys.argv[1].rsplit(":", 1), timeout=3)
    ends["provider"] = "open"
except OSError as error:
    ends["provider"] = type(error).__name__
print(json.dumps(ends))
"""


@pytest.fixture
def claude_job():
    """A job of Claude Code that may do everything in its pod, which reaches the repository besides ours."""

    def build(name, message, **spec):
        rule = {"to": [{"podSelector": {"matchLabels": LABELS}}], "ports": [{"port": PORT}]}
        given = {
            "agent": {"model": MODEL, "claudeCode": {"permissionMode": "BypassPermissions"}},
            "input": {"message": message},
            "isolation": {"profile": "Restricted", "egress": {"mode": "Restricted", "allow": [rule]}},
            "runtime": {"image": f"{REPOSITORY}/agentjobs-claude:{TAG}", "imagePullPolicy": PULL_POLICY},
        }
        return job_of(name, **{**given, **spec})

    return build


def kept(kubectl, release, uid):
    """Whether what is kept of a session has the result of a tool: it is at most a second behind."""
    question = (
        f"SELECT count(*) FROM agentjobs.kept_parts WHERE uid = '{uid}' AND name LIKE '%.jsonl'"
        " AND position('tool_result'::bytea IN data) > 0"
    )
    psql = ["psql", "-h", "/var/run/postgresql", "-U", "agentjobs", "-tAc", question]
    words = ("exec", f"{release.name}-postgresql-0", "--", *psql)
    return kubectl(*words, namespace=release.namespace).strip() != "0"


def test_a_coding_agent_continues_in_another_pod_and_has_no_key(
    kubectl, apply, jobs, repository, provider, release, claude_job, wait_for
):
    backwards = [provider.key[::-1], PASSWORD[::-1]]
    attack = shlex.join(["python", "-c", ATTACK, provider.anthropic, *backwards])
    message = prompt(
        bash(f"{attack} > attack.json"), {"text": "never heard", "delay": 600}, bash("cp attack.json again.json"),
        {"text": "Went on."},
    )  # fmt: skip
    own = repository.workspace(mode="Branch", branch="agents/$(job.name)")
    apply(*claude_job("coded", message, workspace=own, retry={"backoff": {"initial": "1s"}}))

    def asked():
        return [one for one in provider.seen() if message in one["body"]]

    wait_for(lambda: len(asked()) == 2, "the agent asks again")
    uid = jobs.get("coded")["metadata"]["uid"]
    wait_for(lambda: kept(kubectl, release, uid), "the tool's result is kept")
    kubectl("delete", "pod", "coded-1", "--force", "--grace-period=0", namespace=jobs.namespace)
    status = jobs.finished("coded")

    assert (status["phase"], status["starts"], status["attempts"]) == ("Succeeded", 2, 1), status
    assert status["result"]["summary"] == "Went on."
    assert float(status["usage"]["costUSD"]) > 0
    third = json.loads(asked()[2]["body"])
    assert "tool_result" in json.dumps(third["messages"]), "the session was not resumed"
    assert repository("rev-parse", "agents/coded").strip() == status["result"]["workspace"]["commit"]
    assert json.loads(repository("show", "agents/coded:again.json")) == {
        "found": [],
        "uid": 65532,
        "token": [],
        "provider": "TimeoutError",
        **dict.fromkeys(("/", "/usr/local/bin", "/opt/agentjobs", "/var/run/agentjobs"), "Read-only file system"),
    }
    assert {one["key"] for one in asked()} == {provider.key}


def test_a_program_in_an_image_without_our_runner_can_answer(apply, jobs):
    """It keeps the runner contract by itself, with a disk and a network like any pod of a job."""
    files = {"program.py": PROGRAM.read_text()}
    apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "program"}, "data": files},
        *job_of(
            "own",
            agent={"container": {"command": ["python", "/program/program.py", "none", "0"]}},
            runtime={
                "image": f"{REPOSITORY}/agentjobs-postgres:{TAG}",
                "imagePullPolicy": PULL_POLICY,
                "volumes": [{"name": "program", "configMap": {"name": "program"}}],
                "volumeMounts": [{"name": "program", "mountPath": "/program"}],
            },
            isolation={"egress": {"mode": "Restricted"}},
            output={
                "schema": {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]},
                "outcomeKey": "mood",
            },
        ),
    )
    status = jobs.finished("own")

    assert (status["phase"], status["starts"], status["result"]["outcome"]) == ("Succeeded", 1, "fine"), status
    assert jobs.result("own") == "Go."
