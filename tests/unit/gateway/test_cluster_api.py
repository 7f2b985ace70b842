"""What people read of the API server is what they themselves may read there, and never more than a page can hold."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.gateway.callers_kube import CREATED, CallersKube, refused
from tests.unit.gateway.conftest import NOW

from agentjobs.api.recorded_overview import LOG_TRUNCATED
from agentjobs.gateway import cluster_objects
from agentjobs.history.records import Acceptance, Deletion, JobKey, JobRecord, StartRecord, TransitionRecord

UID, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
AS_ADA = {"Authorization": "Bearer ada"}
READS = {
    (f"{verb} {plural}".removesuffix(" agentjobs"), "docs", "")
    for plural in ("agentjobs", "agentqueues", "agentschedules", "agenttemplates", "events", "pods", "pods/log")
    for verb in ("get", "list")
}
OWNER = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "name": "hello", "controller": True}
CONTAINERS = {"initContainers": [{"name": "workspace"}, {"name": "runner"}], "containers": [{"name": "publish"}]}


@pytest.fixture
def kube():
    return CallersKube()


@pytest.fixture(autouse=True)
async def _there(kube, history):
    """A job with two starts, as object and in history; Ada may read everything in its namespace."""
    kube.add_user("ada", "ada", may=READS)
    kube.put("agentjobs", "hello", uid=UID, status={"phase": "Running", "starts": 2})
    kube.put("pods", "hello-2", ownerReferences=[OWNER | {"uid": UID}], spec=CONTAINERS)
    kube.logs["hello-2", "runner", False] = b"one\ntwo\nthree\n"
    key = JobKey(UID, "docs", "hello", NOW)
    spec = {"input": {"message": "hi"}, "retry": {}, "queue": "slow"}
    record = JobRecord(key, {"spec": spec, "scripts": {}}, "abc")
    await history.memory.accept(Acceptance(record, StartRecord(key, 1, 1, "hello-1", NOW)))


@pytest.fixture
def read(http):
    async def get(path, headers=AS_ADA, **query):
        return await http.get(f"/v1/namespaces/docs/{path}", params=query, headers=headers)

    return get


def event(name, about, *, at=CREATED, **more):
    kind, _, called = about.partition("/")
    involved = {"kind": kind, "name": called, "uid": more.pop("uid", "a-pod"), "namespace": "docs"}
    told = {
        "type": "Normal",
        "reason": name,
        "message": "said",
        "source": {"component": "kubelet"},
        "lastTimestamp": at,
    }
    return {"metadata": {"name": name, "namespace": "docs"}, "involvedObject": involved, **told, **more}


@pytest.mark.parametrize("name", ["hello", UID], ids=["by-name", "by-uid"])
async def test_an_object_is_returned_without_its_managed_fields(read, name):
    answer = (await read(f"agentjobs/{name}/object")).json()["object"]

    assert (answer["metadata"]["uid"], answer["kind"], answer["status"]["phase"]) == (UID, "AgentJob", "Running")
    assert "managedFields" not in answer["metadata"]


async def test_the_object_of_a_job_is_not_found_if_another_has_its_name(read, kube):
    kube.put("agentjobs", "hello", uid=OTHER)
    answer = await read(f"agentjobs/{UID}/object")

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert (await read("agentjobs/hello/object")).json()["object"]["metadata"]["uid"] == OTHER


async def test_a_job_whose_name_looks_like_a_uid_is_found(read, kube):
    kube.put("agentjobs", OTHER, uid="another")

    assert (await read(f"agentjobs/{OTHER}/object")).json()["object"]["metadata"]["uid"] == "another"


async def test_events_of_a_job_and_its_pods_are_returned_oldest_first(read, kube):
    later = "2026-11-21T09:05:00Z"
    for one in (
        event("Pulled", "Pod/hello-2", at=later, count=3, type="Warning"),
        event("Started", "AgentJob/hello", uid=UID),
        event("Scheduled", "Pod/hello-1", at=None, eventTime="2026-11-21T09:01:00.5Z", reportingComponent="scheduler"),
        event("Other", "Pod/other-1", at=later),
    ):
        kube.objects["events", "docs", one["metadata"]["name"]] = one
    answer = (await read(f"agentjobs/{UID}/kubernetes-events")).json()

    assert [(one["reason"], one["about"]) for one in answer["items"]] == [
        ("Started", "AgentJob/hello"),
        ("Scheduled", "Pod/hello-1"),
        ("Pulled", "Pod/hello-2"),
    ]
    assert answer["items"][2] | {"time": None} == {
        "time": None, "type": "Warning", "reason": "Pulled", "message": "said", "count": 3,
        "about": "Pod/hello-2", "source": "kubelet",
    }  # fmt: skip
    assert (answer["readable"], answer["truncated"], answer["items"][1]["source"]) == (True, False, "scheduler")


async def test_events_of_pods_of_another_job_with_the_name_are_left_out(read, kube, history):
    kube.put("agentjobs", "hello", uid=OTHER, status={"starts": 1})
    gone = NOW + timedelta(minutes=10)
    await history.memory.write([Deletion(JobKey(UID, "docs", "hello", NOW), gone)])
    for name, at in (
        ("Before", NOW - timedelta(minutes=1)),
        ("Mine", NOW + timedelta(minutes=1)),
        ("After", gone + timedelta(minutes=2)),
    ):
        kube.objects["events", "docs", name] = event(name, "Pod/hello-1", at=at.isoformat())

    found = (await read(f"agentjobs/{UID}/kubernetes-events")).json()
    assert [one["reason"] for one in found["items"]] == ["Mine"]


async def test_a_caller_without_permission_to_list_events_sees_a_note_and_none(read, kube):
    kube.rights["ada"] -= {("list events", "docs", "")}
    answer = await read("agentjobs/hello/kubernetes-events")

    assert (answer.status_code, answer.json()) == (200, {"items": [], "readable": False, "truncated": False})


@pytest.mark.parametrize("hostile", [None, 7, "x" * 99999, {"a": 1}], ids=["none", "number", "long", "object"])
async def test_a_hostile_event_is_truncated_and_returned(read, kube, hostile):
    odd = {"message": hostile, "reason": hostile, "count": hostile, "lastTimestamp": hostile, "source": None}
    kube.objects["events", "docs", "odd"] = event("odd", "AgentJob/hello", uid=UID) | odd
    (one,) = (await read("agentjobs/hello/kubernetes-events")).json()["items"]

    assert (len(one["message"]) <= 4096, one["time"], one["count"] >= 1) == (True, None, True)


@pytest.mark.parametrize(
    ("query", "text"), [({}, "one\ntwo\nthree\n"), ({"lines": 2}, "two\nthree\n"), ({"start": 2}, "one\ntwo\nthree\n")]
)
async def test_the_log_of_a_start_is_plain_text(read, query, text):
    answer = await read(f"agentjobs/{UID}/logs", **query)

    assert (answer.text, answer.headers["content-type"]) == (text, "text/plain; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_lines_of_a_log_have_their_times_if_requested(read):
    answer = await read("agentjobs/hello/logs", lines=1, timestamps=True)

    assert answer.text == "2026-11-20T12:00:03.000000001Z three\n"


async def test_the_logs_of_the_containers_before_and_after_the_agents_are_read(read, kube):
    kube.logs["hello-2", "publish", True] = b"pushed \xff\n"

    assert (await read("agentjobs/hello/logs", container="publish", previous=True)).text == "pushed \ufffd\n"


async def test_the_log_of_a_start_is_that_of_the_container_that_failed_before_the_agent(read, kube):
    ended = [{"name": "workspace", "state": {"terminated": {"exitCode": 3}}}]
    kube.objects["pods", "docs", "hello-2"]["status"] = {"initContainerStatuses": ended}
    kube.logs["hello-2", "workspace", False] = b"no such branch\n"

    assert (await read("agentjobs/hello/logs")).text == "no such branch\n"


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        pytest.param({"start": 1}, 404, "PodGone", id="gone"),
        pytest.param({"container": "sidecar"}, 404, "NoContainer", id="no-container"),
        pytest.param({"container": "publish"}, 409, "NoLog", id="waits-to-start"),
        pytest.param({"lines": 5001}, 400, "BadRequest", id="too-many-lines"),
        pytest.param({"container": "../x"}, 400, "BadRequest", id="no-name"),
    ],
)
async def test_a_missing_log_is_reported_with_the_reason(read, query, status, reason):
    answer = await read("agentjobs/hello/logs", **query)

    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_a_job_that_has_not_started_has_no_log(read, kube):
    kube.put("agentjobs", "new", status={})

    assert (await read("agentjobs/new/logs")).json()["reason"] == "NotStarted"


@pytest.mark.parametrize("owner", [[], [OWNER | {"uid": OTHER}], [OWNER | {"uid": UID, "controller": False}]])
async def test_a_pod_of_the_name_that_does_not_belong_to_the_job_is_not_read(read, kube, owner):
    kube.put("pods", "hello-2", ownerReferences=owner, spec=CONTAINERS)

    assert (await read("agentjobs/hello/logs")).json()["reason"] == "PodGone"


async def test_a_log_is_limited_to_a_megabyte(read, kube):
    kube.logs["hello-2", "runner", False] = b"x" * 1000 + b"\n" + b"y" * 2**21

    answer = await read("agentjobs/hello/logs")

    assert (len(answer.content), answer.headers[LOG_TRUNCATED]) == (2**20, "true")


@pytest.mark.parametrize(("lines", "truncated"), [(2, "true"), (3, "false"), (500, "false")])
async def test_a_log_says_whether_it_has_earlier_lines(read, lines, truncated):
    answer = await read("agentjobs/hello/logs", lines=lines)

    assert answer.headers[LOG_TRUNCATED] == truncated


async def test_queues_include_those_without_an_object_that_have_jobs(read, kube, history):
    status = {"observedGeneration": 1, "running": 2, "waiting": 40, "scheduled": 0, "suspended": 1}
    kube.put("agentqueues", "nightly", status=status)
    await history.memory.write([TransitionRecord(JobKey(UID, "docs", "hello", NOW), 1, NOW, "Queued", "Waits")])
    answer = (await read("queues")).json()

    assert {one["name"]: one["phases"] for one in answer["items"]} == {
        "agents": {},
        "nightly": {"Running": 2, "Queued": 40, "Suspended": 1},
        "scheduled": {},
        "slow": {"Queued": 1},
    }
    assert [one["name"] for one in answer["items"] if one["object"]] == ["nightly"]
    assert (answer["truncated"], answer["counted"]) == (False, True)


async def test_no_list_of_jobs_is_read_for_a_page_of_queues(read, kube):
    asked = []
    kube.before = lambda *what: asked.append(what[:2])
    await read("queues")

    assert asked == [("list", "agentqueues")]


async def test_queues_without_counts_cause_no_query_of_history(read, kube, history):
    kube.put("agentqueues", "nightly", status={"observedGeneration": 1, "running": 2})
    kube.put("agentqueues", "new")
    history.memory.away = True

    answer = await read("queues", count="false")

    assert {one["name"]: one["phases"] for one in answer.json()["items"]} == {"nightly": {"Running": 2}, "new": {}}


async def test_a_user_who_cannot_list_jobs_gets_queues_without_counts(read, kube):
    kube.rights["ada"] -= {("list", "docs", "")}
    answer = (await read("queues")).json()

    assert ([one["name"] for one in answer["items"]], answer["counted"]) == (["agents", "scheduled"], False)


async def test_each_queue_says_whether_its_jobs_were_counted(read, kube):
    kube.rights["ada"] -= {("list", "docs", "")}
    kube.put("agentqueues", "nightly", status={"observedGeneration": 1, "running": 2})
    kube.put("agentqueues", "new")
    answer = (await read("queues")).json()

    counted = {one["name"]: one["counted"] for one in answer["items"]}
    assert counted == {"agents": False, "new": False, "nightly": True, "scheduled": False}
    assert (await read("queues/new")).json()["counted"] is False


async def test_queues_are_returned_without_counts_while_history_is_unavailable(read, kube, history):
    kube.put("agentqueues", "nightly", status={"observedGeneration": 1, "running": 2})
    history.memory.away = True
    answer = (await read("queues")).json()

    assert (answer["counted"], answer["items"][1]["phases"]) == (False, {"Running": 2})


@pytest.mark.parametrize(("name", "status"), [("slow", 200), ("agents", 200), ("nightyl", 404)])
async def test_a_known_queue_is_found_without_an_object(read, name, status):
    answer = await read(f"queues/{name}")

    assert (answer.status_code, answer.json().get("object", "none")) == (status, None if status == 200 else "none")


async def test_schedules_have_their_next_ten_times(read, kube):
    kube.put("agentschedules", "brief", spec={"schedule": "0 7 * * *", "timeZone": "UTC"})
    (one,) = (await read("schedules")).json()["items"]

    times = [datetime.fromisoformat(at) for at in one["next"]]
    assert (len(times), times == sorted(times), {at.hour for at in times}) == (10, True, {7})
    assert (await read("schedules/brief")).json()["object"]["spec"]["schedule"] == "0 7 * * *"


HALTED = {
    "type": "Active",
    "status": "False",
    "reason": "TooManyFailures",
    "message": "",
    "lastTransitionTime": CREATED,
}


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        pytest.param({"schedule": "0 7 * * *", "suspend": True}, {}, id="suspended"),
        pytest.param({"schedule": "0 7 * * *"}, {"conditions": [HALTED]}, id="halted"),
        pytest.param({"schedule": "7 o'clock"}, {}, id="illegal"),
        pytest.param({"schedule": "0 7 * * *", "timeZone": "Mars/Base"}, {}, id="no-zone"),
        pytest.param({"schedule": {"a": 1}}, None, id="no-text"),
        pytest.param({"schedule": "0 0 30 2 *"}, {}, id="never"),
    ],
)
def test_a_schedule_that_creates_no_jobs_has_no_times(spec, status):
    obj = {"metadata": {"name": "brief"}, "spec": spec, "status": status}

    assert cluster_objects.schedule(obj, "docs", now=NOW).next == []


def test_the_next_times_are_in_the_time_zone_of_the_schedule():
    spec = {"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"}
    first = cluster_objects.schedule({"metadata": {"name": "brief"}, "spec": spec}, "docs", now=NOW).next[0]

    assert first == datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


async def test_templates_are_listed_and_read(read, kube):
    for name in ("triage", "brief"):
        kube.put("agenttemplates", name, spec={"parameters": []})

    assert [one["name"] for one in (await read("templates")).json()["items"]] == ["brief", "triage"]
    answer = (await read("templates/triage")).json()
    assert (answer["name"], answer["object"]["kind"], answer["object"]["spec"]) == (
        "triage", "AgentTemplate", {"parameters": []},
    )  # fmt: skip
    assert (await read("templates/other")).status_code == 404


@pytest.mark.parametrize(
    ("path", "plural"),
    [("queues", "agentqueues"), ("schedules", "agentschedules"), ("templates", "agenttemplates")],
)
async def test_one_request_lists_objects_of_all_namespaces_including_those_without_jobs(http, kube, path, plural):
    for namespace in ("never-used", "docs"):
        kube.put(plural, "one", namespace=namespace)
    kube.rights["ada"] |= {(f"list {plural}", "", "")}
    asked = []
    kube.before = lambda verb, of, _name: asked.append((verb, of))
    answer = (await http.get(f"/v1/{path}", headers=AS_ADA)).json()

    assert [(one["namespace"], one["name"]) for one in answer["items"]] == [("docs", "one"), ("never-used", "one")]
    assert (asked, answer["truncated"]) == ([("list", plural)], False)


@pytest.mark.parametrize("path", ["queues", "schedules", "templates"])
async def test_a_list_of_all_namespaces_requires_a_cluster_wide_permission(http, kube, path):
    kube.put(f"agent{path}", "secret", namespace="other")
    answer = await http.get(f"/v1/{path}", headers=AS_ADA)

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert (await http.get(f"/v1/{path}")).status_code == 401


@pytest.mark.parametrize(("objects", "shown", "cut"), [(1000, 1000, False), (1001, 1000, True)])
async def test_a_list_is_limited_to_a_thousand_objects_and_says_so(read, kube, objects, shown, cut):
    for number in range(objects):
        kube.objects["agenttemplates", "docs", f"t-{number:04}"] = {"metadata": {"name": f"t-{number:04}"}}
    answer = (await read("templates")).json()

    assert (len(answer["items"]), answer["truncated"]) == (shown, cut)


async def test_a_list_of_large_objects_is_limited_earlier(read, kube):
    for number in range(300):
        kube.put("agenttemplates", f"t-{number:04}", spec={"text": "x" * 100_000})
    answer = (await read("templates")).json()

    assert (len(answer["items"]), answer["truncated"]) == (100, True)


ALL = [
    *[f"agentjobs/hello/{part}" for part in ("object", "kubernetes-events", "logs")],
    *["queues", "queues/agents", "schedules", "schedules/brief", "templates", "templates/triage"],
]


@pytest.mark.parametrize("path", ALL)
async def test_a_caller_without_permission_is_refused_by_the_api_server(read, kube, path):
    kube.rights["ada"] = set()
    answer = await read(path)

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("path", ALL)
async def test_the_gateways_own_permissions_are_not_used(read, path):
    assert (await read(path, headers={})).status_code == 401
    assert (await read(path, headers={"Authorization": "Bearer nobodys"})).status_code == 401


@pytest.mark.parametrize("path", ALL)
async def test_every_route_reports_an_unavailable_api_server(read, kube, path):
    def away(*_):
        raise refused(503, "ServiceUnavailable", "cannot connect to host 10.0.0.1:6443")

    kube.before = away
    answer = await read(path)

    assert (answer.status_code, answer.json()["reason"], "10.0.0.1" in answer.text) == (503, "Unavailable", False)


async def test_the_name_of_a_uid_is_not_shown_without_permission_to_get_the_job(read, kube):
    kube.rights["ada"] = {("list", "docs", "")}
    answer = await read(f"agentjobs/{UID}/object")

    assert (answer.status_code, "hello" in answer.text) == (403, False)
