"""Signed calls: what the gateway reads of them, which secrets it has, and where it may make jobs."""

import json

import pytest
from tests.unit.chart.conftest import CHART, TRIAL

from agentjobs.gateway.triggers.file import TriggerEntry, parse
from agentjobs.rbac import trigger_role

TRIGGERS = [
    {
        "namespace": "engineering",
        "template": "triage",
        "signature": "GitHub",
        "secrets": [{"name": "hooks", "key": "github"}, {"name": "hooks", "key": "next"}],
        "when": {"header:X-GitHub-Event": ["issues"], "action": ["opened", 7]},
        "parameters": {"number": "issue.number"},
        "idempotencyKey": "issue.id",
        "period": "7d",
        "startAfter": "2m",
    },
    {"namespace": "shop", "template": "ask", "signature": "Slack", "secrets": [{"name": "slack", "key": "secret"}]},
    {"namespace": "shop", "template": "more", "signature": "Slack", "secrets": [{"name": "slack", "key": "secret"}]},
]


def words(rule):
    return [*rule["verbs"], *rule["resources"]] if "agentjobs" in rule["resources"] else []


def of_kind(objects, kind, name="triggers"):
    return [one for one in objects if one["kind"] == kind and one["metadata"]["name"].endswith(name)]


def test_the_gateway_reads_the_triggers_of_the_values_and_finds_their_secrets(render):
    objects = render(TRIAL, {"triggers": TRIGGERS})
    [file] = of_kind(objects, "ConfigMap")
    [pod] = [one["spec"]["template"]["spec"] for one in of_kind(objects, "Deployment", "gateway")]
    entries = parse(file["data"]["triggers.yaml"], "triggers.yaml")
    [secrets] = [one["projected"]["sources"] for one in pod["volumes"] if one["name"] == "trigger-secrets"]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "trigger-secrets"]
    mounted = {f"{mount['mountPath']}/{item['path']}" for one in secrets for item in one["secret"]["items"]}
    environment = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}

    assert [entry.template for entry in entries] == ["triage", "ask", "more"]
    assert {str(path) for entry in entries for path in entry.secret_files} == mounted
    assert all(one["secret"]["optional"] for one in secrets)
    assert environment["AGENTJOBS_TRIGGERS_FILE"] == "/etc/agentjobs/triggers/triggers.yaml"


def test_the_gateway_can_create_jobs_only_in_the_namespaces_of_triggers(render):
    objects = render(TRIAL, {"triggers": TRIGGERS})
    found = [one for one in objects if one["kind"] in ("Role", "ClusterRole") and "gateway" in str(one["metadata"])]
    makes = [one for one in found if {"create", "agentjobs"} <= {word for rule in one["rules"] for word in words(rule)}]
    bindings = of_kind(objects, "RoleBinding")

    assert [(one["kind"], one["metadata"]["namespace"]) for one in makes] == [("Role", "engineering"), ("Role", "shop")]
    assert all(one["rules"] == trigger_role()["rules"] for one in makes)
    assert {(one["metadata"]["namespace"], one["subjects"][0]["name"]) for one in bindings} == {
        ("engineering", "agentjobs-gateway"),
        ("shop", "agentjobs-gateway"),
    }


def test_without_triggers_none_of_their_objects_are_rendered(trial):
    # The CRDs' texts speak of triggers, too.
    told = [one for one in trial if one["kind"] != "CustomResourceDefinition" and "triggers" in json.dumps(one)]

    assert told == []


def test_the_values_have_exactly_the_fields_of_the_file():
    schema = json.loads((CHART / "values.schema.json").read_text())
    fields = set(schema["properties"]["triggers"]["items"]["properties"])

    assert fields - {"secrets"} == {field.alias for field in TriggerEntry.model_fields.values()} - {"secretFiles"}


def test_a_trigger_in_an_unwatched_namespace_is_refused(render, helm):
    with pytest.raises(helm.HelmRenderError, match="watchedNamespaces"):
        render(TRIAL, {"triggers": TRIGGERS, "watchedNamespaces": ["shop"]})


@pytest.mark.parametrize(
    "wrong",
    [{"secrets": []}, {"signature": "Github"}, {"namespace": "A"}, {"secretFiles": ["/x"]}, {"when": {"a": []}}],
    ids=["no-secret", "signature", "namespace", "file", "when"],
)
def test_an_invalid_trigger_is_refused(chart, helm, wrong):
    with pytest.raises(helm.HelmValuesError, match="/triggers/0"):
        chart.validate_schema(TRIAL | {"triggers": [TRIGGERS[1] | wrong]})
