"""Authentication and authorization: the administrator's token, service account tokens, reviews, refusals."""

import stat
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from devcluster.apiserver import ApiServer

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


async def token_of(api, **spec):
    return await api("POST", TOKEN, {"spec": spec})


async def review(api, token, *audiences):
    answer = await api("POST", REVIEWS, {"spec": {"token": token, "audiences": list(audiences)}})
    return answer.body["status"]


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Basic YTpi", "Bearer \u00fc"])
async def test_a_request_without_the_token_is_unauthorized(api, token):
    answer = await api("GET", "/api/v1/pods", Authorization=token)

    assert (answer.code, answer.body["reason"]) == (401, "Unauthorized")


async def test_health_needs_no_token(api):
    assert (await api("GET", "/readyz", Authorization="")).text == "ok"


async def test_a_foreign_host_name_is_refused(api):
    answer = await api("GET", "/api/v1/pods", Host="evil.example:443")

    assert answer.code == 403


async def test_the_kubeconfig_is_private_and_complete(server):
    config = yaml.safe_load(server.kubeconfig.read_text())

    assert stat.S_IMODE(server.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert config["clusters"][0]["cluster"]["server"] == server.url
    assert config["users"][0]["user"]["token"] == server.token


async def test_a_pod_bound_token_has_its_pod(api, pod):
    made = await api("POST", f"{api.core}/pods", pod("runner-1"))
    uid = made.body["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "runner-1", "uid": uid}

    answer = await token_of(api, audiences=["gateway"], boundObjectRef=bound, expirationSeconds=600)
    status = await review(api, answer.body["status"]["token"], "gateway")

    assert answer.code == 201
    assert status["authenticated"] is True
    assert status["audiences"] == ["gateway"]
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["runner-1"]
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]


async def test_a_bound_token_is_invalid_after_its_pod_is_deleted(api, pod):
    await api("POST", f"{api.core}/pods", pod("p"))
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    token = (await token_of(api, boundObjectRef=bound)).body["status"]["token"]
    before = await review(api, token)

    await api("DELETE", f"{api.core}/pods/p")
    await api("POST", f"{api.core}/pods", pod("p"))

    assert before["authenticated"] is True
    assert "authenticated" not in await review(api, token)


async def test_a_token_is_valid_only_for_its_audience(api):
    token = (await token_of(api, audiences=["gateway"])).body["status"]["token"]

    status = await review(api, token)

    assert "authenticated" not in status
    assert "audience" in status["error"]
    assert (await api("GET", "/api/v1/pods", Authorization=f"Bearer {token}")).code == 401


async def test_a_token_is_bound_to_pods_of_its_own_account(api, pod):
    await api("POST", f"{api.core}/serviceaccounts", {"metadata": {"name": "other"}})
    body = pod("p")
    body["spec"]["serviceAccountName"] = "other"
    await api("POST", f"{api.core}/pods", body)

    assert (await token_of(api, boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": "p"})).code == 400


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-2], lambda t: "x" + t, lambda t: t.replace(".", ".e30", 1), lambda t: ""]
)
async def test_a_forged_token_is_not_authenticated(api, spoil):
    token = (await token_of(api)).body["status"]["token"]

    assert "authenticated" not in await review(api, spoil(token))


async def test_a_token_expires(tmp_path):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    server = ApiServer(tmp_path, clock=lambda: now)
    token = server._reviews.request_token("default", "default", {"spec": {"expirationSeconds": 600}})["status"]["token"]

    before = server._reviews.identify(token)
    now += timedelta(seconds=601)

    assert before is not None
    assert server._reviews.identify(token) is None


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        pytest.param({"expirationSeconds": 10}, 422, id="too-short"),
        pytest.param({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "absent"}}, 404, id="no-pod"),
        pytest.param({"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "n"}}, 422, id="kind"),
        pytest.param({"audiences": "gateway"}, 400, id="audiences"),
    ],
)
async def test_a_bad_token_request_is_refused(api, spec, code):
    assert (await token_of(api, **spec)).code == code


async def test_a_service_account_without_roles_can_read_discovery_and_review_its_own_access(api):
    token = (await token_of(api)).body["status"]["token"]
    bearer = f"Bearer {token}"

    pods = await api("GET", "/api/v1/pods", Authorization=bearer)
    discovery = await api("GET", "/apis", Authorization=bearer)
    me = await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, Authorization=bearer)

    assert (pods.code, discovery.code) == (403, 200)
    assert pods.body["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" '
        'in API group "" at the cluster scope'
    )
    assert me.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"


async def test_a_role_immediately_allows_its_rules_and_nothing_else(api):
    bearer = "Bearer " + (await token_of(api)).body["status"]["token"]
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"verbs": ["create"], "apiGroups": [""], "resources": ["configmaps"]}]
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    await api("POST", f"{rbac}/roles", {"metadata": {"name": "maker"}, "rules": rules})
    reference = {"kind": "Role", "name": "maker"}
    body = {"metadata": {"name": "maker"}, "roleRef": reference, "subjects": [subject]}
    await api("POST", f"{rbac}/rolebindings", body)

    made = await api("POST", f"{api.core}/configmaps", {"metadata": {"name": "a"}}, Authorization=bearer)
    read = await api("GET", f"{api.core}/configmaps/a", Authorization=bearer)
    await api("DELETE", f"{rbac}/rolebindings/maker")
    later = await api("POST", f"{api.core}/configmaps", {"metadata": {"name": "b"}}, Authorization=bearer)

    assert (made.code, read.code, later.code) == (201, 403, 403)


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        pytest.param({"user": "development-admin", "groups": ["system:masters"]}, True, id="admin"),
        pytest.param({"user": "development-admin"}, False, id="name-alone"),
        pytest.param({"user": "system:serviceaccount:a:b"}, False, id="account"),
    ],
)
async def test_access_reviews_answer_by_roles_and_groups(api, who, allowed):
    spec = {**who, "resourceAttributes": {"verb": "get", "resource": "toys", "namespace": "default"}}

    status = (await api("POST", ACCESS, {"spec": spec})).body["status"]

    assert status["allowed"] is allowed


async def test_a_review_of_the_admins_own_access_is_about_the_admin(api):
    status = await review(api, api.server.token)

    assert status["user"]["username"] == "development-admin"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/apps/v1/deployments", 404),
        ("GET", "/api/v1/services", 404),
        ("GET", "/api/v1/namespaces/default/pods/p/exec", 404),
        ("DELETE", "/api/v1/namespaces", 405),
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("GET", "/metrics", 404),
        ("POST", "/version", 405),
    ],
)
async def test_an_unsupported_request_is_refused_with_a_message(api, method, path, code):
    answer = await api(method, path)

    assert answer.code == code
    assert len(answer.body["message"]) > 30


@pytest.mark.parametrize(
    ("body", "media", "code"),
    [
        pytest.param(b"{", "application/json", 400, id="no-json"),
        pytest.param(b"[]", "application/json", 400, id="no-object"),
        pytest.param(b"a: [", "application/yaml", 400, id="no-yaml"),
        pytest.param(b"a: &x [1]\nb: *x", "application/yaml", 400, id="yaml-alias"),
        pytest.param(b"a=b", "application/x-www-form-urlencoded", 415, id="form"),
        pytest.param(b"{}", "text/plain", 415, id="text"),
        pytest.param(b'{"metadata": 5}', "application/json", 400, id="metadata-number"),
        pytest.param(b'{"metadata": {"name": 5}}', "application/json", 400, id="name-number"),
        pytest.param(b'{"metadata": {"name": "\\ud800"}}', "application/json", 400, id="surrogate"),
        pytest.param(b"[" * 100_000, "application/json", 400, id="deep"),
    ],
)
async def test_a_malformed_body_is_a_bad_request(api, body, media, code):
    answer = await api("POST", f"{api.core}/configmaps", body, media=media)

    assert answer.code == code


async def test_yaml_is_read_and_written(api):
    body = b"metadata: {name: m}\ndata: {day: '2026-11-21', raw: \"yes\"}\n"

    made = await api("POST", f"{api.core}/configmaps", body, media="application/yaml", Accept="application/yaml")

    assert made.code == 201
    assert yaml.safe_load(made.text)["data"] == {"day": "2026-11-21", "raw": "yes"}
