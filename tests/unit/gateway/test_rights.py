"""Authentication and permissions are the same for every route of users, with and without impersonation."""

import asyncio
import logging
from dataclasses import replace

import pytest
from tests.unit.gateway.conftest import NOW

from agentjobs.auth import CACHE_SECONDS
from agentjobs.history.records import JobKey

AS_ANN = {"Authorization": "Bearer proxy", "Impersonate-User": "ann"}
LIST = "/v1/namespaces/docs/agentjobs"
MAY_LIST = ("list", "docs", "")
USER, GROUP, EVERY_GROUP = ("impersonate users", "", "ann"), ("impersonate groups", "", "dev"), "impersonate groups"


async def test_me_is_the_user_of_the_token_review(http, kube):
    kube.add_user("t", "ada")

    answer = await http.get("/v1/me", headers={"Authorization": "Bearer t"})

    assert answer.json() == {"name": "ada", "groups": ["system:authenticated"], "impersonatedBy": None}


async def test_me_is_the_impersonated_user(http, kube):
    kube.add_user("proxy", "robot", may={USER, GROUP})

    answer = await http.get("/v1/me", headers={**AS_ANN, "Impersonate-Group": "dev"})

    assert answer.json() == {"name": "ann", "groups": ["dev", "system:authenticated"], "impersonatedBy": "robot"}


async def test_an_impersonated_user_has_their_own_permissions_and_not_the_callers(http, kube):
    kube.add_user("proxy", "robot", may={USER, MAY_LIST})
    refused = await http.get(LIST, headers=AS_ANN)
    kube.rights["bob"] = {MAY_LIST}
    kube.rights["robot"] = {("impersonate users", "", "bob")}

    allowed = await http.get(LIST, headers={**AS_ANN, "Impersonate-User": "bob"})

    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert "'ann' may not list agentjobs" in refused.json()["message"]


@pytest.mark.parametrize(
    ("may", "status"),
    [
        pytest.param({USER, GROUP}, 200, id="this-user-and-group"),
        pytest.param({USER, (EVERY_GROUP, "", "")}, 200, id="every-group"),
        pytest.param({USER}, 403, id="no-group"),
        pytest.param({USER, (EVERY_GROUP, "", "ops")}, 403, id="another-group"),
        pytest.param({GROUP}, 403, id="no-user"),
        pytest.param({("impersonate users", "", "bob"), GROUP}, 403, id="another-user"),
    ],
)
async def test_impersonating_a_user_and_each_group_requires_a_permission(http, kube, may, status):
    kube.add_user("proxy", "robot", may=may)
    kube.rights["ann"] = {MAY_LIST}

    answer = await http.get(LIST, headers={**AS_ANN, "Impersonate-Group": "dev"})

    assert answer.status_code == status
    if status == 403:
        assert "'robot' may not impersonate" in answer.json()["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Impersonate-Group": "dev"}, 400, id="group-alone"),
        pytest.param({"Impersonate-User": "ann", "Impersonate-Uid": "7"}, 400, id="uid"),
        pytest.param({"Impersonate-User": "ann", "Impersonate-Extra-Scopes": "x"}, 400, id="extra"),
        pytest.param({"Impersonate-User": "system:admin"}, 403, id="system-user"),
        pytest.param({"Impersonate-User": "ann", "Impersonate-Group": "system:masters"}, 403, id="masters"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/me"),
        ("GET", LIST),
        ("GET", "/v1/models"),
        ("GET", "/v1/namespaces/docs/notifications"),
        ("DELETE", "/v1/namespaces/docs/session?app=a&user=u&session=s"),
        ("POST", "/v1/namespaces/docs/triggers/t"),
    ],
)
async def test_every_route_refuses_what_the_api_server_would_even_from_an_administrator(
    http, kube, method, path, headers, status
):
    kube.add_user("t", "root", may={("impersonate users", "", "ann"), (EVERY_GROUP, "", "")})

    answer = await http.request(method, path, headers={"Authorization": "Bearer t", **headers})

    assert answer.status_code == status


async def test_every_route_for_users_supports_impersonation(app, http, kube):
    """Each route refuses an administrator's token that impersonates a user without permissions."""
    kube.add_user("proxy", "robot", may={USER})
    paths = (await http.get("/openapi.json")).json()["paths"]
    asked = [(path, method) for path, each in paths.items() for method in each if "/v1/attempt" not in path]
    values = {"namespace": "docs", "name": "n", "call": "0" * 32, "template": "t"}
    query = {"app": "a", "user": "u", "session": "s", "name": "n", "namespace": "docs"}

    wrong = []
    for path, method in asked:
        if path in ("/healthz", "/readyz", "/metrics", "/v1/me", "/v1/namespaces"):
            continue
        filled = path.format_map(Filled(values))
        declared = {each["name"] for each in paths[path][method].get("parameters", ()) if each["in"] == "query"}
        sent = {name: value for name, value in query.items() if name in declared}
        answer = await http.request(method, filled, params=sent, headers=AS_ANN)
        if answer.status_code != 403 or "'ann' may not" not in answer.json()["message"]:
            wrong.append((method, path, answer.status_code))
    assert (wrong, len(asked) > 20) == ([], True)


class Filled(dict):
    """Values of a path, `1` for what is not known."""

    def __missing__(self, key):
        return "1"


async def test_a_revoked_permission_is_effective_for_at_most_a_minute(http, kube, clock):
    kube.add_user("t", "ada", may={MAY_LIST})
    headers = {"Authorization": "Bearer t"}
    before = await http.get(LIST, headers=headers)
    kube.rights["ada"] = set()

    clock.now += CACHE_SECONDS - 1
    still = await http.get(LIST, headers=headers)
    clock.now += 1
    after = await http.get(LIST, headers=headers)

    assert [each.status_code for each in (before, still, after)] == [200, 200, 403]


async def test_a_revoked_permission_to_impersonate_is_effective_for_at_most_a_minute(http, kube, clock):
    kube.add_user("proxy", "robot", may={USER})
    before = await http.get("/v1/me", headers=AS_ANN)
    kube.rights["robot"] = set()
    clock.now += CACHE_SECONDS

    after = await http.get("/v1/me", headers=AS_ANN)

    assert (before.status_code, after.status_code) == (200, 403)


async def test_cached_permissions_are_never_used_for_another_user(http, kube):
    """The same token acts as two people, one after the other and with the same group."""
    kube.add_user("proxy", "robot", may={USER, ("impersonate users", "", "bob"), GROUP})
    kube.rights["ann"] = {MAY_LIST}
    headers = {**AS_ANN, "Impersonate-Group": "dev"}

    ann = await http.get(LIST, headers=headers)
    bob = await http.get(LIST, headers={**headers, "Impersonate-User": "bob"})

    assert (ann.status_code, bob.status_code) == (200, 403)


async def test_permissions_are_cached_per_user_across_tokens(http, kube):
    for token in ("t1", "t2"):
        kube.add_user(token, "ada", may={MAY_LIST})
        await http.get(LIST, headers={"Authorization": f"Bearer {token}"})

    assert kube.asked == ["TokenReview", "SubjectAccessReview", "TokenReview"]


@pytest.mark.parametrize("size", [16 * 1024 + 1, 60_000])
async def test_a_huge_token_is_401_without_a_review(http, kube, size):
    answer = await http.get("/v1/me", headers={"Authorization": "Bearer " + "x" * size})

    assert (answer.status_code, kube.asked) == (401, [])


async def test_no_log_line_and_no_answer_contains_a_token(http, kube, caplog):
    caplog.set_level(logging.DEBUG, "agentjobs")
    kube.add_user("secret-token", "robot")

    answer = await http.get(LIST, headers={**AS_ANN, "Authorization": "Bearer secret-token"})

    said = answer.text + "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert (answer.status_code, "secret" in said) == (403, False)


async def test_five_simultaneous_requests_of_a_page_cause_one_access_review(http, kube):
    kube.add_user("t", "ada", may={MAY_LIST})

    await asyncio.gather(*(http.get(LIST, headers={"Authorization": "Bearer t"}) for _ in range(5)))

    assert sorted(kube.asked) == ["SubjectAccessReview", "TokenReview"]


class TestManyNamespaces:
    """Someone who may read a few of many."""

    @pytest.fixture
    async def ada(self, kube, history):
        job = await history.accept(namespace="n0")
        for number in range(1, 40):
            key = JobKey(f"x{number}", f"n{number}", "hello", NOW, "")
            history.memory.jobs_by_uid[f"x{number}"] = replace(job, key=key)
        kube.add_user("t", "ada", may={("list", "n3", ""), ("list", "n7", "")})
        return {"Authorization": "Bearer t"}

    async def scope(self, http, headers):
        answer = await http.get("/v1/counts", headers=headers)
        return [item["namespace"] for item in answer.json()["items"]]

    async def test_counts_include_only_readable_namespaces(self, http, ada):
        assert await self.scope(http, ada) == ["n3", "n7"]

    async def test_unreadable_namespaces_are_reviewed_once_a_minute(self, http, ada, kube, clock):
        await self.scope(http, ada)
        first = len(kube.asked)
        for _ in range(10):
            clock.now += 5
            await self.scope(http, ada)

        assert (first > 40, len(kube.asked) - first < 20) == (True, True)

    async def test_a_namespace_that_became_unreadable_is_left_out_within_a_minute(self, http, ada, kube, clock):
        await self.scope(http, ada)
        kube.rights["ada"] = {("list", "n3", "")}
        clock.now += CACHE_SECONDS

        assert await self.scope(http, ada) == ["n3"]

    async def test_a_namespace_that_became_readable_is_included_within_a_minute_and_immediately_by_name(
        self, http, ada, kube, clock
    ):
        await self.scope(http, ada)
        kube.rights["ada"].add(("list", "n9", ""))
        clock.now += 3
        by_name = await http.get("/v1/counts?namespace=n9", headers=ada)
        clock.now += CACHE_SECONDS

        assert (by_name.status_code, await self.scope(http, ada)) == (200, ["n3", "n7", "n9"])
