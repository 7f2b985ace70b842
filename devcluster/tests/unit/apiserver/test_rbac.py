"""Roles and bindings: the decisions of kube-apiserver's RBAC authorizer."""

import pytest

from devcluster.apiserver.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from devcluster.apiserver.rbac import Attributes, Authorizer, check_binding, check_role, denial
from devcluster.apiserver.store import Store

ACCOUNT = "system:serviceaccount:team:robot"
ROBOT = {"kind": "ServiceAccount", "namespace": "team", "name": "robot"}
READ_PODS = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


@pytest.fixture
def store():
    return Store(1000)


@pytest.fixture
def bind(store):
    """Bind subjects to a role with these rules, in a namespace or in the cluster."""

    def make(*rules, namespace="", subjects=(ROBOT,), role="r", store_role=True):
        kind, binding = (ROLE, ROLE_BINDING) if namespace else (CLUSTER_ROLE, CLUSTER_ROLE_BINDING)
        meta = {"name": role, "namespace": namespace} if namespace else {"name": role}
        if store_role:
            store.put(kind.qualified_name, (namespace, role), {"metadata": dict(meta), "rules": list(rules)})
        body = {
            "metadata": dict(meta),
            "roleRef": {"kind": kind.kind, "name": role},
            "subjects": list(subjects),
        }
        store.put(binding.qualified_name, (namespace, role), body)

    return make


def pods(verb="get", **changes):
    return Attributes(verb, **{"resource": "pods", "namespace": "team", "name": "p", **changes})


@pytest.mark.parametrize(
    ("rule", "attributes", "allowed"),
    [
        pytest.param({}, pods(), True, id="named"),
        pytest.param({}, pods("list"), False, id="other-verb"),
        pytest.param({"verbs": ["*"]}, pods("list"), True, id="any-verb"),
        pytest.param({}, pods(group="apps"), False, id="other-group"),
        pytest.param({"apiGroups": ["*"]}, pods(group="apps"), True, id="any-group"),
        pytest.param({}, pods(subresource="log"), False, id="a-subresource-is-not-its-resource"),
        pytest.param({"resources": ["pods/log"]}, pods(subresource="log"), True, id="subresource"),
        pytest.param({"resources": ["pods/log"]}, pods(), False, id="a-resource-is-not-its-subresource"),
        pytest.param({"resources": ["*/log"]}, pods(subresource="log"), True, id="subresource-of-any"),
        pytest.param({"resources": ["*"]}, pods(subresource="log"), True, id="any-resource-and-subresource"),
        pytest.param({"resourceNames": ["p"]}, pods(), True, id="this-name"),
        pytest.param({"resourceNames": ["q"]}, pods(), False, id="other-name"),
        pytest.param({"resourceNames": ["p"]}, pods(name=""), False, id="no-name"),
    ],
)
def test_a_rule_covers_what_it_names(store, bind, rule, attributes, allowed):
    bind({**READ_PODS, **rule})

    assert Authorizer(store).decide(ACCOUNT, (), attributes).allowed is allowed


@pytest.mark.parametrize(
    ("path", "allowed"), [("/metrics", True), ("/logs/a/b", True), ("/metrics/x", False), ("/logs", False)]
)
def test_paths_are_matched_exactly_or_by_prefix(store, bind, path, allowed):
    bind({"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]})

    assert Authorizer(store).decide(ACCOUNT, (), Attributes("get", path=path)).allowed is allowed


@pytest.mark.parametrize(("namespace", "allowed"), [("team", True), ("other", False), ("", False)])
def test_a_role_binding_applies_only_to_its_namespace(store, bind, namespace, allowed):
    bind(READ_PODS, namespace="team")

    assert Authorizer(store).decide(ACCOUNT, (), pods(namespace=namespace)).allowed is allowed


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param({"kind": "User", "name": ACCOUNT}, id="user"),
        pytest.param({"kind": "Group", "name": "system:serviceaccounts"}, id="group"),
        pytest.param(ROBOT, id="account"),
    ],
)
def test_subjects_are_users_groups_and_accounts(store, bind, subject):
    bind(READ_PODS, subjects=[subject])
    access = Authorizer(store)

    assert access.decide(ACCOUNT, ["system:serviceaccounts"], pods()).allowed
    assert not access.decide("system:serviceaccount:team:other", [], pods()).allowed


def test_members_of_system_masters_need_no_role(store):
    assert Authorizer(store).decide("anybody", ["system:masters"], pods("delete")).allowed


def test_an_allowed_request_has_the_binding_and_the_subject_in_its_reason(store, bind):
    bind(READ_PODS, namespace="team", role="readers")

    reason = Authorizer(store).decide(ACCOUNT, (), pods()).reason

    assert reason == 'RBAC: allowed by RoleBinding "readers/team" of Role "readers" to ServiceAccount "robot/team"'


def test_a_denial_has_the_bindings_of_missing_roles(store, bind):
    bind(role="gone", store_role=False)

    decision = Authorizer(store).decide(ACCOUNT, (), pods())

    assert denial(ACCOUNT, pods(subresource="log"), decision) == (
        f'pods "p" is forbidden: User "{ACCOUNT}" cannot get resource "pods/log" in API group "" in the namespace '
        '"team": RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    )


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        pytest.param({**READ_PODS, "verbs": []}, "rules[0].verbs", id="no-verbs"),
        pytest.param({"verbs": ["get"], "resources": ["pods"]}, "rules[0].apiGroups", id="no-group"),
        pytest.param({"verbs": ["get"], "apiGroups": [""]}, "rules[0].resources", id="no-resource"),
        pytest.param({"verbs": ["get"], "nonResourceURLs": ["/x"]}, "rules[0].nonResourceURLs", id="path-in-namespace"),
    ],
)
def test_a_role_that_could_allow_nothing_is_refused(rule, field):
    problems = check_role({"metadata": {"name": "r", "namespace": "team"}, "rules": [rule]}, None)

    assert [problem["field"] for problem in problems] == [field]


def test_the_role_of_a_binding_cannot_be_changed():
    group = "rbac.authorization.k8s.io"
    old = {"metadata": {"name": "b"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "a"}}
    new = {**old, "roleRef": {**old["roleRef"], "name": "b"}}

    assert [problem["message"].rpartition(": ")[2] for problem in check_binding(new, old)] == ["cannot change roleRef"]
