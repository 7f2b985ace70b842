"""People with different rights, over real sockets: what they may do at the API server they may do here, and no more."""

import asyncio
import contextlib
import uuid

import pytest

from devcluster.envtest import EnvTest

JOBS = "/apis/agentjobs.dev/v1alpha1/namespaces/{}/agentjobs"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
READ, WRITE = ["get", "list"], ["get", "list", "create", "patch", "delete"]
OURS = ["agentjobs", "agentqueues", "agentschedules", "agenttemplates"]
SPEC = {"agent": {"model": "m", "inline": {"instruction": "Be brief."}}, "input": {"message": "hi"}}
LISTS = ["queues", "schedules", "templates"]
KIND = {"apiVersion": "agentjobs.dev/v1alpha1"}


@pytest.fixture
def person(cluster):
    """`await person(*rules)`: the headers of someone new who may do this in the namespace."""

    async def build(*rules, namespace=None):
        namespace, name = namespace or cluster.namespace, f"person-{uuid.uuid4().hex[:8]}"
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        await cluster.create(accounts, {"metadata": {"name": name}})
        roles = f"{RBAC}/namespaces/{namespace}"
        await cluster.create(f"{roles}/roles", {"metadata": {"name": name}, "rules": list(rules)})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        role = {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        await cluster.create(f"{roles}/rolebindings", binding)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token = (await cluster.create(f"{accounts}/{name}/token", body))["status"]["token"]
        return {"Authorization": f"Bearer {token}"}

    return build


def rule(verbs, resources, group="agentjobs.dev"):
    return {"verbs": verbs, "apiGroups": [group], "resources": resources}


@pytest.fixture
async def viewer(person):
    logs = rule(READ, ["pods", "pods/log", "events"], "")
    return await person(rule(READ, OURS), logs)


@pytest.fixture
async def editor(person):
    return await person(rule(WRITE, OURS), rule(READ, ["configmaps"], ""))


@pytest.fixture
async def stranger(person, cluster):
    """Someone who may do everything in another namespace."""
    place = f"elsewhere-{uuid.uuid4().hex[:8]}"
    await cluster.create("/api/v1/namespaces", {"metadata": {"name": place}})
    yield await person(rule(WRITE, OURS), namespace=place)
    await cluster.http.delete(f"/api/v1/namespaces/{place}")


@pytest.fixture
async def job(cluster):
    """A job of a unique name, and where it is."""
    body = {**KIND, "kind": "AgentJob", "metadata": {"name": f"job-{uuid.uuid4().hex[:8]}"}, "spec": SPEC}
    return (await cluster.create(JOBS.format(cluster.namespace), body))["metadata"]


@pytest.fixture
async def queue(cluster):
    name = f"queue-{uuid.uuid4().hex[:8]}"
    path = f"/apis/agentjobs.dev/v1alpha1/namespaces/{cluster.namespace}/agentqueues"
    await cluster.create(path, {**KIND, "kind": "AgentQueue", "metadata": {"name": name}, "spec": {}})
    yield name
    await cluster.http.delete(f"{path}/{name}")


@pytest.fixture
def spec_of(cluster):
    async def read(name):
        return (await cluster.http.get(f"{JOBS.format(cluster.namespace)}/{name}")).json()["spec"]

    return read


@pytest.fixture
def at(cluster):
    """The path of something in the namespace."""
    return lambda path: f"/v1/namespaces/{cluster.namespace}/{path}"


async def kept(http, cluster, headers, **query):
    asked = {"namespace": cluster.namespace, **query}
    answer = await http.get("/v1/actions", params=asked, headers=headers)
    return [(one["action"], one["status"]) for one in answer.json()["items"]]


async def test_a_viewer_reads_and_cannot_act(http, cluster, viewer, job, queue, spec_of, at):
    """It holds at the gateway, whose own token is an administrator's here."""
    reads = [f"agentjobs/{job['name']}/object", f"agentjobs/{job['name']}/kubernetes-events"]
    reads += ["queues", f"queues/{queue}", "schedules", "templates"]
    acts = [f"agentjobs/{job['name']}/{action}" for action in ("cancel", "suspend", "resume", "rerun")]
    acts += [f"queues/{queue}/pause", "schedules/any/trigger", "templates/any/run"]

    assert [(await http.get(at(path), headers=viewer)).status_code for path in reads] == [200] * len(reads)
    assert [(await http.post(at(path), headers=viewer)).status_code for path in acts] == [403] * len(acts)
    assert not (await spec_of(job["name"])).get("cancel")
    assert len(await kept(http, cluster, viewer)) == len(acts)


async def test_listing_queues_of_all_namespaces_requires_a_cluster_wide_permission(
    http, apiserver, viewer, queue, cluster
):
    """This namespace is in no list of history: it has had no job."""
    admin = {"Authorization": f"Bearer {apiserver.token}"}
    found = (await http.get("/v1/queues", headers=admin)).json()["items"]
    known = (await http.get("/v1/namespaces", headers=admin)).json()["items"]

    assert (cluster.namespace, queue) in [(one["namespace"], one["name"]) for one in found]
    assert cluster.namespace not in known
    assert [(await http.get(f"/v1/{path}", headers=viewer)).status_code for path in LISTS] == [403] * 3
    assert [(await http.get(f"/v1/{path}", headers=admin)).status_code for path in LISTS] == [200] * 3


async def test_an_editor_can_act_on_jobs(http, cluster, editor, job, queue, spec_of, at):
    acts = [f"agentjobs/{job['name']}/suspend", f"queues/{queue}/pause", f"agentjobs/{job['name']}/cancel"]
    answers = [await http.post(at(path), headers=editor) for path in acts]
    again = await http.post(at(f"agentjobs/{job['name']}/rerun"), headers=editor)
    scaled = await http.post(at(f"queues/{queue}/scale"), json={"max": 3}, headers=editor)
    shown = await http.get(at(f"queues/{queue}"), headers=editor)

    assert [answer.status_code for answer in (*answers, again, scaled)] == [200] * 5, [one.text for one in answers]
    spec = await spec_of(job["name"])
    assert (spec["cancel"], spec["suspend"]) == (True, True)
    assert (await spec_of(again.json()["made"]))["input"] == SPEC["input"]
    spec = shown.json()["object"]["spec"]
    assert (spec["stopPolicy"], spec["concurrency"]["max"]) == ("Hold", 3)
    assert await kept(http, cluster, editor, uid=job["uid"]) == [("cancel", 200), ("suspend", 200)]


async def test_a_user_of_another_namespace_can_neither_read_nor_act(http, cluster, stranger, job, at):
    paths = ["agentjobs", f"agentjobs/{job['name']}/object", f"agentjobs/{job['name']}/logs", "queues", "schedules"]
    answers = [await http.get(at(path), headers=stranger) for path in paths]
    answers += [await http.get(at("agentjobs/there-is-none/object"), headers=stranger)]
    acted = await http.post(at(f"agentjobs/{job['name']}/cancel"), headers=stranger)
    told = await http.get("/v1/actions", headers=stranger)

    assert [answer.status_code for answer in (*answers, acted)] == [403] * 7
    assert job["uid"] not in "".join(answer.text for answer in answers)
    assert told.json()["items"] == []


async def test_a_permission_for_one_object_is_not_valid_for_others(http, person, job, at, cluster):
    other = {**KIND, "kind": "AgentJob", "metadata": {"name": f"job-{uuid.uuid4().hex[:8]}"}, "spec": SPEC}
    await cluster.create(JOBS.format(cluster.namespace), other)
    own = await person({**rule(["get", "patch"], ["agentjobs"]), "resourceNames": [job["name"]]})
    names = (job["name"], other["metadata"]["name"])

    answers = [await http.post(at(f"agentjobs/{name}/cancel"), headers=own) for name in names]
    assert [answer.status_code for answer in answers] == [200, 403]


async def test_two_simultaneous_cancels_both_succeed(http, cluster, editor, job, spec_of, at):
    answers = await asyncio.gather(
        *(http.post(at(f"agentjobs/{job['name']}/cancel"), headers=editor) for _ in range(6))
    )

    assert ({answer.status_code for answer in answers}, (await spec_of(job["name"]))["cancel"]) == ({200}, True)
    assert await kept(http, cluster, editor, uid=job["uid"]) == [("cancel", 200)] * 6


async def test_errors_of_the_api_server_are_passed_on(http, editor, at):
    answer = await http.post(at("templates/any/run"), json={"name": "Not A Name"}, headers=editor)

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert "Not A Name" in answer.json()["message"]
    assert "HTTP 422" not in answer.json()["message"]


async def test_an_action_on_a_deleted_job_does_not_affect_a_new_job_of_its_name(
    http, cluster, editor, story, job, spec_of, at
):
    await story.begin(uid=job["uid"], name=job["name"])
    path = f"{JOBS.format(cluster.namespace)}/{job['name']}"
    await cluster.http.delete(path)
    body = {**KIND, "kind": "AgentJob", "metadata": {"name": job["name"]}, "spec": SPEC}
    await cluster.create(JOBS.format(cluster.namespace), body)

    order = await http.post(at(f"agentjobs/{job['uid']}/cancel"), headers=editor)
    object_ = await http.get(at(f"agentjobs/{job['uid']}/object"), headers=editor)
    assert (order.status_code, object_.status_code) == (404, 404)
    assert not (await spec_of(job["name"])).get("cancel")
    assert await kept(http, cluster, editor, uid=job["uid"]) == [("cancel", 404)]


async def test_an_action_with_impersonation_is_stored_with_both_names(http, cluster, apiserver, job, at, spec_of):
    as_zoe = {"Authorization": f"Bearer {apiserver.token}", "Impersonate-User": "zoe"}
    refused = await http.post(at(f"agentjobs/{job['name']}/cancel"), headers=as_zoe)
    admin = {"Authorization": f"Bearer {apiserver.token}"}
    (one,) = (await http.get("/v1/actions", params={"namespace": cluster.namespace}, headers=admin)).json()["items"]

    me = (await http.get("/v1/me", headers=admin)).json()["name"]
    assert (refused.status_code, bool((await spec_of(job["name"])).get("cancel"))) == (403, False)
    assert (one["user"], one["status"], one["impersonatedBy"]) == ("zoe", 403, me)


@contextlib.asynccontextmanager
async def away(server):
    """While this lasts, a real API server is stopped and the embedded one refuses every write."""
    if isinstance(server, EnvTest):
        await server.end_server()
        yield
        await server.start_server()
    else:
        server.faults.fail_every, server.faults.fail_code = 1, 503
        yield
        server.faults.fail_every = 0


@pytest.mark.stops_the_server
async def test_an_action_reports_an_unavailable_api_server_and_succeeds_after_it_returns(
    http, apiserver, editor, job, at
):
    assert (await http.get(at("queues"), headers=editor)).status_code == 200  # the caller is known
    assert (await http.post(at(f"agentjobs/{job['name']}/suspend"), headers=editor)).status_code == 200
    async with away(apiserver):
        refused = await http.post(at(f"agentjobs/{job['name']}/cancel"), headers=editor, timeout=30)
    back = await http.post(at(f"agentjobs/{job['name']}/cancel"), headers=editor)

    assert (refused.status_code, refused.json()["reason"], back.status_code) == (503, "Unavailable", 200)
