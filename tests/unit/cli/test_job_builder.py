"""From flags and a file to an AgentJob."""

import json

import pytest

from agentjobs.api.job.validation import validate_job
from agentjobs.cli.failures import Failure
from agentjobs.cli.job_builder import pairs, work_of

MODEL, MESSAGE = ("agent", "model"), ("input", "message")
FILE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: script}
data: {main: "x"}
---
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: hello}
spec:
  agent: {model: scripted/script/main, inline: {instruction: Be brief.}}
  input: {messageFrom: {configMapKeyRef: {name: m, key: k}}, state: {a: "1"}}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(FILE)
    return str(path)


def test_a_message_and_a_model_make_a_valid_job():
    work = work_of(None, name="hello", fields={MODEL: "gemini-flash-latest", MESSAGE: "Hi."})

    assert validate_job(work.job) == []
    assert work.job["spec"] == {
        "agent": {"model": "gemini-flash-latest", "inline": {}},
        "input": {"message": "Hi."},
        "ttlSecondsAfterFinished": 86400,
    }


def test_a_module_needs_no_model():
    work = work_of(None, name=None, fields={("agent", "module", "ref"): "my_agent", MESSAGE: "Hi."})

    assert work.job["spec"]["agent"] == {"module": {"ref": "my_agent"}}
    assert work.name == ""


def test_flags_override_the_file_and_keep_the_rest(file):
    work = work_of(file, name="other", fields={MESSAGE: "Hi.", ("input", "state"): {"b": "2"}})

    assert work.name == "other"
    assert work.job["spec"]["input"] == {"message": "Hi.", "state": {"a": "1", "b": "2"}}
    assert work.job["spec"]["agent"]["inline"] == {"instruction": "Be brief."}
    assert work.config_maps() == {("script", "main"): "x"}


def test_the_ttl_of_the_file_is_kept(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(FILE + "  ttlSecondsAfterFinished: 5\n")

    assert work_of(str(path), name=None, fields={}).job["spec"]["ttlSecondsAfterFinished"] == 5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({MESSAGE: "Hi."}, "--model and --instruction, or --module", id="no-agent"),
        pytest.param({MODEL: "gemini-x"}, "give a MESSAGE", id="no-message"),
    ],
)
def test_missing_fields_are_named(fields, words):
    with pytest.raises(Failure, match=words):
        work_of(None, name=None, fields=fields)


def test_a_file_of_several_jobs_is_refused(tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(FILE + "---" + FILE)

    with pytest.raises(Failure, match="2 AgentJobs"):
        work_of(str(path), name=None, fields={})


def test_pairs_are_split_at_the_first_equals_sign():
    assert pairs(["a=1=2", "b="], "--state") == {"a": "1=2", "b": ""}
    with pytest.raises(Failure, match=r"^--state 'a': .*KEY=VALUE"):
        pairs(["a"], "--state")


TEMPLATE, PARAMETERS = ("templateRef", "name"), ("parameters",)


def test_with_a_template_work_and_ttl_are_not_set():
    work = work_of(None, name="a", fields={TEMPLATE: "review", PARAMETERS: {"repo": "shop"}})

    assert work.job["spec"] == {"templateRef": {"name": "review"}, "parameters": {"repo": "shop"}}
    assert validate_job(work.job) == []


def test_with_a_template_a_file_need_not_contain_a_job(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text("apiVersion: agentjobs.dev/v1alpha1\nkind: AgentTemplate\nmetadata: {name: review}\nspec: {}\n")
    work = work_of(str(path), name="a", fields={TEMPLATE: "review"})

    assert [body["kind"] for body in work.others] == ["AgentTemplate"]
    with pytest.raises(Failure, match="0 AgentJobs"):
        work_of(str(path), name="a", fields={MESSAGE: "Hi."})


def test_a_file_with_claude_code_gets_no_other_agent(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "apiVersion: agentjobs.dev/v1alpha1\nkind: AgentJob\nmetadata: {name: x}\n"
        "spec: {agent: {model: opus, claudeCode: {}}, input: {message: Go.}}\n"
    )
    assert work_of(str(path), name=None, fields={}).job["spec"]["agent"] == {"model": "opus", "claudeCode": {}}


def test_a_container_without_a_command_is_an_agent(tmp_path):
    agent = {"model": "openai/gpt-5-mini", "container": {}}
    spec = {"agent": agent, "runtime": {"image": "example.com/agent:1"}, "input": {"message": "Hi."}}
    body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": "a"}, "spec": spec}
    (tmp_path / "job.yaml").write_text(json.dumps(body))

    assert work_of(str(tmp_path / "job.yaml"), name=None, fields={}).job["spec"]["agent"] == agent
