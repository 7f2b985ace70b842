"""A job's follow-ups are created when it has ended, each exactly once, despite crashes, outages and refusals."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.api.conditions import ConditionType, Phase, find_condition
from agentjobs.contract import Verdict
from agentjobs.core.job.ended import EndedJob
from agentjobs.core.job.follow_ups import child_name
from agentjobs.errors import Denied, Invalid

NEXT = {"name": "next", "templateRef": {"name": "implement"}, "input": {"message": "Do $(result.title)."}}
EACH = {
    "name": "each",
    "templateRef": {"name": "work"},
    "forEach": "$(result.steps)",
    "input": {"message": "$(item)"},
}
REVIEW = {"name": "review", "templateRef": {"name": "review"}, "after": ["each"]}
ANSWER = {"title": "it", "steps": ["a", "b", "c"]}


def a_parent(world, *follow_ups, **spec):
    return world.apply(followUps=list(follow_ups or [NEXT]), **spec)["metadata"]["uid"]


async def end(world, verdict=Verdict.SUCCEED, *, answer=ANSWER, seconds=1, **said):
    """The parent runs, and ends."""
    await world.act()
    world.end_pod(world.pods("hello")[0], verdict, structured=answer, **said)
    await world.act(seconds=seconds)


def children(world):
    return {key[2] for key in world.created if key[0] == "AgentJob"}


def times_created(world):
    return [key[2] for key in world.created if key[0] == "AgentJob"]


def entries(world):
    return {one.name: one for one in world.status().follow_ups or ()}


def told(world):
    found = find_condition(world.status().conditions, ConditionType.FOLLOW_UPS_CREATED)
    return found and (found.is_true, found.reason)


async def test_the_end_of_a_job_creates_its_follow_ups(world):
    uid = a_parent(world)
    await end(world)
    name = child_name("hello", uid, "next")
    child = world.objects["AgentJob", "default", name]

    assert child["spec"]["input"]["message"] == "Do it."
    assert entries(world)["next"].made
    assert (entries(world)["next"].jobs, entries(world)["next"].job) == (1, name)
    assert told(world) == (True, "Created")


async def test_follow_ups_take_one_write_of_the_status_in_total(world):
    a_parent(world, NEXT, EACH, REVIEW)
    await end(world)
    statuses = world.writes.count(("status", "AgentJob"))

    # Claim, end, and what became of the follow-ups. Each child writes once that there is no template.
    assert (statuses - len(children(world)), len(children(world))) == (3, 5)


async def test_a_job_without_follow_ups_takes_no_additional_write(world):
    world.apply()
    await end(world)

    assert world.writes == [("status", "AgentJob"), ("create", "Pod"), ("status", "AgentJob"), ("patch", "Pod")]
    assert told(world) is None


async def test_an_end_without_matching_follow_ups_names_none(world):
    a_parent(world, {**NEXT, "when": ["Failed"]})
    await end(world)

    assert (told(world), world.status().follow_ups, children(world)) == (None, None, set())


async def test_a_failed_job_has_the_follow_ups_for_failures(world):
    a_parent(world, NEXT, {**NEXT, "name": "alarm", "when": ["Failed"], "input": {"message": "$(parent.reason)"}})
    await end(world, Verdict.FAIL, reason="AgentError", code=1)

    (name,) = children(world)
    assert "-alarm-" in name
    assert world.objects["AgentJob", "default", name]["spec"]["input"]["message"] == "AgentError"


async def test_a_cancelled_job_has_only_the_follow_ups_for_cancellations(world):
    a_parent(world, NEXT, {**NEXT, "name": "undo", "when": ["Cancelled"], "input": {"message": "Undo it."}})
    await world.act()
    world.edit(cancel=True)
    await world.act(seconds=1)

    assert world.status().phase is Phase.CANCELLED
    assert ["-undo-" in name for name in children(world)] == [True]


async def test_a_job_that_was_never_accepted_has_no_follow_ups(world):
    a_parent(world, {**NEXT, "when": ["Failed", "Cancelled"]}, queue="nowhere")
    await world.act()
    world.edit(cancel=True)
    await world.act(seconds=1)

    assert (world.status().phase, told(world)) == (Phase.CANCELLED, None)


async def test_a_list_creates_a_job_for_each_item_and_a_join_waits_for_them(world):
    uid = a_parent(world, EACH, REVIEW)
    await end(world)
    works = [child_name("hello", uid, "each", number) for number in range(3)]
    review = world.objects["AgentJob", "default", child_name("hello", uid, "review")]

    assert [world.objects["AgentJob", "default", name]["spec"]["input"]["message"] for name in works] == ["a", "b", "c"]
    assert review["spec"]["after"] == {"jobs": works}
    assert (entries(world)["each"].jobs, entries(world)["each"].job) == (3, None)


async def test_a_follow_up_that_cannot_be_created_is_reported_and_does_not_change_the_end(world):
    a_parent(world, {**NEXT, "input": {"message": "$(result.gone)"}}, EACH)
    await end(world)

    assert (entries(world)["next"].reason, entries(world)["next"].made) == ("MissingResult", False)
    assert entries(world)["each"].made
    assert told(world) == (False, "MissingResult")
    assert world.status().phase is Phase.SUCCEEDED
    assert isinstance(world.reconciler.state.jobs.get(("default", "hello")), EndedJob)


async def test_a_join_of_jobs_that_could_not_be_created_is_not_created(world):
    a_parent(world, {**EACH, "forEach": "$(result.gone)"}, REVIEW)
    await end(world)

    assert {name: one.reason for name, one in entries(world).items()} == {
        "each": "MissingResult",
        "review": "AfterNotMade",
    }


@pytest.mark.parametrize(
    ("before", "made"),
    [
        pytest.param(EACH, {"each": 0, "review": 1}, id="an empty list"),
        pytest.param({**EACH, "outcomes": ["other"]}, {"review": 1}, id="another outcome"),
    ],
)
async def test_a_join_without_jobs_is_created_and_waits_for_none(world, before, made):
    uid = a_parent(world, before, {**REVIEW, "input": {"message": "Look at $(after.results)"}})
    await end(world, answer={"steps": []})
    review = world.objects["AgentJob", "default", child_name("hello", uid, "review")]

    assert {name: one.jobs for name, one in entries(world).items()} == made
    assert (review["spec"]["input"]["message"], "after" in review["spec"]) == ("Look at []", False)
    assert told(world) == (True, "Created")


async def test_a_chain_ends_at_the_depth_of_the_installation(world):
    chain = {"agentjobs.dev/parent-uid": "x", "agentjobs.dev/root": "r", "agentjobs.dev/depth": "10"}
    a_parent(world)
    world.edit(annotations=chain)
    await end(world)

    assert (entries(world)["next"].reason, children(world)) == ("DepthExceeded", set())
    assert world.status().lineage.depth == 10


async def test_editing_annotations_does_not_reduce_the_depth_of_a_chain(world):
    a_parent(world)
    world.edit(annotations={"agentjobs.dev/parent-uid": "x", "agentjobs.dev/depth": "10"})
    await world.act()
    world.edit(annotations={"agentjobs.dev/depth": "0"})
    await end(world)

    assert entries(world)["next"].reason == "DepthExceeded"


async def test_follow_ups_wait_while_the_database_is_unavailable(world):
    a_parent(world)
    await world.act()
    world.history_away = True
    world.end_pod(world.pods()[0], Verdict.SUCCEED, structured=ANSWER)
    await world.act(seconds=1)
    between = (world.status().phase, told(world), children(world))
    world.history_away = False
    await world.act(seconds=10)

    assert between == (Phase.SUCCEEDED, (False, "Pending"), set())
    assert entries(world)["next"].made


async def test_an_operator_that_does_not_know_what_was_accepted_names_the_follow_ups_later(world):
    a_parent(world)
    await world.act()
    world.edit(priority=1)
    world.history_away = True
    world.restart()
    world.end_pod(world.pods()[0], Verdict.SUCCEED, structured=ANSWER)
    await world.act(seconds=1)
    between = (world.status().phase, told(world), world.status().follow_ups)
    world.history_away = False
    await world.act(seconds=10)

    assert between == (Phase.SUCCEEDED, (False, "Pending"), None)
    assert entries(world)["next"].made


async def test_an_end_found_to_have_no_follow_ups_reports_none(world):
    world.apply()
    await world.act()
    world.edit(priority=1)
    world.history_away = True
    world.restart()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)
    world.history_away = False
    await world.act(seconds=10)

    assert told(world) is None


async def test_follow_ups_wait_for_a_quota(world):
    a_parent(world, EACH, REVIEW)
    world.refuse["create", "AgentJob"] = Denied("exceeded quota: used 5")
    await end(world)
    between = (entries(world)["each"].reason, entries(world)["review"].reason, told(world))
    writes = len(world.writes)
    world.refuse["create", "AgentJob"] = Denied("exceeded quota: used 6")
    await world.act(seconds=10)
    statuses = world.writes[writes:].count(("status", "AgentJob"))
    world.refuse.clear()
    await world.act(seconds=10)

    assert between == ("Refused", None, (False, "Refused"))
    assert statuses == 0
    assert told(world) == (True, "Created")
    assert len(children(world)) == 4


async def test_a_follow_up_that_the_server_considers_invalid_is_not_retried(world):
    a_parent(world)
    world.refuse["create", "AgentJob"] = Invalid("spec.parameters: Too many")
    await end(world)
    writes = len(world.writes)
    world.refuse.clear()
    await world.act(seconds=100)

    assert (entries(world)["next"].reason, len(world.writes), children(world)) == ("Invalid", writes, set())


async def test_a_follow_up_waits_for_a_name_in_use(world):
    uid = a_parent(world)
    name = child_name("hello", uid, "next")
    world.apply(name)
    await end(world)
    between = entries(world)["next"].reason
    world.remove(name)
    await world.act(seconds=10)

    assert between == "NameTaken"
    assert entries(world)["next"].made
    annotations = world.objects["AgentJob", "default", name]["metadata"]["annotations"]
    assert annotations["agentjobs.dev/parent-uid"] == uid


async def test_the_ttl_of_a_job_waits_for_its_follow_ups(world):
    a_parent(world, ttlSecondsAfterFinished=0)
    world.refuse["create", "AgentJob"] = Denied("exceeded quota")
    await end(world)
    await world.act(seconds=10)
    stays = ("AgentJob", "default", "hello") in world.objects
    world.refuse.clear()
    await world.act(seconds=10)
    await world.act(seconds=10)

    assert stays
    assert len(children(world)) == 1
    assert ("AgentJob", "default", "hello") not in world.objects


async def test_a_job_deleted_by_a_user_before_has_no_follow_ups(world):
    a_parent(world)
    world.refuse["create", "AgentJob"] = Denied("exceeded quota")
    await end(world)
    world.remove("hello")
    world.refuse.clear()
    await world.act(seconds=10)

    assert children(world) == set()


async def test_the_history_limit_of_a_schedule_waits_for_follow_ups(world):
    work = {"agent": {"model": "gemini-flash-latest", "inline": {"instruction": "x"}}, "input": {"message": "x"}}
    world.apply_schedule(
        successfulJobsHistoryLimit=0, jobTemplate={"spec": {**work, "followUps": [{**NEXT, "input": {"message": "x"}}]}}
    )
    await world.act()
    await world.act(minutes=10)
    world.refuse["create", "AgentJob"] = Denied("exceeded quota")
    world.end_jobs()
    for _ in range(3):
        await world.act(seconds=10)
    (stays,) = world.jobs()
    uid = world.objects["AgentJob", "default", stays]["metadata"]["uid"]
    world.refuse.clear()
    for _ in range(3):
        await world.act(seconds=60)

    assert [name for name in children(world) if "-next-" in name] == [child_name(stays, uid, "next")]
    assert stays not in world.jobs()


async def test_follow_ups_of_a_template_have_values_of_its_parameters(world):
    world.apply_template(
        "triage",
        parameters=[{"name": "issue", "default": "87"}],
        agent={"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
        input={"message": "Go."},
        followUps=[{**NEXT, "input": {"message": "$(params.issue): $(result.title)"}}],
    )
    uid = world.apply_from("triage", parameters={"issue": "$(result.title)"})["metadata"]["uid"]
    await end(world)
    child = world.objects["AgentJob", "default", child_name("hello", uid, "next")]

    assert child["spec"]["input"]["message"] == "$$(result.title): it"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(3, 10))
async def test_each_follow_up_is_created_once_with_a_crash_at_any_write(worlds, died, write, after):
    world = worlds()
    uid = a_parent(world, NEXT, EACH)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED, structured=ANSWER)
    world.die_at, world.die_after = write, after
    try:
        await world.act(seconds=1)
    except died:
        world.die_at = None
        world.restart()
    await world.act(seconds=1)

    assert sorted(times_created(world)) == sorted(
        [child_name("hello", uid, "next"), *(child_name("hello", uid, "each", number) for number in range(3))]
    )
    assert told(world) == (True, "Created")


async def test_a_deleted_follow_up_is_not_created_again(worlds, died):
    world = worlds()
    uid = a_parent(world)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED, structured=ANSWER)
    name = child_name("hello", uid, "next")
    world.die_at = len(world.writes) + 3  # the end, the child, and not what became of it
    with pytest.raises(died):
        await world.act(seconds=1)
    world.die_at = None
    world.join(1)
    # Another operator saw the child run and go, and this one starts again.
    await world.act(1, seconds=1)
    world.remove(name)
    world.tell(1)
    obj = world.objects["AgentJob", "default", "hello"]
    obj["status"]["followUps"][0] |= {"made": False, "jobs": 0}
    obj["status"]["conditions"] = [one for one in obj["status"]["conditions"] if one["type"] != "FollowUpsCreated"]
    obj["status"]["conditions"].append(
        {"type": "FollowUpsCreated", "status": "False", "reason": "Pending", "message": "", "observedGeneration": 1}
    )
    world.restart(0)
    await world.act(0, seconds=1)

    assert times_created(world) == [name]
    assert (entries(world)["next"].made, entries(world)["next"].jobs) == (True, 1)


ACTIONS = (
    "work",
    "work-other",
    "hear",
    "restart",
    "die-before",
    "die-after",
    "lose",
    "find",
    "refuse",
    "allow",
    "remove",
)


@pytest.mark.hypothesis
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), max_size=14))
async def test_two_operators_with_any_crashes_create_each_follow_up_once(worlds, died, story):
    world = worlds()
    uid = a_parent(world, NEXT, EACH, REVIEW)
    world.join(1)
    await world.act()
    world.tell(1)
    world.end_pod(world.pods()[0], Verdict.SUCCEED, structured=ANSWER)
    removed = set()
    for action, draw in story:
        await play(world, died, action, draw, removed)
    world.history_away, world.die_at = False, None
    world.refuse.clear()
    world.restart()
    await world.act(seconds=60)
    await world.act(seconds=60)

    expected = [child_name("hello", uid, name) for name in ("next", "review")]
    expected += [child_name("hello", uid, "each", number) for number in range(3)]
    assert sorted(times_created(world)) == sorted(expected)
    assert told(world) == (True, "Created")
    assert [one.jobs for one in world.status().follow_ups] == [1, 3, 1]


async def play(world, died, action, draw, removed):
    number = draw % 2
    try:
        if action in ("work", "work-other"):
            await world.act(number, seconds=draw)
        elif action == "hear":
            world.tell(number)
        elif action == "restart":
            world.restart(number)
        elif action in ("lose", "find"):
            world.history_away = action == "lose"
        elif action == "refuse":
            world.refuse["create", "AgentJob"] = Denied("exceeded quota")
        elif action == "allow":
            world.refuse.clear()
        elif action == "remove":
            # A child goes only once someone has heard of it: then history knows it.
            for name in sorted(children(world) - removed)[draw % 3 :][:1]:
                if world.reconciler.state.jobs.get(("default", name)) is not None and not world.history_away:
                    removed.add(name)
                    world.remove(name)
                    world.tell(0)
        else:
            world.die_at, world.die_after = len(world.writes) + 1 + draw % 4, action == "die-after"
            await world.act(number, seconds=1)
            world.die_at = None
    except died:
        world.die_at = None
        world.restart(number)
