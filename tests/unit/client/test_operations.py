"""What the client does, step by step, without a server."""

import json

import pytest

import agentjobs.client
from agentjobs import errors
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.client.completion import completed
from agentjobs.client.effects import Listen
from agentjobs.client.job import Job, differences
from agentjobs.client.object import plain_spec
from agentjobs.client.operations import Operations, new_name
from agentjobs.client.rerunning import Edits
from agentjobs.client.session_operations import SessionOperations

DO = Operations("default", retry_for=30.0)
SESSIONS = SessionOperations("default", retry_for=30.0)
SPEC = {"agent": {"model": "m", "inline": {}}, "input": {"message": "hi"}}


def submit(spec=SPEC, name="hello"):
    return DO.submit(spec, name=name, labels=None, annotations=None)


def changed(kind, body):
    return json.dumps({"type": kind, "object": body})


def test_an_existing_job_with_the_same_work_is_returned(world, job_body):
    there = world([errors.AlreadyExists("there"), job_body(uid="first", spec={**SPEC, "cancel": False, "priority": 1})])

    assert there.run(submit()).uid == "first"


@pytest.mark.parametrize(
    "operation",
    [
        SESSIONS.find("", app="", user=""),
        SESSIONS.delete_user("", app=None),
        SESSIONS.delete_user("ann", app=""),
        DO.job_history(""),
    ],
    ids=["session", "user", "app", "job"],
)
def test_an_empty_name_does_not_request_a_list(world, operation):
    with pytest.raises(errors.Misconfigured):
        world([]).run(operation)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_missing_name_does_not_request_all_objects(world, name):
    there = world([])

    with pytest.raises(errors.Misconfigured):
        there.run(DO.delete(name))


def test_a_name_taken_by_other_work_is_an_error_that_names_the_field(world, job_body):
    there = world([errors.AlreadyExists("there"), job_body()])

    with pytest.raises(errors.AlreadyExists, match=r"input\.message differs"):
        there.run(submit({**SPEC, "input": {"message": "other"}}))


def test_a_job_that_is_being_deleted_is_not_returned_as_the_new_one(world, job_body):
    there = world([errors.AlreadyExists("there"), job_body(deletionTimestamp="2026-11-21T09:00:00Z")])

    with pytest.raises(errors.AlreadyExists, match="being deleted"):
        there.run(submit())


def test_a_name_that_becomes_available_is_used(world, job_body):
    there = world([errors.AlreadyExists("there"), errors.NotFound("gone"), job_body(uid="second")])

    assert there.run(submit()).uid == "second"


def test_a_create_whose_answer_is_lost_is_repeated_under_the_same_name(world, job_body):
    there = world([errors.Unavailable("lost"), errors.AlreadyExists("there"), job_body()])

    there.run(submit(name=None))

    assert len({send.body["metadata"]["name"] for send in there.sent[:2]}) == 1


def test_waiting_for_a_name_ends_at_its_timeout(world):
    away = world([errors.Unavailable("away")] * 1000)

    with pytest.raises(errors.Unavailable, match="away"):
        away.run(DO.get("hello"))

    assert 25 < away.now - 1000 <= 30


def test_a_retry_delay_of_the_server_is_used(world, job_body):
    busy = world([errors.TooManyRequests("busy", retry_after=7), job_body()])

    busy.run(DO.get("hello"))

    assert busy.now == 1007


def test_wait_ends_with_the_job(world, job_body):
    end = job_body(version="2", phase="Failed", ended="Failed")
    there = world([job_body()], [[changed("MODIFIED", end)]])

    job = there.run(DO.wait("hello", timeout=None))

    assert (job.finished, job.succeeded, job.phase, job.message) == (True, False, "Failed", "said")


def test_watch_yields_each_change_once(world, job_body):
    running, end = job_body(version="2", phase="Running"), job_body(version="3", ended="Complete")
    # The watch breaks off after the first change, is too old when it is opened again, and the job has ended meanwhile.
    there = world([job_body(), running, end], [[changed("MODIFIED", running)], [errors.Gone("too old")]])

    there.run(DO.watch("hello", timeout=None))

    assert [job.version for job in there.emitted] == ["1", "2", "3"]
    assert [send.params["resourceVersion"] for send in there.sent if isinstance(send, Listen)] == ["1", "2"]


@pytest.mark.parametrize("how", ["event", "absent", "new object"])
def test_a_job_that_is_deleted_ends_the_wait(world, job_body, how):
    streams = {"event": [changed("DELETED", job_body())], "absent": [], "new object": []}[how]
    then = errors.NotFound("gone") if how == "absent" else job_body(uid="another")
    there = world([job_body(), then, errors.NotFound("not in history")], [streams])

    with pytest.raises(errors.NotFound, match="agentjobs history hello"):
        there.run(DO.wait("hello", timeout=None))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled", "Skipped"])
def test_a_job_that_was_deleted_after_its_end_has_the_end_in_history(world, job_body, recorded, phase):
    published = {"branch": "agents/hello", "commit": "c0ffee"}
    ended = recorded(phase, deleted="2026-11-21T09:01:00Z", outcome="fix", workspace=published)
    there = world([job_body(), errors.NotFound("gone"), ended], [[]])

    there.run(DO.watch("hello", timeout=None))

    job = there.emitted[-1]
    assert (job.phase, job.finished, job.message) == (phase, True, "said")
    assert job.succeeded is (phase == "Succeeded")
    assert (job.status.result.workspace.branch if job.succeeded else "agents/hello") == "agents/hello"


def test_an_end_that_history_records_late_is_waited_for(world, job_body, recorded):
    there = world([job_body(), errors.NotFound("gone"), recorded("Running", ended=None), recorded("Failed")], [[]])

    assert there.run(DO.wait("hello", timeout=None)).phase == "Failed"


def test_a_job_that_was_deleted_before_its_end_has_none(world, job_body, recorded):
    gone = recorded("Deleted", ended=None, deleted="2026-11-21T09:01:00Z")

    with pytest.raises(errors.NotFound, match="agentjobs history hello"):
        world([job_body(), errors.NotFound("gone"), gone], [[]]).run(DO.wait("hello", timeout=None))


def test_an_end_that_only_the_deletion_shows_counts(world, job_body):
    last = changed("DELETED", job_body(version="2", phase="Succeeded", ended="Complete"))

    assert world([job_body()], [[last]]).run(DO.wait("hello", timeout=None)).succeeded


def test_jobs_are_yielded_when_they_end_and_others_are_not(world, job_body):
    listed = {"items": [job_body("a"), job_body("b", ended="Failed"), job_body("other")], "metadata": {}}
    ends = [job_body("other", ended="Complete"), job_body("a", ended="Complete")]
    there = world([listed], [[changed("MODIFIED", body) for body in ends]])

    there.run(completed(DO, ["a", "b"], timeout=None))

    assert [job.name for job in there.emitted] == ["b", "a"]


def test_an_end_missed_by_a_broken_watch_is_found_in_the_next_list(world, job_body):
    lists = [{"items": [job_body("a", ended=end)], "metadata": {}} for end in ("", "Complete")]
    there = world(lists, [[]])

    there.run(completed(DO, ["a"], timeout=None))

    assert [job.name for job in there.emitted] == ["a"]


@pytest.mark.parametrize("new", [[], ["another"]], ids=["absent", "name-used-again"])
def test_a_job_deleted_after_its_end_while_the_watch_was_broken_is_found_in_history(world, job_body, recorded, new):
    bodies = [[job_body()], [job_body(uid=uid) for uid in new]]
    lists = [{"items": items, "metadata": {}} for items in bodies]
    there = world([*lists, recorded("Succeeded")], [[]])

    there.run(completed(DO, ["hello"], timeout=None))

    assert [(job.uid, job.succeeded) for job in there.emitted] == [("u1", True)]


@pytest.mark.parametrize(
    ("bodies", "words"),
    [([], "no AgentJob 'a'"), ([("a", "first"), ("a", "second")], "was deleted")],
    ids=["never-there", "made-anew"],
)
def test_one_missing_job_of_several_ends_the_wait(world, job_body, bodies, words):
    lists = [{"items": [job_body(name, uid=uid)], "metadata": {}} for name, uid in bodies] or [{"items": []}]

    with pytest.raises(errors.NotFound, match=words):
        world([*lists, errors.NotFound("not in history")], [[]]).run(completed(DO, ["a"], timeout=None))


def test_jobs_that_did_not_end_in_time_are_named(world, job_body):
    listed = {"items": [job_body("a"), job_body("b", ended="Complete")], "metadata": {}}

    with pytest.raises(TimeoutError, match=r"1 of 2 .*0\.1 s: a\.$"):
        world([listed] * 5, [[]] * 5).run(completed(DO, ["a", "b"], timeout=0.1))


def test_an_existing_config_map_gets_the_keys(world):
    there = world([errors.AlreadyExists("there"), {}])

    there.run(DO.set_config_map("script", {"a": "1"}))

    assert [(send.method, send.body["data"]) for send in there.sent] == [("POST", {"a": "1"}), ("PATCH", {"a": "1"})]


def test_completion_in_a_repl_offers_the_clients_names():
    assert {"Client", "AsyncClient", "NoResult"} <= set(dir(agentjobs.client))


def test_wait_ends_at_its_timeout(world, job_body):
    there = world([job_body(phase="Queued")] * 100, [[] for _ in range(100)])

    with pytest.raises(TimeoutError, match=r"3 s.*Queued"):
        there.run(DO.wait("hello", timeout=3))


def test_all_pages_are_listed(world, job_body):
    pages = [{"items": [job_body("a")], "metadata": {"continue": "more"}}, {"items": [job_body("b")], "metadata": {}}]
    there = world(pages)

    assert [job.name for job in there.run(DO.list(selector="team=docs"))] == ["a", "b"]
    assert there.sent[1].params == {"limit": "500", "labelSelector": "team=docs", "continue": "more"}


def test_a_rerun_copies_the_work_and_not_the_steering_fields(world, job_body):
    orders = {"cancel": True, "suspend": True, "startAfter": "1h", "priority": 1}
    there = world([job_body(spec={**SPEC, **orders}, labels={"team": "docs"}), job_body("again")])

    there.run(DO.rerun("hello", new_name_="again"))

    assert there.sent[1].body["spec"] == {**SPEC, "priority": 1}
    origin = {"agentjobs.dev/rerun-of": "hello", "agentjobs.dev/rerun-of-uid": "u1"}
    assert there.sent[1].body["metadata"]["labels"] == {"team": "docs", **origin}


def test_a_rerun_has_no_labels_of_tools_or_schedules(world, job_body):
    others = {
        "app.kubernetes.io/instance": "gitops-app",
        "app.kubernetes.io/managed-by": "Helm",
        "argocd.argoproj.io/instance": "gitops-app",
        "kustomize.toolkit.fluxcd.io/name": "apps",
        "helm.sh/chart": "jobs-1.0",
        "agentjobs.dev/schedule": "brief",
        "agentjobs.dev/rerun-of": "first",
        "agentjobs.dev/rerun-of-uid": "u0",
        "agentjobs.dev/rerun-changes": "agent.model",
    }
    there = world([job_body(labels={"app.kubernetes.io/name": "docs", "helm.shop": "1", **others}), job_body("again")])

    there.run(DO.rerun("hello", new_name_="again"))

    own = {"app.kubernetes.io/name": "docs", "helm.shop": "1"}
    origin = {"agentjobs.dev/rerun-of": "hello", "agentjobs.dev/rerun-of-uid": "u1"}
    assert there.sent[1].body["metadata"]["labels"] == own | origin


def test_a_rerun_of_a_deleted_job_uses_its_work_from_history(world, job_body):
    own = {"session": {"appName": "hello", "userId": "ada", "sessionId": "u1"}, "cancel": True, "startAfter": "1h"}
    recorded = {"uid": "u1", "name": "hello", "spec": {**SPEC, **own}}
    there = world([errors.NotFound("gone"), recorded, job_body("again")])

    there.run(DO.rerun("hello", new_name_="again"))

    assert there.sent[1].path.endswith("/agentjobs/hello/spec")
    assert there.sent[2].body["spec"] == {**SPEC, "session": {"userId": "ada"}}


def test_a_rerun_with_changes_has_them_and_names_the_changed_fields(world, job_body):
    there = world([job_body(), job_body("again")])

    there.run(DO.rerun("hello", new_name_="again", edits=Edits(message="ho", model="other")))

    assert there.sent[1].body["spec"] == {"agent": {"model": "other", "inline": {}}, "input": {"message": "ho"}}
    assert there.sent[1].body["metadata"]["labels"] == {
        "agentjobs.dev/rerun-of": "hello",
        "agentjobs.dev/rerun-of-uid": "u1",
        "agentjobs.dev/rerun-changes": "input.message_agent.model",
    }


REVIEW = {"spec": {**SPEC, "parameters": [{"name": "repo"}, {"name": "depth"}]}}
RESOLVED = {"resolved": {"template": "review", "templateGeneration": 1}}


@pytest.mark.parametrize("template", [errors.Denied("no"), REVIEW], ids=["no", "read"])
def test_a_changed_rerun_of_a_job_with_a_template_is_a_job_of_that_template(world, job_body, template):
    spec = {"templateRef": {"name": "review"}, "parameters": {"repo": "shop", "depth": "quick"}}
    there = world([{**job_body(spec=spec), "status": RESOLVED}, template, job_body("again")])

    there.run(DO.rerun("hello", new_name_="again", edits=Edits(parameters={"depth": "deep"})))

    assert there.sent[1].path.endswith("/agenttemplates/review")
    assert there.sent[2].body["spec"] == {**spec, "parameters": {"repo": "shop", "depth": "deep"}}


@pytest.mark.parametrize("template", [errors.NotFound("gone"), {"spec": {"parameters": [{}]}}], ids=["gone", "invalid"])
def test_a_changed_rerun_does_not_wait_for_a_deleted_or_invalid_template(world, job_body, template):
    there = world([{**job_body(spec={"templateRef": {"name": "review"}}), "status": RESOLVED}, template])

    with pytest.raises(errors.Unchangeable, match=r"^spec\.templateRef\.name: template review "):
        there.run(DO.rerun("hello", new_name_="again", edits=Edits(model="m")))


def test_a_changed_rerun_of_a_deleted_job_changes_its_work_from_history(world, job_body):
    given = {"input": {"message": "$(x)", "state": {"a": 1}}, "session": {"appName": "shop"}}
    recorded = {"uid": "u1", "name": "hello", "spec": {**SPEC, **given}}
    there = world([errors.NotFound("gone"), recorded, job_body("again")])

    there.run(DO.rerun("hello", new_name_="again", edits=Edits(message="I am $(job.name).")))

    assert there.sent[2].body["spec"]["input"] == {"message": "I am $(job.name).", "state": {"a": 1}}


@pytest.mark.parametrize(("message", "is_same"), [("ho", True), ("hi", False)])
def test_a_changed_rerun_that_is_repeated_is_one_job_and_another_change_is_refused(world, job_body, message, is_same):
    made = job_body("again", uid="made", spec={**SPEC, "input": {"message": message}})
    there = world([job_body(), errors.AlreadyExists("there"), made])
    rerun = DO.rerun("hello", new_name_="again", edits=Edits(message="ho"))

    if is_same:
        assert there.run(rerun).uid == "made"
    else:
        with pytest.raises(errors.AlreadyExists, match=r"input\.message"):
            there.run(rerun)


@pytest.mark.parametrize("order", [DO.cancel, DO.suspend, DO.resume])
def test_an_action_on_a_job_by_uid_does_not_affect_another_of_its_name(world, job_body, order):
    there = world([job_body(uid="another")])

    with pytest.raises(errors.NotFound, match="was deleted"):
        there.run(order("hello", uid="u1"))
    assert [send.method for send in there.sent] == ["GET"]


def test_an_action_on_a_job_by_uid_affects_it(world, job_body):
    there = world([job_body(), job_body(version="2")])

    assert there.run(DO.cancel("hello", uid="u1")).version == "2"
    assert there.sent[1].body == {"spec": {"cancel": True}, "metadata": {"resourceVersion": "1"}}


def test_a_job_replaced_between_read_and_action_is_not_affected(world, job_body):
    there = world([job_body(), errors.Conflict("the object has been modified"), job_body(uid="another", version="9")])

    with pytest.raises(errors.NotFound, match="was deleted"):
        there.run(DO.suspend("hello", uid="u1"))


def test_a_rerun_by_uid_does_not_use_the_work_of_another_job_of_the_name(world, job_body):
    session = {"appName": "hello", "userId": "ada", "sessionId": "u1"}
    recorded = {"uid": "u1", "name": "hello", "spec": {**SPEC, "session": session}}
    there = world([job_body(uid="another"), recorded, job_body(name="again")])

    there.run(DO.rerun("hello", new_name_="again", uid="u1"))

    assert there.sent[1].path.endswith("/agentjobs/u1/spec")


def test_placeholders_in_a_composed_text_are_not_substituted_in_a_rerun(world, job_body):
    session = {"appName": "hello", "userId": "ada", "sessionId": "u1"}
    told = {**SPEC, "session": session, "input": {"message": "An answer said $(job.uid) and $$(x)."}}
    there = world([errors.NotFound("gone"), {"uid": "u1", "name": "hello", "spec": told}, job_body("again")])

    there.run(DO.rerun("hello", new_name_="again"))

    assert there.sent[2].body["spec"]["input"]["message"] == "An answer said $$(job.uid) and $$$(x)."


@pytest.mark.parametrize(("states", "then"), [("All", "Incomplete"), ("Scheduled", "Scheduled")])
def test_a_rerun_of_a_unique_job_is_not_a_duplicate(world, job_body, states, then):
    there = world([job_body(spec={**SPEC, "unique": {"key": "k", "states": states}}), job_body("again")])

    there.run(DO.rerun("hello", new_name_="again"))

    assert there.sent[1].body["spec"]["unique"] == {"key": "k", "states": then}


def test_a_rerun_of_an_unknown_job_names_cluster_and_history(world):
    there = world([errors.NotFound("not in the cluster"), errors.Denied("may not get configmaps")])

    with pytest.raises(errors.Denied, match=r"not in the cluster.*history.*may not get configmaps"):
        there.run(DO.rerun("hello", new_name_=None))


ORDERS = [DO.cancel, DO.suspend, DO.resume]


@pytest.mark.parametrize("order", ORDERS)
def test_a_job_that_has_ended_is_not_edited(world, job_body, order):
    there = world([job_body(phase="Succeeded", ended="Complete")])

    assert there.run(order("hello")).finished
    assert [send.method for send in there.sent] == ["GET"]


@pytest.mark.parametrize("order", [DO.suspend, DO.resume])
def test_a_cancelled_job_is_neither_suspended_nor_resumed(world, job_body, order):
    there = world([job_body(phase="Running", spec={"cancel": True})])

    assert there.run(order("hello")).cancelled
    assert [send.method for send in there.sent] == ["GET"]


@pytest.mark.parametrize("order", ORDERS)
def test_an_action_on_a_job_that_ends_meanwhile_changes_nothing(world, job_body, order):
    end = job_body(version="2", phase="Succeeded", ended="Complete")
    there = world([job_body(version="1"), errors.Conflict("written meanwhile"), end])

    assert there.run(order("hello")).finished
    assert there.sent[1].body["metadata"]["resourceVersion"] == "1"


def test_a_rerun_under_the_jobs_own_name_is_refused(world):
    with pytest.raises(errors.AlreadyExists, match="its own name"):
        world([]).run(DO.rerun("hello", new_name_="hello"))


def test_a_rerun_keeps_the_times_of_the_schedule_and_no_other_annotation(world, job_body):
    times = {"agentjobs.dev/scheduled-time": "2026-11-21T06:00:00Z"}
    there = world([job_body(annotations={**times, "agentjobs.dev/resume": "1"}), job_body("again")])

    there.run(DO.rerun("hello", new_name_="again"))

    assert there.sent[1].body["metadata"]["annotations"] == times


def story(finished=None):
    job = {"uid": "u", "namespace": "default", "name": "hello", "phase": "x", "reason": "", "message": ""}
    times = {"created": "2026-11-21T09:00:00Z", "changed": None, "finished": finished, "deleted": None}
    return {"job": job | times | {"attempts": 1, "starts": 1}, "specHash": None, "starts": [], "transitions": []}


def page(*numbers, cursor=None):
    entry = {"start": 1, "time": "2026-11-21T09:00:00Z", "kind": "text", "author": "a", "data": {}}
    return {"items": [{**entry, "seq": number} for number in numbers], "cursor": cursor}


def test_events_are_followed_over_pages_to_the_end_without_repetition(world):
    end = story("2026-11-21T09:00:00Z")
    there = world([story(), page(1, 2, cursor="c"), story(), page(3), story(), page(3, 4), end, page(3, 4, 5)])

    there.run(DO.events("hello", start=None, follow=True))

    assert [event.seq for event in there.emitted] == [1, 2, 3, 4, 5]
    assert [send.params.get("cursor") for send in there.sent if send.path.endswith("events")] == [None, "c", "c", "c"]


def test_the_last_events_of_a_long_run_take_one_request(world):
    there = world([page(100_000, 99_999, cursor="c")])

    found = there.run(DO.newest_events("hello", start=3, count=2))

    assert [event.seq for event in found] == [99_999, 100_000]
    assert [send.params for send in there.sent] == [{"limit": "2", "start": "3", "newest": "true"}]


def test_steps_are_read_over_several_pages(world):
    names = {"key": "a", "kind": "model", "agent": "a", "name": "m", "began": "2026-11-21T09:00:00Z", "ended": None}
    step = {**names, "run": 1, "start": 3, "bytes": 2, "usage": {}, "void": False, "replayed": False}
    there = world([{"items": [{**step, "n": n}], "cursor": cursor} for n, cursor in ((1, "c"), (2, None))])

    there.run(DO.steps("hello", start=3))

    assert [step.n for step in there.emitted] == [1, 2]
    assert [send.params.get("cursor") for send in there.sent] == [None, "c"]
    assert {send.params["start"] for send in there.sent} == {"3"}


def test_following_events_waits_until_history_has_the_job(world, job_body):
    unknown = errors.NotFound("history knows no such")
    there = world([unknown, job_body(), unknown, story("2026-11-21T09:00:00Z"), page(1)])

    there.run(DO.events("hello", start=None, follow=True))

    assert [event.seq for event in there.emitted] == [1]


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        pytest.param({}, [], id="same"),
        pytest.param({"retry": {"maxAttempts": 3}}, [], id="default-spelt-out"),
        pytest.param({"queue": "scheduled", "cancel": True}, [], id="steering"),
        pytest.param({"retry": {"maxAttempts": 4}}, ["retry.maxAttempts"], id="other"),
        pytest.param({"fromTheFuture": 1}, ["fromTheFuture"], id="newer-server"),
    ],
)
def test_differences_of_two_specs_are_found(other, fields):
    assert differences(SPEC, {**SPEC, **other}) == fields


def test_only_fields_that_were_set_are_sent():
    assert plain_spec(AgentJobSpec.model_validate(SPEC)) == SPEC


def test_generated_names_are_valid_for_any_prefix():
    assert len(new_name("x" * 60)) == 52
    assert "--" not in new_name("a-" * 30)


def test_a_job_without_a_status_is_pending(job_body):
    job = Job.parse({**job_body(), "status": None})

    assert (job.phase, job.finished, job.message) == ("Pending", False, "")


def test_a_value_that_the_job_has_already_does_not_make_it_of_the_template_as_it_is_now(world, job_body):
    spec = {"templateRef": {"name": "review"}, "parameters": {"repo": "shop"}, "agent": {"model": "m"}}
    recorded = {"uid": "u1", "name": "hello", "spec": SPEC, "parameters": {"repo": "shop"}}
    there = world([{**job_body(spec=spec), "status": RESOLVED}, recorded, job_body("again")])

    there.run(DO.rerun("hello", new_name_="again", edits=Edits(parameters={"repo": "shop"}, model="m")))

    assert there.sent[1].path.endswith("/agentjobs/u1/spec")
    assert "agentjobs.dev/rerun-changes" not in there.sent[2].body["metadata"]["labels"]
