"""The roles are small, and what is made of them can be applied."""

import pytest

from agentjobs.rbac import impersonation_objects, objects, roles

PARTS = ["operator", "gateway", "proxy", "notifier", "dashboard"]


def rules(part):
    return [rule for role in roles(part) for rule in role["rules"]]


@pytest.mark.parametrize("part", PARTS)
def test_no_role_contains_a_wildcard(part):
    values = [value for rule in rules(part) for field in rule.values() for value in field]

    assert "*" not in values


@pytest.mark.parametrize("part", PARTS)
def test_no_process_can_read_secrets_or_change_roles(part):
    named = {resource for rule in rules(part) for resource in rule["resources"]}
    groups = {group for rule in rules(part) for group in rule["apiGroups"]}

    assert not named & {"secrets", "serviceaccounts", "nodes", "pods/exec", "pods/log"}
    assert "rbac.authorization.k8s.io" not in groups


@pytest.mark.parametrize(
    ("resource", "verbs"),
    [
        pytest.param("agentjobs", {"get", "list", "watch", "create", "patch", "delete"}, id="jobs"),
        pytest.param("agentschedules", {"get", "list", "watch"}, id="schedules"),
    ],
)
def test_the_operator_can_create_jobs_and_read_schedules(resource, verbs):
    assert {verb for rule in rules("operator") if resource in rule["resources"] for verb in rule["verbs"]} == verbs


@pytest.mark.parametrize(
    ("part", "may"),
    [
        ("gateway", {("tokenreviews", "create"), ("subjectaccessreviews", "create")}),
        ("proxy", {("tokenreviews", "create")}),
        ("notifier", set()),
        ("dashboard", {("tokenreviews", "create"), ("subjectaccessreviews", "create")}),
    ],
)
def test_gateway_proxy_notifier_and_dashboard_cannot_change_objects(part, may):
    writes = {
        (resource, verb)
        for rule in rules(part)
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    }

    assert writes == may


def test_objects_bind_every_role_to_one_account():
    made = objects("operator", namespace="here")

    subjects = [obj["subjects"] for obj in made if obj["kind"].endswith("Binding")]
    account = {"kind": "ServiceAccount", "name": "agentjobs-operator", "namespace": "here"}
    assert subjects == [[account]] * 2
    assert [(obj["kind"], obj["metadata"].get("namespace")) for obj in made] == [
        ("ServiceAccount", "here"),
        ("ClusterRole", None),
        ("ClusterRoleBinding", None),
        ("Role", "here"),
        ("RoleBinding", "here"),
    ]


def test_impersonation_is_a_separate_role_for_the_dashboards_account():
    role, binding = impersonation_objects(namespace="here")

    assert role["rules"] == [{"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "agentjobs-dashboard", "namespace": "here"}]
    assert not any("impersonate" in rule["verbs"] for part in PARTS for rule in rules(part))
