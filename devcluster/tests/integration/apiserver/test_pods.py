"""Pods, nodes and namespaces, as kubelet, scheduler and namespace controller use them."""

import ssl

import pytest
import pytest_asyncio
from aiohttp import web

MEDIA = "application/merge-patch+json"


@pytest_asyncio.fixture
async def bound(api, pod):
    """The path of a pod on node n1."""
    await api("POST", f"{api.core}/pods", pod())
    answer = await api("POST", f"{api.core}/pods/p/binding", {"target": {"kind": "Node", "name": "n1"}})
    assert answer.code == 201
    return f"{api.core}/pods/p"


async def test_a_new_pod_is_pending_with_a_pods_defaults(api, pod):
    made = (await api("POST", f"{api.core}/pods", {**pod(), "status": {"phase": "Running"}})).body

    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["spec"]["restartPolicy"] == "Always"
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    assert made["spec"]["containers"][0]["terminationMessagePath"] == "/dev/termination-log"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({}, "spec.containers", id="no-containers"),
        pytest.param({"containers": [{"name": "a"}]}, "spec.containers[0].image", id="no-image"),
        pytest.param({"containers": [{"image": "a"}]}, "spec.containers[0].name", id="no-name"),
        pytest.param({"containers": [{"name": "a", "image": "b"}] * 2}, "spec.containers[1].name", id="twice"),
        pytest.param(
            {"containers": [{"name": "a", "image": "b"}], "restartPolicy": "Maybe"}, "spec.restartPolicy", id="policy"
        ),
    ],
)
async def test_a_pod_that_cannot_run_is_refused(api, pod, spec, field):
    answer = await api("POST", f"{api.core}/pods", {**pod(), "spec": spec})

    assert (answer.code, answer.body["details"]["causes"][0]["field"]) == (422, field)


async def test_a_pod_needs_its_service_account(api, pod):
    body = pod()
    body["spec"]["serviceAccountName"] = "absent"

    assert (await api("POST", f"{api.core}/pods", body)).code == 403


async def test_a_pod_can_be_bound_only_once(api, bound):
    again = await api("POST", f"{bound}/binding", {"target": {"kind": "Node", "name": "n2"}})

    assert (again.code, again.body["reason"]) == (409, "Conflict")
    assert (await api("GET", bound)).body["spec"]["nodeName"] == "n1"


async def test_a_pod_without_a_node_is_removed_immediately(api, pod):
    await api("POST", f"{api.core}/pods", pod())

    await api("DELETE", f"{api.core}/pods/p")

    assert (await api("GET", f"{api.core}/pods/p")).code == 404


async def test_a_bound_pod_waits_for_its_kubelet(api, bound):
    asked = await api("DELETE", bound)
    shorter = await api("DELETE", f"{bound}?gracePeriodSeconds=5")
    longer = await api("DELETE", f"{bound}?gracePeriodSeconds=50")
    killed = await api("DELETE", f"{bound}?gracePeriodSeconds=0")

    graces = [each.body["metadata"]["deletionGracePeriodSeconds"] for each in (asked, shorter, longer, killed)]
    assert graces == [30, 5, 5, 0]
    assert (await api("GET", bound)).code == 404


async def test_a_pod_with_a_finalizer_remains_after_its_kubelet_has_finished(api, bound):
    await api.merge(bound, {"metadata": {"finalizers": ["example.dev/hold"]}})
    await api("DELETE", bound)
    early = await api.merge(bound, {"metadata": {"labels": {"a": "b"}}})

    await api("DELETE", f"{bound}?gracePeriodSeconds=0")
    held = await api("GET", bound)
    await api.merge(bound, {"metadata": {"finalizers": None}})

    assert (early.code, held.code) == (200, 200)
    assert (await api("GET", bound)).code == 404


async def test_a_pod_whose_finalizer_is_removed_first_is_removed_by_its_kubelet(api, bound):
    await api.merge(bound, {"metadata": {"finalizers": ["example.dev/hold"]}})
    await api("DELETE", bound)

    await api.merge(bound, {"metadata": {"finalizers": None}})

    assert (await api("GET", bound)).code == 200


async def test_an_ended_pod_is_removed_without_grace(api, bound):
    await api.merge(f"{bound}/status", {"status": {"phase": "Failed"}})

    await api("DELETE", bound)

    assert (await api("GET", bound)).code == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"restartPolicy": "Never"}, 422, id="policy"),
        pytest.param({"nodeName": "n2"}, 422, id="node"),
        pytest.param({"activeDeadlineSeconds": 10}, 200, id="deadline"),
    ],
)
async def test_only_the_deadline_of_a_pods_spec_can_be_changed(api, bound, change, code):
    assert (await api.merge(bound, {"spec": change})).code == code


async def test_a_scheduling_gate_can_be_removed_but_not_added(api, pod):
    await api("POST", f"{api.core}/pods", pod("q", schedulingGates=[{"name": "example.dev/a"}]))
    path = f"{api.core}/pods/q"

    added = await api.merge(path, {"spec": {"schedulingGates": [{"name": "example.dev/b"}]}})
    removed = await api.merge(path, {"spec": {"schedulingGates": None}})

    assert (added.code, removed.code) == (422, 200)
    assert added.body["details"]["causes"][0]["field"] == "spec.schedulingGates"


async def test_pods_are_found_by_node_and_phase(api, bound, pod):
    await api("POST", f"{api.core}/pods", pod("q"))
    await api.merge(f"{bound}/status", {"status": {"phase": "Running"}})

    found = await api("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,status.phase%3DRunning")

    assert [item["metadata"]["name"] for item in found.body["items"]] == ["p"]


async def test_a_log_comes_from_the_pods_node(api, bound, server):
    async def kubelet(request: web.Request) -> web.Response:
        assert request.transport is not None
        assert request.transport.get_extra_info("peercert")
        return web.Response(text=f"{request.path}?{request.query_string}")

    app = web.Application()
    app.router.add_get("/{path:.*}", kubelet)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server.node_tls.client_authority))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(server.node_tls.server.certificate, server.node_tls.server.key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    port = runner.addresses[0][1]
    await api("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await api.merge("/api/v1/nodes/n1/status", {"status": status})

    answer = await api("GET", f"{bound}/log?tailLines=5&evil=1")
    await runner.cleanup()
    gone = await api("GET", f"{bound}/log")

    assert answer.text == "/containerLogs/default/p/main?tailLines=5"
    assert (gone.code, "cannot be reached" in gone.body["message"]) == (500, True)


@pytest.mark.parametrize(("query", "code"), [("", 204), ("?container=absent", 400)])
async def test_a_missing_log_is_reported(api, pod, query, code):
    await api("POST", f"{api.core}/pods", pod())

    assert (await api("GET", f"{api.core}/pods/p/log{query}")).code == code


async def test_a_namespace_is_removed_when_its_controller_has_finished(api):
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    accounts = await api("GET", "/api/v1/namespaces/team/serviceaccounts")

    await api("DELETE", "/api/v1/namespaces/team")
    late = await api("POST", "/api/v1/namespaces/team/configmaps", {"metadata": {"name": "m"}})
    phase = (await api("GET", "/api/v1/namespaces/team")).body["status"]["phase"]
    await api("PUT", "/api/v1/namespaces/team/finalize", {"metadata": {"name": "team"}, "spec": {"finalizers": []}})

    assert [item["metadata"]["name"] for item in accounts.body["items"]] == ["default"]
    assert (late.code, late.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    assert phase == "Terminating"
    assert (await api("GET", "/api/v1/namespaces/team")).code == 404


async def test_the_default_namespace_cannot_be_deleted(api):
    assert (await api("DELETE", "/api/v1/namespaces/default")).code == 403


async def test_string_data_of_a_secret_is_encoded(api):
    made = await api("POST", f"{api.core}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})

    assert made.body["data"] == {"a": "Yg=="}
    assert "stringData" not in made.body


async def test_an_immutable_config_map_cannot_be_changed(api):
    path = f"{api.core}/configmaps"
    await api("POST", path, {"metadata": {"name": "m"}, "data": {"a": "1"}, "immutable": True})

    assert (await api.merge(f"{path}/m", {"data": {"a": "2"}})).code == 422


@pytest.mark.parametrize(("data", "code"), [({"a": 1}, 400), ({"a b": "c"}, 422), ({"..": "c"}, 422), ("text", 400)])
async def test_a_bad_config_map_is_refused(api, data, code):
    answer = await api("POST", f"{api.core}/configmaps", {"metadata": {"name": "m"}, "data": data})

    assert answer.code == code


async def test_a_lease_can_be_created_by_a_put(api):
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    made = await api("PUT", path, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}})

    blind = await api("PUT", path, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "you"}})

    assert made.code == 201
    assert (blind.code, (await api("GET", path)).body["spec"]["holderIdentity"]) == (422, "me")
