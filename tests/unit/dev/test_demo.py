"""How the demo compares an example with its expected end."""

import io
from pathlib import Path

import pytest

from agentjobs.dev.demo import Example, _Table, examples_folder, load, summary
from agentjobs.dev.programs import PROVIDER_VARIABLES, handed_to_models, handed_to_pods
from agentjobs.dev.welcome import next_lines
from agentjobs.models.environment import from_environment

EXPECTED = {"phase": "Succeeded", "attempts": 1, "starts": 1, "reason": "ResultAccepted"}


def job(phase, reason, *, attempts=1):
    return {"status": {"phase": phase, "reason": reason, "attempts": attempts, "starts": 1}}


def test_an_example_that_ends_as_expected_has_no_difference():
    assert Example("hello", EXPECTED, job("Succeeded", "ResultAccepted")).mistakes() == []


def test_every_difference_is_named():
    mistakes = Example("hello", EXPECTED, job("Failed", "ToolError", attempts=3)).mistakes()

    assert mistakes == [
        "phase 'Failed' instead of 'Succeeded'",
        "attempts 3 instead of 1",
        "reason 'ToolError' instead of 'ResultAccepted'",
    ]


@pytest.mark.parametrize(("expected", "ended"), [("Suspended", True), ("Succeeded", False)])
def test_a_suspended_example_has_ended_if_its_file_says_so(expected, ended):
    example = Example("budget", {**EXPECTED, "phase": expected}, job("Suspended", "BudgetExceeded"))

    assert example.ended == ended


def test_a_job_between_two_attempts_shows_the_reason_of_the_wait():
    waiting = {"status": {"phase": "Retrying", "reason": "WaitingForBackoff"}}

    assert Example("flaky", EXPECTED, waiting).outcome()["reason"] == "WaitingForBackoff"


@pytest.mark.parametrize(("reason", "status"), [("ResultAccepted", 0), ("Other", 1)])
def test_the_exit_status_is_0_only_if_all_ended_as_expected(reason, status):
    out = io.StringIO()

    assert summary([Example("hello", EXPECTED, job("Succeeded", reason))], out, seconds=1.0, log=Path("none")) == status
    assert f"{1 - status} of 1 examples" in out.getvalue()


def test_the_summary_has_the_answers():
    out, hello = io.StringIO(), job("Succeeded", "ResultAccepted")
    hello["status"]["result"] = {"summary": "Hello!\nI ran."}

    summary([Example("hello", EXPECTED, hello)], out, seconds=1.0, log=Path("none"))

    assert ": Hello! I ran." in out.getvalue()


@pytest.mark.parametrize(("width", "columns"), [(80, 4), (120, 6)])
def test_the_table_shows_the_answer_in_a_narrow_terminal(monkeypatch, width, columns):
    monkeypatch.setenv("COLUMNS", str(width))
    out, hello = io.StringIO(), job("Succeeded", "ResultAccepted")
    hello["status"]["result"] = {"summary": "Hello! I am an agent"}

    show = _Table(out, [Example("rate-limited", EXPECTED, hello)])
    show.close()

    assert "Hello! I am an agent" in out.getvalue()
    assert len(show._table().columns) == columns


@pytest.mark.parametrize("examples", [True, False])
def test_the_next_commands_work_in_a_new_terminal(tmp_path, examples):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    if examples:
        (tmp_path / "examples").mkdir()
        (tmp_path / "examples" / "hello.yaml").touch()

    lines = list(next_lines(Path("/k"), here=tmp_path, prefix=tmp_path / ".venv"))

    file = next(line for line in lines if "hello.yaml" in line).split()[-1]
    assert lines[:2] == [". .venv/bin/activate", "export KUBECONFIG=/k"]
    assert (tmp_path / file).is_file()


def test_an_example_that_never_started_is_an_error():
    assert Example("hello", EXPECTED).mistakes()


def test_every_example_has_an_expected_ending():
    folder = examples_folder()
    assert folder is not None

    examples, objects = load(folder)

    jobs = {entry["metadata"]["name"] for entry in objects if entry["kind"] == "AgentJob"}
    assert {example.name for example in examples} == jobs


def test_the_model_proxy_gets_the_keys_that_are_set_and_pods_get_none():
    environ = {"GOOGLE_API_KEY": "k", "OPENAI_API_KEY": "", "HOME": "/root", "HTTPS_PROXY": "http://p:3128"}

    assert handed_to_models(environ) == {"GOOGLE_API_KEY": "k"}
    assert handed_to_pods(environ) == {"HTTPS_PROXY": "http://p:3128"}


def test_the_model_proxy_gets_every_variable_that_it_reads():
    asked = set()

    class Noted(dict):
        def get(self, name, default=None):
            asked.add(name)
            return super().get(name, default)

    from_environment(Noted())
    from_environment(Noted(GOOGLE_GENAI_USE_VERTEXAI="true", GOOGLE_CLOUD_PROJECT="p"))

    assert asked == set(PROVIDER_VARIABLES)


def test_pods_get_the_path_of_claude_code(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert handed_to_pods({"AGENTJOBS_CLAUDE": "bin/claude"}) == {"AGENTJOBS_CLAUDE": str(tmp_path / "bin/claude")}
    assert handed_to_pods({"AGENTJOBS_CLAUDE": "claude-nightly"}) == {"AGENTJOBS_CLAUDE": "claude-nightly"}
