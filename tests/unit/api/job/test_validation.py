import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import validate_job
from agentjobs.api.problems import MAX_PROBLEMS, FieldProblem, rejection, shown
from agentjobs.contract import GIT_CACHE_CLAIM

Job = Callable[..., dict[str, Any]]
MODEL = "gemini-flash-latest"

BAD_SPECS = {
    "unknown-field": ({"agents": 1}, "spec.agents", "", "agent?"),
    "unknown-field-inside": (
        {"retry": {"backoff": {"intial": "1s"}}},
        "spec.retry.backoff.intial",
        "",
        "initial?",
    ),
    "snake-case": ({"start_after": "1h"}, "spec.start_after", "", "startAfter?"),
    "not-yet-a-field": ({"retry": {"patience": 3}}, "spec.retry.patience", "", "maxAttempts"),
    "number-as-text": ({"priority": "3"}, "spec.priority", '"3"', "quotes"),
    "text-as-number": ({"queue": 7}, "spec.queue", "7", "quotes"),
    "truth-as-text": ({"cancel": "yes"}, "spec.cancel", '"yes"', "quotes"),
    "truth-as-number": ({"priority": True}, "spec.priority", "true", "number"),
    "object-as-text": ({"retry": "often"}, "spec.retry", '"often"', "object"),
    "list-as-object": ({"runtime": {"env": {"A": "1"}}}, "spec.runtime.env", "an object", "list"),
    "out-of-range": ({"priority": 12}, "spec.priority", "12", "9"),
    "no-such-choice": (
        {"runtime": {"imagePullPolicy": "Now"}},
        "spec.runtime.imagePullPolicy",
        '"Now"',
        "'IfNotPresent'",
    ),
    "no-agent": ({"agent": None}, "spec.agent", "", "agent.inline, agent.module"),
    "no-input": ({"input": None}, "spec.input", "", "input.message"),
    "no-message": ({"input": {}}, "spec.input", "", "needs one"),
    "empty-message": ({"input": {"message": ""}}, "spec.input.message", '""', "at least 1"),
    "two-messages": (
        {"input": {"message": "x", "messageFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}},
        "spec.input",
        "",
        "exclude each other",
    ),
    "no-kind-of-agent": (
        {"agent": {"model": MODEL}},
        "spec.agent",
        "",
        "needs one",
    ),
    "two-kinds-of-agent": (
        {"agent": {"model": MODEL, "inline": {"name": "a"}, "module": {"ref": "a:b"}}},
        "spec.agent",
        "",
        "exclude each other",
    ),
    "message-among-arguments": (
        {"agent": {"model": "sonnet", "claudeCode": {"extraArgs": ["mcp", "list"]}}},
        "spec.agent.claudeCode.extraArgs[0]",
        '"mcp"',
        "input.message",
    ),
    "branch-that-reads-as-another": (
        {
            "workspace": {
                "git": {"url": "https://git.example.com/a/b"},
                "publish": {"mode": "Branch", "branch": "agents/\u202enimda", "secretRef": {"name": "git"}},
            }
        },
        "spec.workspace.publish.branch",
        '"agents/\u202enimda"',
        "branch",
    ),
    "branch-of-no-name": (
        {
            "workspace": {
                "git": {"url": "https://git.example.com/a/b"},
                "publish": {"mode": "Branch", "branch": "HEAD", "secretRef": {"name": "git"}},
            }
        },
        "spec.workspace.publish.branch",
        '"HEAD"',
        "Git",
    ),
    "a-short-flag-with-its-value": (
        {"agent": {"model": "sonnet", "claudeCode": {"extraArgs": ["-rID"]}}},
        "spec.agent.claudeCode.extraArgs[0]",
        '"-rID"',
        "agent.claudeCode",
    ),
    "a-flag-for-people": (
        {"agent": {"model": "sonnet", "claudeCode": {"extraArgs": ["--add-dir", "/data", "--remote-control=x"]}}},
        "spec.agent.claudeCode.extraArgs[2]",
        '"--remote-control=x"',
        "terminal",
    ),
    "a-flag-among-rules-for-tools": (
        {"agent": {"model": "sonnet", "claudeCode": {"allowedTools": ["Edit", "--bare"]}}},
        "spec.agent.claudeCode.allowedTools[1]",
        '"--bare"',
        "flag",
    ),
    "claude-code-with-a-model-of-another-api": (
        {"agent": {"model": "openai/gpt-5", "claudeCode": {}}},
        "spec.agent.model",
        '"openai/gpt-5"',
        "sonnet",
    ),
    "claude-code-without-a-model": (
        {"agent": {"claudeCode": {}}},
        "spec.agent.model",
        "",
        "sonnet",
    ),
    "a-repository-out-of-reach": (
        {
            "workspace": {"git": {"url": "https://git.example.com/shop.git"}},
            "isolation": {"egress": {"mode": "Restricted"}},
        },
        "spec.isolation.egress.allow",
        "",
        "workspace.git.url",
    ),
    "name-with-dash": (
        {"agent": {"model": MODEL, "inline": {"name": "morning-brief"}}},
        "spec.agent.inline.name",
        '"morning-brief"',
        "morning_brief",
    ),
    "reserved-name": (
        {"agent": {"model": MODEL, "inline": {"name": "user"}}},
        "spec.agent.inline.name",
        '"user"',
        "assistant",
    ),
    "long-name": (
        {"agent": {"model": MODEL, "inline": {"name": "x" * 10_000}}},
        "spec.agent.inline.name",
        shown("x" * 10_000),
        "63",
    ),
    "no-model": ({"agent": {"inline": {"instruction": "x"}}}, "spec.agent.model", "", "gemini-flash-latest"),
    "model-that-no-agent-takes": (
        {
            "agent": {
                "model": MODEL,
                "inline": {
                    "agentClass": "SequentialAgent",
                    "subAgents": ["a"],
                    "agents": [{"name": "a", "model": "openai/gpt-4o"}],
                },
            }
        },
        "spec.agent.model",
        '"gemini-flash-latest"',
        "remove",
    ),
    "scripted-without-key": (
        {"agent": {"model": "scripted/x", "inline": {"name": "a"}}},
        "spec.agent.model",
        '"scripted/x"',
        "scripted/<configmap>/<key>",
    ),
    "unknown-key": (
        {"agent": {"model": MODEL, "inline": {"instruction": "Of {topic}."}}},
        "spec.agent.inline.instruction",
        '"{topic}"',
        "{topic?}",
    ),
    "bad-module": (
        {"agent": {"module": {"ref": "../x:y"}}},
        "spec.agent.module.ref",
        '"../x:y"',
        "package.module:attribute",
    ),
    "bad-duration": (
        {"timeouts": {"attempt": "five"}},
        "spec.timeouts.attempt",
        '"five"',
        "90s",
    ),
    "duration-as-number": ({"timeouts": {"attempt": 90}}, "spec.timeouts.attempt", "90", "string"),
    "duration-too-long": ({"timeouts": {"attempt": "400d"}}, "spec.timeouts.attempt", '"400d"', "366d"),
    "cost-as-number": ({"budget": {"maxCostUSD": 2.5}}, "spec.budget.maxCostUSD", "2.5", "quotes"),
    "no-time-at-all": ({"timeouts": {"attempt": "0s"}}, "spec.timeouts.attempt", '"0s"', "1s"),
    "bad-time": ({"startAt": "tomorrow"}, "spec.startAt", '"tomorrow"', "RFC 3339"),
    "two-start-times": (
        {"startAt": "2026-12-01T09:00:00Z", "startAfter": "1h"},
        "spec.startAfter",
        '"1h"',
        "startAt",
    ),
    "bad-quantity": (
        {"runtime": {"resources": {"limits": {"memory": "lots"}}}},
        "spec.runtime.resources.limits.memory",
        '"lots"',
        "512Mi",
    ),
    "bad-address": (
        {"isolation": {"egress": {"allow": [{"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]}}},
        "spec.isolation.egress.allow[0].to[0].ipBlock.cidr",
        '"10.0.0.1"',
        "/24",
    ),
    "bad-port": (
        {"isolation": {"egress": {"allow": [{"ports": [{"port": 70_000}]}]}}},
        "spec.isolation.egress.allow[0].ports[0].port",
        "70000",
        "65535",
    ),
    "our-variable": (
        {"runtime": {"env": [{"name": "AGENTJOBS_JOB"}]}},
        "spec.runtime.env[0].name",
        '"AGENTJOBS_JOB"',
        "AGENTJOBS_",
    ),
    "variable-twice": (
        {"runtime": {"env": [{"name": "A"}, {"name": "A"}]}},
        "spec.runtime.env[1].name",
        '"A"',
        "twice",
    ),
    "sourceless-variable": (
        {"runtime": {"env": [{"name": "A", "valueFrom": {}}]}},
        "spec.runtime.env[0].valueFrom",
        "",
        "secretKeyRef",
    ),
    "nul": ({"input": {"message": "a\0b"}}, "spec.input.message", "", "U+0000"),
    "nul-in-a-key": ({"input": {"message": "x", "state": {"a\0": 1}}}, 'spec.input.state["(a key)"]', "", "U+0000"),
    "surrogate": ({"input": {"message": "a\ud800"}}, "spec.input.message", "", "surrogate"),
    "huge-number": (
        {"input": {"message": "x", "state": {"a": 10**400}}},
        "spec.input.state.a",
        "a huge number",
        "64 bits",
    ),
    "not-a-number": (
        {"input": {"message": "x", "state": {"a": float("nan")}}},
        "spec.input.state.a",
        "nan",
        "64 bits",
    ),
    "large-state": ({"input": {"message": "x", "state": {"a": "x" * 17_000}}}, "spec.input.state", "", "16384"),
    "large-spec": ({"input": {"message": "x" * 2_000_000}}, "spec", "", "98304"),
}


def told(job: object) -> list[str]:
    return [str(problem) for problem in validate_job(job)]


@pytest.mark.parametrize(("changes", "field", "value", "cure"), BAD_SPECS.values(), ids=BAD_SPECS)
def test_invalid_input_is_reported_with_field_value_and_solution(
    a_job: Job, changes: dict[str, Any], field: str, value: str, cure: str
) -> None:
    problems = validate_job(a_job(**changes))

    assert any((it.field, it.value) == (field, value) and cure in it.message for it in problems), problems
    assert all(len(str(problem)) < 400 for problem in problems)


def test_all_problems_are_reported_together(a_job: Job) -> None:
    job = a_job(name="n" * 53, agent={"inline": {"name": "user"}}, priority="high", startAfter="soon", queue="A b")
    fields = [problem.field for problem in validate_job(job)]

    assert {"metadata.name", "spec.agent.inline.name", "spec.agent.model", "spec.priority"} <= set(fields)
    assert {"spec.startAfter", "spec.queue"} <= set(fields)


def test_a_name_can_have_52_characters(a_job: Job) -> None:
    assert told(a_job(name="n" * 52)) == []
    assert [(problem.field, "52" in problem.message) for problem in validate_job(a_job(name="n" * 53))] == [
        ("metadata.name", True)
    ]


def test_values_that_may_be_secret_are_not_repeated(a_job: Job) -> None:
    env = [{"name": "A", "value": 12345}, {"name": "B", "vale": "hunter2"}, {"name": "C", "value": "hunter2" * 9000}]
    problems = " ".join(told(a_job(runtime={"env": env}, apiKey="hunter2")))

    assert "hunter2" not in problems
    assert "12345" not in problems


def test_thousands_of_problems_fit_into_one_message(a_job: Job) -> None:
    problems = validate_job(a_job(**{f"field{index}": index for index in range(5000)}))
    assert len(problems) == MAX_PROBLEMS


def test_a_spec_that_is_only_too_large_is_reported_as_too_large(a_job: Job) -> None:
    reason, message = rejection(validate_job(a_job(input={"message": "x", "state": {"a": "x" * 17_000}})))

    assert reason == "SpecTooLarge"
    assert "17008" in message


def test_violated_rules_make_a_spec_invalid() -> None:
    problems = [FieldProblem("spec.a", "1", "is wrong"), FieldProblem("spec.b", "", "is missing")]
    assert rejection(problems) == ("InvalidSpec", "spec.a: 1 is wrong; spec.b: is missing")


@pytest.mark.parametrize("job", [None, [], "x", {}, {"spec": None}, {"spec": []}, {"metadata": 3, "spec": 3}], ids=repr)
def test_an_invalid_job_is_a_problem(job: object) -> None:
    assert told(job)


def test_unlimited_nesting_is_a_problem(a_job: Job) -> None:
    deep: dict[str, Any] = {}
    for _ in range(50_000):
        deep = {"a": deep}
    assert "64 levels" in told(a_job(input={"message": "x", "state": deep}))[0]


# Names the models know and values of any type: every wrong shape in every place.
SCHEMA = AgentJobSpec.model_json_schema()
FIELDS = sorted({name for node in [SCHEMA, *SCHEMA["$defs"].values()] for name in node["properties"]})
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["LlmAgent", "LoopAgent", "a", "b", "user", "{a}", "5s", "scripted/a/b", "\ud800", "\0"])
)
GARBAGE = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=5),
    max_leaves=25,
)
TOP = {"input", "session", "retry", "runtime", "startAt", "timeouts", "steps", "tools"}
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "agent": GARBAGE | st.fixed_dictionaries({}, optional={"model": GARBAGE, "inline": GARBAGE, "module": GARBAGE}),
        **{name: GARBAGE for name in FIELDS if name in TOP},
    },
)


@given(st.one_of(GARBAGE, st.fixed_dictionaries({"metadata": GARBAGE, "spec": GARBAGE | SPECS})))
def test_any_object_can_be_validated(job: Any) -> None:
    for problem in validate_job(job):
        json.dumps(str(problem), ensure_ascii=False).encode()


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "user")
VALID = st.fixed_dictionaries(
    {
        "agent": st.builds(lambda name: {"model": MODEL, "inline": {"name": name, "instruction": "Of {a}."}}, NAMES)
        | st.builds(lambda name: {"module": {"ref": f"{name}.{name}:agent"}}, NAMES),
        "input": st.fixed_dictionaries(
            {"message": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=50)}
        ).map(lambda given: given | {"state": {"a": 1}}),
    },
    optional={
        "priority": st.integers(0, 9),
        "queue": st.sampled_from(["agents", "scheduled", "a-1"]),
        "startAfter": st.sampled_from(["0s", "1h30m", "7d"]),
        "retry": st.fixed_dictionaries({}, optional={"maxAttempts": st.integers(1, 100)}),
        "timeouts": st.just({"attempt": "1s"}),
        "runtime": st.just({"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}),
        "cancel": st.booleans(),
        "ttlSecondsAfterFinished": st.integers(0, 2**31 - 1),
    },
)


@given(VALID)
def test_a_spec_within_the_bounds_has_no_problems(spec: dict[str, Any]) -> None:
    assert validate_job({"metadata": {"name": "hello"}, "spec": spec}) == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        pytest.param({"name": "r", "action": "Fail"}, "needs a matcher", id="no-matcher"),
        pytest.param(
            {"name": "r", "onErrors": ["ToolEror"], "action": "Fail"}, "did you mean ToolError", id="unknown-class"
        ),
        pytest.param(
            {"name": "r", "onErrors": ["ToolError"], "action": "Fail", "delay": "5s"}, "remove it", id="useless-delay"
        ),
    ],
)
def test_a_rule_that_cannot_have_its_effect_is_refused(rule, words) -> None:
    job = {
        "metadata": {"name": "x"},
        "spec": {
            "agent": {"model": "gemini-x", "inline": {"instruction": "x"}},
            "input": {"message": "x"},
            "resultPolicy": {"rules": [rule]},
        },
    }

    assert words in "; ".join(map(str, validate_job(job)))


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        pytest.param({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "hostPath", id="host-path"),
        pytest.param({"volumes": [{"name": "token", "emptyDir": {}}]}, "is taken", id="our-volume"),
        pytest.param({"volumes": [{"emptyDir": {}}]}, "is required", id="volume-without-a-name"),
        pytest.param(
            {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}, "is not a volume", id="no-such-volume"
        ),
        pytest.param(
            {"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": [{"name": "a", "mountPath": "/tmp/"}]},
            "is taken",
            id="our-path",
        ),
        pytest.param(
            {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": GIT_CACHE_CLAIM}}]},
            "of other jobs",
            id="cache-of-repositories",
        ),
        pytest.param({"labels": {"agentjobs.dev/job": "other"}}, "is reserved", id="our-label"),
        pytest.param({"envFrom": [{}]}, "needs one of", id="env-from-nowhere"),
        pytest.param({"automountServiceAccountToken": True}, "serviceAccountName", id="token-of-the-default-account"),
        pytest.param({"runAsUser": 0}, "runAsUser", id="root"),
    ],
)
def test_an_unsupported_pod_field_is_refused_by_name(runtime, words) -> None:
    spec = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    job = {"metadata": {"name": "x"}, "spec": {**spec, "runtime": runtime}}

    assert words in "; ".join(map(str, validate_job(job)))


def test_the_cache_of_repositories_cannot_be_a_worktree():
    worktree = {"mode": "Named", "name": "a"}
    workspace = {"git": {"url": "https://h/a.git"}, "worktree": worktree, "claimName": GIT_CACHE_CLAIM}
    spec = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}

    problems = validate_job({"metadata": {"name": "x"}, "spec": {**spec, "workspace": workspace}})

    assert ["spec.workspace.claimName" in str(problem) for problem in problems] == [True]


def credential(source, **runtime):
    spec = {"agent": {"model": "gemini-x", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    volume = {"name": "id", "projected": {"sources": [{"configMap": {"name": "a"}}, source]}}
    job = {"metadata": {"name": "x"}, "spec": {**spec, "runtime": {"volumes": [volume], **runtime}}}
    return [(problem.field, problem.message) for problem in validate_job(job)]


@pytest.mark.parametrize(
    "token", [{}, {"audience": ""}, {"audience": "https://kubernetes.default.svc.cluster.local"}], ids=str
)
def test_a_projected_token_for_the_api_server_requires_an_explicit_service_account(token) -> None:
    source = {"serviceAccountToken": {"path": "token", **token}}
    (alone,) = credential(source)
    (named,) = credential(source, serviceAccountName="bot")

    assert alone[0] == named[0] == "spec.runtime.volumes[0].projected.sources[1].serviceAccountToken"
    assert ("serviceAccountName" in alone[1], "automountServiceAccountToken" in named[1]) == (True, True)
    assert credential(source, serviceAccountName="bot", automountServiceAccountToken=True) == []


def test_a_token_for_another_audience_requires_only_a_service_account() -> None:
    source = {"serviceAccountToken": {"path": "token", "audience": "vault"}}

    assert [field for field, _ in credential(source)] == [
        "spec.runtime.volumes[0].projected.sources[1].serviceAccountToken"
    ]
    assert credential(source, serviceAccountName="bot") == []


def test_a_certificate_for_the_api_server_is_treated_like_a_token() -> None:
    source = {"podCertificate": {"signerName": "kubernetes.io/kube-apiserver-client-pod", "keyType": "ED25519"}}

    assert len(credential(source)) == len(credential(source, serviceAccountName="bot")) == 1
    assert credential({"clusterTrustBundle": {"name": "ca", "path": "ca.pem"}}) == []
