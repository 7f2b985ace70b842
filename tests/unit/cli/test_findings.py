"""What `agentjobs validate` says: of the files alone, by the operator's own rules."""

import json

import pytest
import yaml

from agentjobs.cli.app import run

TEMPLATE = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentTemplate
metadata: {name: review}
spec:
  parameters: [{name: repo, required: true}]
  locked: [isolation]
  queue: fast
  agent: {model: m, inline: {instruction: Review $(params.repo).}}
  input: {message: Go.}
"""
QUEUE = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentQueue
metadata: {name: fast}
spec: {defaults: {priority: 4}}
"""
JOB = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: one}
spec: {templateRef: {name: review}, parameters: {repo: shop}, retry: {maxAttempts: 1}}
"""
SCHEDULE = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentSchedule
metadata: {name: nightly}
spec: {schedule: "@daily", jobTemplate: {spec: {templateRef: {name: review}, isolation: {profile: Baseline}}}}
"""


@pytest.fixture
def validate(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    def build(*documents, more=("--offline",)):
        path = tmp_path / "all.yaml"
        path.write_text("\n---\n".join(documents))
        with pytest.raises(SystemExit) as left:
            run(["validate", "-f", str(path), *more])
        told = capsys.readouterr()
        return left.value.code or 0, told.out, told.err

    return build


def test_the_merged_spec_is_yaml_with_the_origin_of_each_value(validate):
    code, out, err = validate(TEMPLATE, QUEUE, JOB)

    assert (code, err) == (0, "")
    merged = list(yaml.safe_load_all(out))[-1]["spec"]
    assert (merged["priority"], merged["queue"], merged["retry"]) == (4, "fast", {"maxAttempts": 1})
    assert "  priority: 4  # queue fast" in out
    assert "  queue: fast  # template review" in out
    assert "    maxAttempts: 1  # job" in out


def test_all_problems_of_all_objects_are_reported_together(validate):
    code, _, err = validate(TEMPLATE, JOB.replace("retry", "rerty"), SCHEDULE)

    assert code == 1
    assert "AgentJob one: spec.rerty: " in err
    assert "AgentSchedule nightly: spec.jobTemplate.spec.parameters.repo: " in err
    assert "AgentSchedule nightly: spec.jobTemplate.spec.isolation: " in err


def test_an_invalid_template_is_reported_together_with_its_jobs(validate):
    code, _, err = validate(TEMPLATE.replace("queue: fast", "priority: 99"), JOB)

    assert code == 1
    assert "AgentTemplate review: spec.priority: 99" in err
    assert "AgentJob one: template review: spec.priority: 99" in err


def test_skipped_checks_are_reported(validate):
    code, out, err = validate(JOB)

    assert code == 0
    assert "as far as it was checked" in out
    assert "AgentJob one: not checked: AgentTemplate review " in err


def test_a_job_whose_template_is_missing_is_checked_without_it(validate):
    code, _, err = validate(JOB.replace("maxAttempts: 1", "maxAttempts: 0"))
    assert (code, "spec.retry.maxAttempts: 0" in err) == (1, True)


def test_the_absence_of_a_cluster_is_reported(validate):
    code, _, err = validate(JOB, more=())
    assert (code, "lookup in the cluster" in err) == (0, True)


def test_json_output_has_all_problems_and_origins(validate):
    _, out, _ = validate(TEMPLATE, QUEUE, JOB, more=("--offline", "-o", "json"))
    told = {one["kind"]: one for one in json.loads(out)}

    assert told["AgentJob"]["origins"]["input.message"] == "template review"
    assert told["AgentJob"]["spec"]["priority"] == 4
    assert told["AgentTemplate"]["problems"] == []


def test_json_output_has_the_parts_of_each_problem(validate):
    _, out, _ = validate(
        TEMPLATE, JOB.replace("maxAttempts: 1", "maxAttempts: 0"), SCHEDULE, more=("--offline", "-o", "json")
    )
    told = {one["kind"]: one["problems"] for one in json.loads(out)}

    (job,) = told["AgentJob"]
    assert (job["field"], job["value"], job.keys()) == ("spec.retry.maxAttempts", "0", {"field", "value", "message"})
    assert "at least" in job["message"]
    assert "spec.jobTemplate.spec.isolation" in [problem["field"] for problem in told["AgentSchedule"]]


def test_json_output_names_the_template_that_a_problem_is_about(validate):
    _, out, _ = validate(
        TEMPLATE.replace("queue: fast", "priority: 99"), JOB, SCHEDULE, more=("--offline", "-o", "json")
    )
    told = {one["kind"]: one["problems"][0] for one in json.loads(out)}

    places = {kind: (problem.get("template"), problem["field"]) for kind, problem in told.items()}
    assert places["AgentTemplate"] == (None, "spec.priority")
    assert places["AgentJob"] == places["AgentSchedule"] == ("review", "spec.priority")


@pytest.mark.parametrize("text", ["kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}", "- 1", "kind: [", ""])
def test_a_file_without_any_of_our_objects_is_an_error(validate, text):
    assert validate(text)[0] == 2


SPECS = ["null", "3", "[]", "{templateRef: 3}", "{templateRef: {name: 3}}", "{parameters: [1]}"]


@pytest.mark.parametrize("spec", SPECS)
def test_errors_in_any_job_are_reported_as_problems(validate, spec):
    code, _, err = validate(TEMPLATE, JOB.split("spec:")[0] + f"spec: {spec}")
    assert code == 1
    assert "AgentJob one: spec" in err


@pytest.mark.parametrize(
    ("slip", "cure"),
    [
        (("kind: AgentJob", "kind: AgentJb"), "did you mean AgentJob?"),
        (
            ("dev/v1alpha1", "dev/v1"),
            "use agentjobs.dev/v1alpha1",
        ),
        (("agentjobs.dev/", "agentjob.dev/"), "use agentjobs.dev/v1alpha1"),
    ],
    ids=["kind", "version", "group"],
)
def test_an_object_with_a_misspelt_kind_is_reported(validate, slip, cure):
    code, _, err = validate(TEMPLATE, JOB.replace(*slip))
    assert (code, cure in err) == (1, True)


def test_an_invalid_template_name_is_not_looked_up(validate):
    _, _, err = validate(JOB.replace("{name: review}", "review"))

    assert 'spec.templateRef: "review" ' in err
    assert "None" not in err


def test_parameters_without_a_template_are_a_problem_like_for_the_api_server(validate):
    code, _, err = validate(JOB.replace("templateRef: {name: review}", "agent: {model: m, inline: {instruction: x}}"))
    assert (code, "spec.parameters: " in err) == (1, True)


def test_errors_in_list_entries_are_not_reported_as_missing_entries(validate):
    told = (
        "agent: {model: m, inline: {instruction: x}}, input: {message: x}, notifications: [{sink: a, events: [failed]}]"
    )
    code, _, err = validate(JOB.split("spec:")[0] + f"spec: {{{told}}}")

    assert (code, 'notifications[0].events[0]: "failed" ' in err) == (1, True)
    assert "1 problem:" in err


@pytest.mark.parametrize("name", ["Hello", "hello_world", "-hello", "hello."])
def test_a_name_that_the_api_server_refuses_is_a_problem(validate, name):
    code, _, err = validate(TEMPLATE, JOB.replace("{name: one}", f"{{name: {name}}}"))

    assert (code, f'metadata.name: "{name}" is not an object name' in err) == (1, True)


def test_a_generated_name_is_judged_as_the_api_server_completes_it(validate):
    code, _, _ = validate(TEMPLATE, JOB.replace("{name: one}", "{generateName: one-}"))

    assert code == 0
