"""The verbs for application developers, against a whole cluster and without any."""

import asyncio
import json

import pytest

from agentjobs.cli.app import run

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

FILE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data:
  script: |
    starts:
      - - error: {status: 503, message: Busy.}
      - - text: Second try.
---
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: NAME}
spec:
  agent: {model: scripted/NAME/script, inline: {instruction: Be brief.}}
  input: {message: Go.}
  retry: {backoff: {initial: 100ms}}
  steps: {llm: {maxAttempts: 1}}
"""
QUICK = ["Go.", "--model", "scripted/answers/quick", "--instruction", "Be brief."]


@pytest.fixture
def file(tmp_path, name):
    path = tmp_path / "job.yaml"
    path.write_text(FILE.replace("NAME", name))
    return str(path)


@pytest.fixture
def cli(capfd, monkeypatch):
    """Run a command line in a thread and return its exit code, output and errors."""

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def build(*arguments):
        code = await asyncio.to_thread(left, list(arguments))
        out, err = capfd.readouterr()
        return code, out, err

    return build


@pytest.fixture
def kubeconfig(cluster, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No cluster to be found, and a folder of one's own."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)


async def test_run_shows_phases_and_logs_of_every_start_and_prints_the_answer(cli, kubeconfig, file, name):
    first, again = await cli("run", "-f", file), await cli("run", "-f", file, "--json")

    code, out, err = first
    assert (code, out) == (0, "Second try.\n")
    assert err.count("attempt.started") == 2
    assert f"{name}: Succeeded" in err
    assert (again[0], json.loads(again[1])["verdict"]) == (0, "Succeed")
    assert json.loads(again[1])["result"]["text"] == "Second try."
    assert ("this is that run" in err, f"agentjobs rerun {name}" in again[2]) == (False, True)


async def test_a_detached_job_can_be_followed_shown_and_rerun(cli, kubeconfig, name):
    detached = await cli("run", *QUICK, "--name", name, "--detach")
    followed = await cli("logs", "-f", name)
    printed, shown = await cli("logs", name), await cli("show", name)
    rerun = await cli("rerun", name, "--name", f"{name}-2")
    waited = await cli("wait", f"{name}-2", "--timeout=110s")
    both = await cli("logs", name, "nobody", f"{name}-2", "--tail", "1")

    assert detached[:2] == (0, f"{name}\n")
    assert printed[1] == followed[1]
    assert "attempt.ended" in followed[1], (followed, printed)
    assert f"{name}: start 1" in followed[2]
    assert all(word in shown[1] for word in ("Succeeded (ResultAccepted)", "START", "ENTRY", "EVENT", "Hello!"))
    assert (rerun[1], waited[0]) == (f"agentjob.agentjobs.dev/{name}-2 created\n", 0)
    assert (both[0], len(both[1].splitlines())) == (1, 2)
    assert [line for line in both[2].splitlines() if "start 1" in line] == [f"{name}: start 1", f"{name}-2: start 1"]


async def test_show_prints_the_history_of_a_deleted_job(cli, kubeconfig, name):
    await cli("run", *QUICK, "--name", name)
    await cli("delete", name)

    code, out, _ = await cli("show", name)

    assert code == 0
    assert "is deleted; this is from history" in out
    assert "attempt 1" in out


async def test_a_suspended_job_continues_when_it_is_resumed(cli, kubeconfig, name):
    await cli("run", *QUICK, "--name", name, "--start-after", "1h", "--detach")
    await cli("suspend", name)
    suspended = await cli("wait", name, "--for=condition=Suspended", "--timeout=110s")
    await cli("resume", name)
    resumed = await cli("wait", name, "--for=condition=Suspended=False", "--timeout=110s")

    assert (suspended[0], resumed[0]) == (0, 0)


async def test_a_job_whose_budget_is_used_up_is_not_resumed_but_reported(cli, kubeconfig, name, tmp_path):
    path = tmp_path / "budget.yaml"
    path.write_text(FILE.replace("error: {status: 503, message: Busy.}", "text: One.").replace("NAME", name))
    loop = "{agentClass: LoopAgent, maxIterations: 2, subAgents: [a], agents: [{name: a, instruction: x}]}"
    budget = "\n  budget: {maxLLMCalls: 1, onExceeded: Suspend}\n"
    path.write_text(path.read_text().replace("{instruction: Be brief.}", loop) + budget)
    await cli("apply", "-f", str(path))
    suspended = await cli("wait", name, "--for=condition=Suspended", "--timeout=110s")
    code, _, err = await cli("resume", name)

    assert (suspended[0], code) == (0, 1)
    assert "its budget is used up" in err


async def test_the_exit_code_of_a_failed_job_follows_from_its_verdict(cli, kubeconfig, name):
    code, out, err = await cli("run", "Go.", "--model", "nonsense", "--instruction", "x", "--name", name)

    assert (code, out) == (78, "")
    assert "model 'nonsense' is unknown" in err


async def test_shell_completion_offers_names_of_jobs(cli, kubeconfig, name, monkeypatch):
    await cli("run", *QUICK, "--name", name, "--start-after", "1h", "--detach")
    words = {"_AGENTJOBS_COMPLETE": "complete_bash", "COMP_WORDS": f"agentjobs cancel {name[:-2]}", "COMP_CWORD": "2"}
    for variable, value in words.items():
        monkeypatch.setenv(variable, value)

    completed = await cli()

    assert name in completed[1].split()


async def test_list_prints_the_jobs(cli, kubeconfig, name):
    await cli("run", *QUICK, "--name", name, "--start-after", "1h", "--detach")

    assert name in (await cli("list"))[1]


async def test_logs_of_an_unknown_job_are_an_error(cli, kubeconfig):
    code, _, err = await cli("logs", "nobody")

    assert code == 1
    assert '"nobody" not found' in err


async def test_a_local_run_needs_no_server_and_shows_only_its_first_attempt(cli, nowhere, file):
    code, out, err = await cli("run", "-f", file, "--local")

    assert (code, out) == (70, "")
    assert "Retry ModelUnavailable" in err


async def test_a_local_run_prints_its_answer_and_finds_modules_in_its_folder(cli, nowhere, tmp_path):
    (tmp_path / "tools_beside.py").write_text("def look() -> str:\n    return 'seen'\n")
    path = tmp_path / "job.yaml"
    body = FILE.replace("NAME", "local").replace(
        "error: {status: 503, message: Busy.}", "toolCalls: [{name: look, args: {}}]"
    )
    path.write_text(body.replace("      - - text", "        - text"))

    code, out, err = await cli("run", "-f", str(path), "--local", "--json", "--tool", "tools_beside:look")

    assert code == 0, err
    assert json.loads(out)["result"]["text"] == "Second try."
    assert json.loads(out)["verdict"] == "Succeed"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(["--max-attempts", "0", "--priority", "12"], "--priority", id="all-problems"),
        pytest.param([], "ConfigMaps must be in the file of -f", id="no-config-map"),
        pytest.param(["--detach"], "leave out --detach", id="detach"),
    ],
)
async def test_an_invalid_local_run_is_refused_before_it_starts(cli, nowhere, more, words):
    code, _, err = await cli("run", *QUICK, "--local", *more)

    assert code == 2
    assert words in err
