"""What people do goes to the API server as theirs, means what it means in the client, and is kept."""

import asyncio
import logging

import pytest
from tests.unit.gateway.callers_kube import CallersKube, refused
from tests.unit.gateway.conftest import NOW

from agentjobs import errors
from agentjobs.gateway.limits import REFUSALS
from agentjobs.history.records import Acceptance, JobKey, JobRecord

UID, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
AS_ADA = {"Authorization": "Bearer ada"}
JOBS = "/v1/namespaces/docs/agentjobs"
SPEC = {"agent": {"model": "m", "inline": {}}, "input": {"message": "hi"}}
FINISHED = {
    "type": "Finished",
    "status": "True",
    "reason": "Done",
    "message": "",
    "lastTransitionTime": NOW.isoformat(),
}
EVERYTHING = {
    (f"{verb} {plural}".strip().removesuffix(" agentjobs"), "docs", "")
    for verb in ("get", "list", "create", "patch")
    for plural in ("agentjobs", "agentqueues", "agentschedules", "configmaps")
}


@pytest.fixture
def kube():
    return CallersKube()


@pytest.fixture(autouse=True)
async def _there(kube, history):
    """A job that runs and is in history; and Ada, who may do everything in her namespace."""
    kube.add_user("ada", "ada", may=EVERYTHING)
    kube.put("agentjobs", "hello", uid=UID, spec=SPEC, status={"phase": "Running"})
    session = {"appName": "hello", "userId": "ada", "sessionId": UID}
    resolved = {"spec": SPEC | {"retry": {}, "session": session}, "scripts": {}}
    recorded = JobRecord(JobKey(UID, "docs", "hello", NOW), resolved, "abc")
    await history.memory.accept(Acceptance(recorded))


@pytest.fixture
def act(http):
    """Send an action as Ada, or with other headers."""

    async def post(path, body=None, headers=AS_ADA):
        return await http.post(f"/v1/namespaces/docs/{path}", json=body, headers=headers)

    return post


async def kept(actions):
    return [(one.user, one.name, one.action, one.status) for one in (await actions.actions(None)).items]


@pytest.mark.parametrize(
    ("action", "field"), [("cancel", {"cancel": True}), ("suspend", {"suspend": True}), ("resume", {"suspend": False})]
)
@pytest.mark.parametrize("name", ["hello", UID], ids=["by-name", "by-uid"])
async def test_an_action_on_a_job_is_done_and_recorded(act, kube, actions, action, field, name):
    answer = await act(f"agentjobs/{name}/{action}")

    assert answer.json() == {
        "namespace": "docs", "kind": "AgentJob", "name": "hello", "action": action, "made": None, "message": "",
    }  # fmt: skip
    assert kube.spec("agentjobs", "hello") == SPEC | field
    (one,) = (await actions.actions(["docs"], uid=UID)).items
    assert (one.user, one.kind, one.name, one.action, one.status) == ("ada", "AgentJob", "hello", action, 200)


async def test_an_ended_job_is_not_changed(act, kube):
    kube.put("agentjobs", "hello", uid=UID, spec=SPEC, status={"phase": "Succeeded", "conditions": [FINISHED]})

    assert "already ended" in (await act("agentjobs/hello/cancel")).json()["message"]
    assert kube.done == []


@pytest.mark.parametrize("action", ["suspend", "resume"])
async def test_an_order_to_a_cancelled_job_says_that_it_has_no_effect(act, kube, action):
    kube.put("agentjobs", "hello", uid=UID, spec=SPEC | {"cancel": True}, status={"phase": "Running"})
    answer = await act(f"agentjobs/hello/{action}")

    assert (answer.status_code, "being cancelled" in answer.json()["message"]) == (200, True)
    assert kube.done == []


@pytest.mark.parametrize("action", ["suspend", "resume"])
async def test_an_order_to_a_job_that_is_being_deleted_says_that_it_has_no_effect(act, kube, action):
    kube.put("agentjobs", "hello", uid=UID, spec=SPEC, deletionTimestamp="2026-11-21T09:00:00Z")

    assert "being deleted" in (await act(f"agentjobs/hello/{action}")).json()["message"]


async def test_a_second_cancel_needs_no_message(act, kube):
    kube.put("agentjobs", "hello", uid=UID, spec=SPEC | {"cancel": True}, status={"phase": "Running"})

    assert (await act("agentjobs/hello/cancel")).json()["message"] == ""


async def test_an_action_does_not_affect_a_new_job_of_the_name(act, kube, actions):
    kube.put("agentjobs", "hello", uid=OTHER, spec=SPEC)
    answer = await act(f"agentjobs/{UID}/cancel")

    assert (answer.status_code, answer.json()["reason"], kube.done) == (404, "NotFound", [])
    assert await kept(actions) == [("ada", "hello", "cancel", 404)]


async def test_an_action_does_not_affect_a_job_recreated_between_read_and_write(act, kube):
    def made_again(verb, plural, _name):
        if verb == "patch":
            kube.before = lambda *_: None
            kube.put("agentjobs", "hello", uid=OTHER, spec=SPEC)

    kube.before = made_again
    answer = await act(f"agentjobs/{UID}/suspend")

    assert (answer.status_code, kube.spec("agentjobs", "hello"), kube.done) == (404, SPEC, [])


async def test_a_job_deleted_between_read_and_write_is_not_found(act, kube):
    def deleted(verb, _plural, _name):
        if verb == "patch":
            kube.objects.clear()

    kube.before = deleted
    assert (await act("agentjobs/hello/cancel")).status_code == 404


async def test_two_simultaneous_cancels_both_succeed(act, kube, actions):
    kube.add_user("bob", "bob", may=EVERYTHING)
    answers = await asyncio.gather(
        act("agentjobs/hello/cancel"), act("agentjobs/hello/cancel", headers={"Authorization": "Bearer bob"})
    )

    assert [answer.status_code for answer in answers] == [200, 200]
    assert {user for user, *_ in await kept(actions)} == {"ada", "bob"}


async def test_a_rerun_creates_a_job_with_the_same_work(act, kube, actions):
    answer = (await act("agentjobs/hello/rerun", {"name": "again"})).json()

    assert (answer["made"], answer["name"], kube.spec("agentjobs", "again")) == ("again", "hello", SPEC)
    assert (await actions.actions(None)).items[0].message == "again"


CHANGES = {"message": "ho", "model": "other", "maxAttempts": 1, "budget": {"maxCostUSD": "2.50"}}


async def test_a_rerun_with_changes_creates_a_changed_job_once(act, kube):
    answers = [await act("agentjobs/hello/rerun", {"name": "again", **CHANGES}) for _ in range(2)]
    other = await act("agentjobs/hello/rerun", {"name": "again", **CHANGES, "maxAttempts": 2})

    changed = {"agent": {"model": "other", "inline": {}}, "input": {"message": "ho"}, "retry": {"maxAttempts": 1}}
    changed |= {"budget": CHANGES["budget"]}
    assert ([one.json()["made"] for one in answers], kube.spec("agentjobs", "again")) == (["again"] * 2, changed)
    assert (other.status_code, other.json()["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"parameters": {"repo": "shop"}}, ("spec.parameters.repo", '"shop"')),
        ({"model": "two words"}, ("spec.agent.model", '"two words"')),
        ({"message": "$(nothing)"}, ("spec.input.message", "nothing")),
    ],
    ids=["no-template", "no-model-name", "unknown-name"],
)
async def test_an_unsupported_change_is_refused_with_field_and_value(act, kube, actions, body, names):
    answer = await act("agentjobs/hello/rerun", body)

    assert (answer.status_code, answer.json()["reason"], kube.done) == (400, "BadRequest", [])
    assert all(name in answer.json()["message"] for name in names)
    assert await kept(actions) == [("ada", "hello", "rerun", 400)]


@pytest.mark.parametrize("name", ["hello", UID], ids=["by-name", "by-uid"])
async def test_a_deleted_job_can_be_rerun_from_history(act, kube, name):
    del kube.objects["agentjobs", "docs", "hello"]
    answer = (await act(f"agentjobs/{name}/rerun")).json()

    assert answer["made"].startswith("hello-")
    assert kube.spec("agentjobs", answer["made"])["input"] == {"message": "hi"}


async def test_a_rerun_from_history_requires_permission_to_read_configmaps(act, kube, actions):
    del kube.objects["agentjobs", "docs", "hello"]
    kube.rights["ada"] -= {("get configmaps", "docs", "")}
    answer = await act("agentjobs/hello/rerun")

    assert (answer.status_code, answer.json()["reason"], kube.done) == (403, "Forbidden", [])
    assert await kept(actions) == [("ada", "hello", "rerun", 403)]


async def test_a_name_in_use_is_a_conflict(act, kube):
    kube.put("agentjobs", "again", spec=SPEC | {"input": {"message": "other"}})

    answer = await act("agentjobs/hello/rerun", {"name": "again"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize(
    ("action", "body", "spec"),
    [
        ("pause", None, {"stopPolicy": "Hold"}),
        ("drain", {}, {"stopPolicy": "HoldAndDrain"}),
        ("resume", {}, {"stopPolicy": "None"}),
        ("scale", {"max": 7}, {"concurrency": {"max": 7}}),
    ],
    ids=["pause", "drain", "resume", "scale"],
)
async def test_a_queue_can_be_paused_resumed_and_scaled(act, kube, actions, action, body, spec):
    kube.put("agentqueues", "nightly")
    answer = await act(f"queues/nightly/{action}", body)

    assert (answer.status_code, answer.json()["message"], kube.spec("agentqueues", "nightly")) == (200, "", spec)
    assert await kept(actions) == [("ada", "nightly", action, 200)]


async def test_a_queue_of_the_installation_gets_an_object(act, kube):
    answer = await act("queues/agents/pause")

    assert "was created" in answer.json()["message"]
    assert kube.spec("agentqueues", "agents") == {"stopPolicy": "Hold"}


async def test_an_unknown_queue_is_not_created(act, kube):
    assert ((await act("queues/nightyl/pause")).status_code, kube.done) == (404, [])


async def test_a_schedule_can_be_suspended_and_resumed(act, kube):
    kube.put("agentschedules", "brief", spec={"suspend": False})

    assert (await act("schedules/brief/suspend")).status_code == 200
    assert kube.spec("agentschedules", "brief") == {"suspend": True}
    assert (await act("schedules/brief/resume")).status_code == 200
    assert kube.spec("agentschedules", "brief") == {"suspend": False}


async def test_a_triggered_schedule_creates_a_job(act, kube):
    kube.put("agentschedules", "brief", status={})

    def an_operator_makes_it(verb, plural, name):
        if plural == "agentjobs":
            kube.put("agentjobs", name)

    kube.before = an_operator_makes_it
    answer = (await act("schedules/brief/trigger")).json()

    assert answer["made"].startswith("brief-")
    assert ("agentjobs", "docs", answer["made"]) in kube.objects


async def test_a_trigger_succeeds_before_an_operator_creates_its_job(act, kube, monkeypatch):
    monkeypatch.setattr("agentjobs.gateway.actions_api._TRIGGER_SECONDS", 0.0)
    kube.put("agentschedules", "brief", status={})
    answer = await act("schedules/brief/trigger")

    assert (answer.status_code, answer.json()["made"], kube.done) == (200, None, [("patch", "agentschedules", "brief")])
    assert "no operator has created it" in answer.json()["message"]


async def test_the_same_trigger_value_requests_the_same_job(act, kube):
    kube.put("agentschedules", "brief", status={})
    kube.before = lambda verb, plural, name: kube.put(plural, name) if (verb, plural) == ("get", "agentjobs") else None
    answers = [await act("schedules/brief/trigger", {"value": "form-1"}) for _ in range(2)]

    assert len({answer.json()["made"] for answer in answers}) == 1


RUN = {"name": "one", "parameters": {"number": "7"}, "message": "Look.", "queue": "slow"}


async def test_a_template_can_be_run_and_runs_once_per_name(act, kube, actions):
    answers = [await act("templates/triage/run", RUN) for _ in range(2)]

    assert [answer.json()["made"] for answer in answers] == ["one", "one"]
    assert kube.spec("agentjobs", "one") == {
        "queue": "slow",
        "templateRef": {"name": "triage"},
        "parameters": {"number": "7"},
        "input": {"message": "Look."},
    }
    assert await kept(actions) == [("ada", "triage", "run", 200)] * 2


async def test_other_work_under_the_same_name_is_a_conflict(act, kube):
    await act("templates/triage/run", RUN)
    answer = await act("templates/triage/run", RUN | {"message": "Look elsewhere."})

    assert (answer.status_code, answer.json()["reason"], "input.message" in answer.json()["message"]) == (
        409,
        "AlreadyExists",
        True,
    )


async def test_a_template_can_be_run_without_a_body(act, kube):
    made = (await act("templates/triage.v2/run")).json()["made"]

    assert made.startswith("triage-v2-")
    assert kube.spec("agentjobs", made) == {"templateRef": {"name": "triage.v2"}}


BODIES = [
    pytest.param("agentjobs/hello/cancel", {"force": True}, 422, id="unknown-key"),
    pytest.param("agentjobs/hello/rerun", {"name": "x" * 53}, 422, id="long-name"),
    pytest.param("agentjobs/hello/rerun", {"message": ""}, 422, id="empty-message"),
    pytest.param("agentjobs/hello/rerun", {"maxAttempts": 0}, 422, id="no-attempt"),
    pytest.param("queues/agents/scale", {}, 422, id="nothing"),
    pytest.param("queues/agents/scale", {"max": -1}, 422, id="negative"),
    pytest.param("queues/agents/scale", {"max": True}, 422, id="no-number"),
    pytest.param("schedules/brief/trigger", [], 422, id="no-object"),
    pytest.param("schedules/brief/trigger", {"value": "a\nb"}, 422, id="two-lines"),
    pytest.param("templates/triage/run", {"parameters": {"$(x)": "1"}}, 422, id="no-name-of-a-parameter"),
    pytest.param("templates/triage/run", {"message": "x" * 2**20}, 413, id="large"),
]


@pytest.mark.parametrize(("path", "body", "status"), BODIES)
async def test_an_invalid_action_is_refused_and_not_recorded(act, kube, actions, path, body, status):
    assert (await act(path, body)).status_code == status
    assert (kube.done, await kept(actions)) == ([], [])


ALL = [
    *[f"agentjobs/hello/{action}" for action in ("cancel", "suspend", "resume", "rerun")],
    *[f"queues/agents/{action}" for action in ("pause", "drain", "resume")],
    *[f"schedules/brief/{action}" for action in ("trigger", "suspend", "resume")],
    "templates/triage/run",
]


@pytest.mark.parametrize("path", ALL)
async def test_an_action_without_permission_is_refused_and_recorded(act, kube, actions, path):
    kube.put("agentschedules", "brief", status={})
    kube.rights["ada"] = {right for right in EVERYTHING if right[0].partition(" ")[0] in ("get", "list")}
    before = {key: dict(one["spec"]) for key, one in kube.objects.items()}
    answer = await act(path)

    assert (answer.status_code, answer.json()["reason"], kube.done) == (403, "Forbidden", [])
    assert {key: one["spec"] for key, one in kube.objects.items()} == before
    ((user, _, action, status),) = await kept(actions)
    assert (user, action, status) == ("ada", path.rpartition("/")[2], 403)


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nobodys"}], ids=["no-token", "unknown-token"])
async def test_an_action_of_an_unknown_user_is_refused(act, kube, actions, path, headers):
    assert (await act(path, headers=headers)).status_code == 401
    assert (kube.done, await kept(actions)) == ([], [])


async def test_the_name_of_a_uid_is_not_shown_without_permission_to_get_the_job(act, kube, actions):
    kube.rights["ada"] = set()
    answer = await act(f"agentjobs/{UID}/cancel")

    assert (answer.status_code, "hello" in answer.text) == (403, False)
    assert [one.status for one in (await actions.actions(None, uid=UID)).items] == [403]


async def test_an_action_with_a_just_revoked_permission_is_refused_by_the_api_server(act, kube, actions):
    def taken_away(verb, plural, name):
        if verb == "patch":
            raise refused(403, "Forbidden", f'{plural} "{name}" is forbidden: User "ada" cannot patch')

    kube.before = taken_away
    answer = await act("agentjobs/hello/cancel")

    assert (answer.status_code, answer.json()["message"]) == (
        403,
        'agentjobs "hello" is forbidden: User "ada" cannot patch',
    )
    assert await kept(actions) == [("ada", "hello", "cancel", 403)]


async def test_an_action_with_impersonation_is_recorded_with_both_users(act, kube, actions):
    kube.add_user("board", "dashboard", may=set())
    kube.rights["dashboard"] = {("impersonate users", "", "ada"), ("impersonate groups", "", "")}
    headers = {"Authorization": "Bearer board", "Impersonate-User": "ada"}

    assert (await act("agentjobs/hello/cancel", headers=headers)).status_code == 200
    (one,) = (await actions.actions(None)).items
    assert (one.user, one.impersonated_by) == ("ada", "dashboard")


async def test_a_rerun_from_history_uses_the_impersonated_users_permissions(act, kube):
    del kube.objects["agentjobs", "docs", "hello"]
    kube.add_user("board", "dashboard", may=set())
    kube.rights["dashboard"] = {("impersonate users", "", "ada"), ("impersonate groups", "", "")}
    headers = {"Authorization": "Bearer board", "Impersonate-User": "ada"}

    assert (await act("agentjobs/hello/rerun", headers=headers)).status_code == 200


async def test_an_unavailable_api_server_is_reported_without_its_address(act, kube, actions, monkeypatch):
    monkeypatch.setattr("agentjobs.gateway.actions_api.RETRY_SECONDS", 0.0)

    def goes_away(*_):
        raise refused(503, "ServiceUnavailable", "cannot connect to host 10.0.0.1:6443")

    kube.before = goes_away
    answer = await act("agentjobs/hello/cancel")

    assert (answer.status_code, answer.json()["reason"], "10.0.0.1" in answer.text) == (503, "Unavailable", False)
    assert answer.headers["Retry-After"] == "2"
    assert await kept(actions) == [("ada", "hello", "cancel", 503)]


async def test_an_action_during_an_outage_of_history_succeeds_and_is_logged(act, kube, actions, caplog):
    async def away(_action):
        raise errors.Unavailable("history is away")

    actions.record = away
    with caplog.at_level(logging.INFO):
        assert (await act("agentjobs/hello/cancel")).status_code == 200
    (line,) = [record for record in caplog.records if record.msg == "action.done"]

    assert (line.user, line.kind, line.object, line.uid, line.action, line.status) == (
        "ada", "AgentJob", "hello", UID, "cancel", 200,
    )  # fmt: skip
    assert kube.spec("agentjobs", "hello")["cancel"] is True


async def test_repeated_refusals_of_a_user_do_not_fill_the_database(act, kube, actions, caplog):
    kube.rights["ada"] = set()
    times = int(REFUSALS) + 50
    with caplog.at_level(logging.INFO):
        answers = {(await act("agentjobs/hello/cancel")).status_code for _ in range(times)}
    stored = len((await actions.actions(None, limit=500)).items)

    assert (answers, REFUSALS <= stored < times) == ({403}, True)
    assert len([record for record in caplog.records if record.msg == "action.done"]) == times


async def test_no_token_is_in_the_log(act, caplog):
    with caplog.at_level(logging.DEBUG):
        await act("agentjobs/hello/cancel")

    assert [record for record in caplog.records if "Bearer" in str(vars(record))] == []


async def test_actions_are_readable_with_permission_to_list_jobs(http, act, kube, actions):
    await act("agentjobs/hello/cancel")
    await act("queues/agents/pause")
    kube.add_user("eve", "eve", may={("list", "shop", "")})

    read = [await http.get("/v1/actions", params={"namespace": "docs"}, headers=who) for who in (AS_ADA, {})]
    assert {one["action"] for one in read[0].json()["items"]} == {"pause", "cancel"}
    assert read[1].status_code == 401
    as_eve = {"Authorization": "Bearer eve"}
    assert (await http.get("/v1/actions", params={"namespace": "docs"}, headers=as_eve)).status_code == 403
    assert (await http.get("/v1/actions", headers=as_eve)).json() == {"items": [], "cursor": None}


async def test_actions_on_a_job_are_found(http, act):
    await act("agentjobs/hello/cancel")
    await act("queues/agents/pause")
    found = await http.get("/v1/actions", params={"uid": UID, "limit": 1, "namespace": "docs"}, headers=AS_ADA)

    assert [(one["action"], one["uid"]) for one in found.json()["items"]] == [("cancel", UID)]


@pytest.mark.parametrize("action", ["cancel", "rerun"])
async def test_a_user_with_a_name_of_another_alphabet_can_act(act, kube, actions, action):
    kube.add_user("board", "dashboard")
    kube.rights["dashboard"] = {("impersonate users", "", "zoë"), ("impersonate groups", "", "")}
    kube.rights["zoë"] = EVERYTHING
    headers = [(b"Authorization", b"Bearer board"), (b"Impersonate-User", "zoë".encode())]

    answer = await act(f"agentjobs/hello/{action}", headers=headers)

    (one,) = (await actions.actions(["docs"])).items
    assert (answer.status_code, one.user, one.impersonated_by) == (200, "zoë", "dashboard")
