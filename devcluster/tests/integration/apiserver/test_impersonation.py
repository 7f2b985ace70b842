"""Impersonation requires permission, and a request has the permissions of the impersonated user."""

import pytest

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


async def bearer_of_an_account(api, rules=()):
    """The header of an account that has these rules in all namespaces."""
    if rules:
        subject = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
        await api("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "actor"}, "rules": list(rules)})
        binding = {"metadata": {"name": "actor"}, "roleRef": {"kind": "ClusterRole", "name": "actor"}}
        await api("POST", f"{RBAC}/clusterrolebindings", binding | {"subjects": [subject]})
    return "Bearer " + (await api("POST", TOKEN, {"spec": {}})).body["status"]["token"]


def impersonate(resource, *names, group=""):
    names = {"resourceNames": list(names)} if names else {}
    return {"verbs": ["impersonate"], "apiGroups": [group], "resources": [resource]} | names


async def test_a_request_is_made_as_the_impersonated_user(api):
    headers = {"Impersonate-User": "anna@example.com", "Impersonate-Group": "readers"}
    me = await api("POST", WHO, {}, **headers)

    assert me.body["status"]["userInfo"] == {
        "username": "anna@example.com",
        "groups": ["readers", "system:authenticated"],
    }
    assert (await api("GET", "/api/v1/pods", **headers)).code == 403


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        pytest.param({"Impersonate-User": "ben"}, 'users "ben" is forbidden', id="user"),
        pytest.param({"Impersonate-User": "anna", "Impersonate-Group": "b"}, 'groups "b" is forbidden', id="group"),
        pytest.param({"Impersonate-User": "anna", "Impersonate-Uid": "1"}, 'uids.authentication.k8s.io "1"', id="uid"),
        pytest.param({"Impersonate-User": "anna", "Impersonate-Extra-Team": "x"}, 'resource "userextras/team"', id="x"),
        pytest.param({"Impersonate-User": "system:serviceaccount:a:b"}, 'namespace "a"', id="account"),
    ],
)
async def test_each_impersonated_name_requires_its_own_permission(api, headers, words):
    bearer = await bearer_of_an_account(api, [impersonate("users", "anna"), impersonate("groups", "a")])

    answer = await api("POST", WHO, {}, Authorization=bearer, **headers)

    assert (answer.code, words in answer.body["message"]) == (403, True)


async def test_a_caller_with_permissions_can_impersonate_user_group_uid_and_extra(api):
    rules = [impersonate("users"), impersonate("groups", "a")]
    rules += [impersonate("uids", group="authentication.k8s.io")]
    rules += [impersonate("userextras/team", group="authentication.k8s.io")]
    headers = {
        "Impersonate-User": "zoë",
        "Impersonate-Group": "a",
        "Impersonate-Uid": "7",
        "Impersonate-Extra-Team": "x",
    }
    bearer = await bearer_of_an_account(api, rules)

    answer = await api("POST", WHO, {}, Authorization=bearer, **headers)

    found = answer.body["status"]["userInfo"]
    assert found == {"username": "zoë", "groups": ["a", "system:authenticated"], "uid": "7", "extra": {"team": ["x"]}}


async def test_a_group_without_a_user_is_an_error(api):
    answer = await api("POST", WHO, {}, **{"Impersonate-Group": "readers"})

    assert (answer.code, "without impersonating a user" in answer.body["message"]) == (500, True)


async def test_a_service_account_has_its_groups(api):
    me = await api("POST", WHO, {}, **{"Impersonate-User": "system:serviceaccount:a:b"})

    groups = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"]
    assert me.body["status"]["userInfo"]["groups"] == groups
