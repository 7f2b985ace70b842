"""Jobs of templates through the whole operator: what they run, what they wait for, and which edits reach them."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentjobs.api.conditions import Phase
from agentjobs.contract import Verdict

AGENT = {"model": "m", "inline": {"instruction": "Be brief."}}
INPUT = {"message": "Look at $(params.repo)."}
REVIEW = {"parameters": [{"name": "repo", "required": True}], "agent": AGENT, "input": INPUT}
REPO = {"parameters": {"repo": "shop"}}


def reason(world, name="hello"):
    return world.status(name).phase, world.status(name).reason


def valid(world, name="review"):
    status = world.objects["AgentTemplate", "default", name]["status"]
    return [(one["status"], one["reason"]) for one in status["conditions"]]


def work(world, name="hello"):
    return world.accepted[world.job(name)["metadata"]["uid"]]["spec"]


async def test_a_job_runs_the_work_of_its_template(world):
    world.apply_template(**REVIEW, priority=7)
    world.apply_from(**REPO, retry={"maxAttempts": 1})
    await world.act()

    assert (work(world)["input"]["message"], work(world)["retry"]["maxAttempts"]) == ("Look at shop.", 1)
    (pod,) = world.pods()
    assert pod["metadata"]["labels"]["agentjobs.dev/template"] == "review"
    assert (world.status().resolved.template, world.status().resolved.template_generation) == ("review", 1)


async def test_a_job_of_a_template_takes_no_additional_write(world):
    world.apply_template(**REVIEW)
    await world.act()
    writes = len(world.writes)
    world.apply_from(**REPO)
    await world.act()
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=1)

    assert reason(world)[0] is Phase.SUCCEEDED
    assert len(world.writes) - writes == 4


async def test_a_job_waits_for_a_missing_template(world):
    world.apply_from(**REPO)
    await world.act()
    assert reason(world) == (Phase.PENDING, "TemplateNotFound")

    world.apply_template(**REVIEW)
    await world.act()
    assert reason(world)[0] is Phase.RUNNING


async def test_a_job_waits_for_an_invalid_template_until_it_is_corrected(world):
    world.apply_template(**REVIEW, priority=99)
    world.apply_from(**REPO)
    await world.act()
    assert reason(world) == (Phase.PENDING, "TemplateNotFound")
    assert valid(world) == [("False", "InvalidSpec")]

    world.edit("review", kind="AgentTemplate", priority=9)
    await world.act()
    assert reason(world)[0] is Phase.RUNNING
    assert valid(world) == [("True", "Valid")]


async def test_problems_of_the_job_are_reported_even_if_its_template_is_missing(world):
    world.apply_from(**REPO, priority=99)
    await world.act()
    assert reason(world) == (Phase.FAILED, "InvalidSpec")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, "InvalidSpec"),
        ({**REPO, "budget": {"maxTokens": 1}}, "LockedField"),
        ({**REPO, "agent": {"module": {"ref": "a:b"}}}, "TypeConflict"),
        ({**REPO, "partitionKey": "$(params.rep)"}, "UnresolvedReference"),
    ],
)
async def test_a_problem_of_the_merged_spec_ends_the_job(world, spec, why):
    world.apply_template(**REVIEW, locked=["budget"])
    world.apply_from(**spec)
    await world.act()
    assert reason(world) == (Phase.FAILED, why)
    assert world.pods() == []


EDITS = [{"input": {"message": "Else."}}, {"priority": 0}, {"retry": {"maxAttempts": 9}}, {"parameters": []}]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it holds nothing
@given(st.lists(st.sampled_from([*EDITS, "delete", "restart", "act"]), max_size=5))
async def test_edits_of_a_template_do_not_affect_accepted_jobs(worlds, steps):
    world = worlds()
    world.apply_template(**REVIEW, priority=7, queue="scheduled")
    world.apply_from(**REPO, startAfter="1h")
    await world.act()
    before, version = work(world), world.status().resolved

    for step in steps:
        if step == "restart":
            world.restart()
        elif step == "delete":
            world.remove("review", kind="AgentTemplate")
        elif step == "act":
            await world.act(seconds=5)
        elif ("AgentTemplate", "default", "review") in world.objects:
            world.edit("review", kind="AgentTemplate", **step)
    await world.act(seconds=3700)

    assert work(world) == before
    assert (reason(world)[0], world.status().resolved) == (Phase.RUNNING, version)
    assert world.pods()[0]["metadata"]["labels"]["agentjobs.dev/queue"] == "scheduled"


async def test_an_edit_of_a_template_applies_to_a_job_that_still_waits(world):
    world.apply_template(**REVIEW, queue="later")
    world.apply_from(**REPO)
    await world.act()
    assert reason(world) == (Phase.PENDING, "QueueNotFound")

    world.edit("review", kind="AgentTemplate", queue="agents", input={"message": "Now $(params.repo)."})
    await world.act()
    assert work(world)["input"]["message"] == "Now shop."


async def test_a_removed_steering_field_has_the_templates_value_again(world):
    world.apply_template(**REVIEW, priority=7, budget={"maxLLMCalls": 5, "maxTokens": 9})
    world.apply_from(**REPO, startAfter="1h", priority=1, budget={"maxTokens": 3})
    await world.act()
    world.edit("review", kind="AgentTemplate", priority=4)
    job = world.job()
    del job["spec"]["priority"], job["spec"]["budget"]
    world.edit()
    world.edit(cancel=False)
    await world.act(seconds=5)

    known = world.reconciler.state
    spec = known.specs.in_force(known.jobs.get(("default", "hello")))
    assert (spec.priority, spec.budget.max_llm_calls, spec.budget.max_tokens) == (7, 5, 9)


async def test_a_lock_applies_to_edits_after_acceptance_too(world):
    world.apply_template(**REVIEW, priority=7, locked=["priority", "budget"], budget={"maxTokens": 9})
    world.apply_from(**REPO, startAfter="1h")
    await world.act()
    world.edit(priority=0, budget={"maxTokens": 900})
    await world.act(seconds=5)

    known = world.reconciler.state
    spec = known.specs.in_force(known.jobs.get(("default", "hello")))
    assert (spec.priority, spec.budget.max_tokens) == (7, 9)
    (told,) = [message for event, message in world.events if event == "SpecChanged"]
    assert "spec.budget, spec.priority" in told or "spec.priority, spec.budget" in told


async def test_the_ttl_of_a_deleted_template_applies_after_a_restart(world):
    world.apply_template(**REVIEW, ttlSecondsAfterFinished=60, runtime={"podRetention": "Delete"})
    world.apply_from(**REPO)
    await world.act()
    world.remove("review", kind="AgentTemplate")
    world.end_pod(world.pods()[0], Verdict.SUCCEED)
    await world.act(seconds=5)
    assert world.pods() == []
    world.restart()
    await world.act(seconds=5)
    assert world.jobs() == ["hello"]

    await world.act(seconds=90)
    assert world.jobs() == []


async def test_after_a_restart_the_stored_work_applies_and_not_the_current_template(world):
    world.apply_template(**REVIEW, runtime={"image": "old"})
    world.apply_from(**REPO)
    await world.act()
    world.edit("review", kind="AgentTemplate", runtime={"image": "new"})
    world.restart()
    world.end_pod(world.pods()[0], Verdict.RETRY, reason="ToolError", code=1)
    await world.act(seconds=1)
    await world.act(seconds=60)

    images = [pod["spec"]["containers"][0]["image"] for pod in world.pods()]
    assert images == ["old", "old"]


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"parameters": {"repo": "other"}}, "spec.parameters.repo"),
        ({"templateRef": {"name": "other"}}, "spec.templateRef"),
        ({"retry": {"maxAttempts": 9}}, "spec.retry.maxAttempts"),
        ({"input": {"state": {"a": 1}}}, "spec.input.state.a"),
        ({"input": {"message": "Else."}}, "spec.input.message"),
        ({"priority": 1}, None),
        ({"input": {"message": "Look at $(params.repo)."}}, None),
    ],
)
async def test_edits_of_accepted_work_are_reported_with_their_fields(world, spec, named):
    world.apply_template(**REVIEW)
    world.apply_from(**REPO, startAfter="1h")
    await world.act()
    world.edit(**spec)
    await world.act(seconds=5)

    told = [message for event, message in world.events if event == "SpecChanged"]
    assert [f": {named};" in message for message in told] == ([] if named is None else [True])


async def test_a_template_is_validated_with_one_write_per_edit(world):
    world.apply_template(**REVIEW)
    await world.act()
    world.edit("review", kind="AgentTemplate", priority=99)
    await world.act()
    await world.act(seconds=60)

    assert world.writes == [("status", "AgentTemplate")] * 2
    assert valid(world) == [("False", "InvalidSpec")]


async def test_defaults_of_a_queue_apply_if_job_and_template_set_nothing(world):
    world.apply_queue("fast", defaults={"priority": 8, "timeouts": {"queue": "1h"}})
    world.apply_template(**REVIEW, queue="fast")
    world.apply_from(**REPO)
    await world.act()
    assert (work(world)["priority"], work(world)["timeouts"]["queue"]) == (8, "1h")


async def test_the_queues_defaults_at_acceptance_are_kept(world):
    world.apply_queue("fast", defaults={"priority": 8})
    world.apply(queue="fast", startAfter="1h")
    await world.act()
    world.edit("fast", kind="AgentQueue", defaults={"priority": 1})
    world.restart()
    await world.act(seconds=5)

    known = world.reconciler.state
    assert known.specs.in_force(known.jobs.get(("default", "hello"))).priority == 8


def schedule_of(template, **spec):
    return {"jobTemplate": {"spec": {"templateRef": {"name": template}, **REPO, **spec}}}


@pytest.mark.parametrize(
    ("low", "own", "queue"),
    [({}, {}, "scheduled"), ({"queue": "agents"}, {}, "agents"), ({}, {"queue": "agents"}, "agents")],
)
async def test_the_queue_of_a_template_has_precedence_over_the_default_queue_of_schedules(world, low, own, queue):
    world.apply_template(**REVIEW, **low)
    world.apply_schedule(schedule="* * * * *", **schedule_of("review", **own))
    await world.act()
    await world.act(seconds=61)
    await world.act(seconds=1)

    (name,) = world.jobs()
    assert world.status(name).phase is Phase.RUNNING
    assert (work(world, name)["queue"], work(world, name)["input"]["message"]) == (queue, "Look at shop.")


async def test_a_queue_locked_by_the_template_does_not_prevent_its_schedules(world):
    world.apply_template(**REVIEW, queue="agents", locked=["queue"])
    world.apply_schedule(schedule="* * * * *", **schedule_of("review"))
    await world.act()
    await world.act(seconds=61)
    await world.act(seconds=1)
    assert world.status(world.jobs()[0]).phase is Phase.RUNNING


async def test_a_schedule_reports_problems_of_its_jobs_regardless_of_their_template(world):
    world.apply_schedule(**schedule_of("review", priority=99))
    await world.act()
    assert world.said("Active") == ("False", "InvalidSpec")


async def test_a_job_waits_in_the_partition_of_its_parameters_before_acceptance(world):
    world.apply_template(**REVIEW, partitionKey="$(params.repo)", queue="missing")
    world.apply_from(**REPO)
    await world.act()

    known = world.reconciler.state
    assert reason(world) == (Phase.PENDING, "QueueNotFound")
    assert known.specs.partition(known.jobs.get(("default", "hello"))) == "shop"
    world.edit("review", kind="AgentTemplate", partitionKey="of $(params.repo)")
    await world.act()
    assert known.specs.partition(known.jobs.get(("default", "hello"))) == "of shop"


async def test_after_a_crash_the_stored_work_runs_and_not_a_later_template(world, died):
    world.apply_template(**REVIEW)
    await world.act()
    world.apply_from(**REPO)
    world.die_at, world.die_after = len(world.writes) + 1, False
    with pytest.raises(died):
        await world.act()
    world.die_at = None
    world.edit("review", kind="AgentTemplate", input={"message": "Else."})
    world.restart()
    await world.act()

    assert reason(world)[0] is Phase.RUNNING
    assert work(world)["input"]["message"] == "Look at shop."
    assert len(world.pods()) == 1


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.FAIL])
async def test_the_current_template_does_not_decide_about_an_end_without_the_database(world, verdict):
    rule = {"name": "again", "onErrors": ["ToolError"], "action": "Retry"}
    world.apply_template(**REVIEW, resultPolicy={"rules": [rule]})
    world.apply_from(**REPO)
    await world.act()
    world.edit("review", kind="AgentTemplate", retry={"maxAttempts": 1}, resultPolicy={"rules": []})
    world.history_away = True
    world.restart()
    world.end_pod(world.pods()[0], verdict, reason="ToolError", code=1)
    await world.act(seconds=1)
    await world.act(seconds=60)
    assert reason(world)[0] is Phase.RUNNING

    world.history_away = False
    world.reconciler.history_is_back()
    await world.act(seconds=1)
    assert reason(world)[0] is Phase.RETRYING


MIXED = {"agent": {"model": "m", "inline": {"instructionFrom": {"configMapKeyRef": {"name": "texts", "key": "a"}}}}}


def a_version(number):
    """What the runner reads, and what the pod has."""
    return {"input": {"message": str(number)}, "runtime": {"env": [{"name": "V", "value": str(number)}]}}


def variables(pod):
    return {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("asked", range(1, 5))
async def test_a_job_runs_one_version_of_a_template_edited_while_it_is_read(world, monkeypatch, asked):
    """What its runner reads and its pod are of one generation, whichever question the edit comes in between."""
    texts = {"metadata": {"namespace": "default", "name": "texts"}, "data": {"a": "Be brief."}}
    world._put(("ConfigMap", "default", "texts"), "ADDED", texts)
    world.apply_template(**MIXED, **a_version(1))
    questions = itertools.count(1)

    def edit():
        if next(questions) == asked:
            world.edit("review", kind="AgentTemplate", **a_version(2))
            world.tell()

    async def get(*key, ask=world.get):
        found = await ask(*key)
        edit()
        return found

    async def create(*key, ask=world.create, **options):
        found = await ask(*key, **options)
        if options.get("dry_run"):
            edit()
        return found

    monkeypatch.setattr(world, "get", get)
    monkeypatch.setattr(world, "create", create)
    world.apply_from()
    await world.act()

    (pod,) = world.pods()
    assert variables(pod)["V"] == work(world)["input"]["message"] == str(world.status().resolved.template_generation)


async def test_none_of_200_jobs_mixes_versions_of_constantly_edited_templates(worlds, monkeypatch):
    world, names, edits = worlds(slots=200), ("odd", "even"), itertools.count(1)
    texts = {"metadata": {"namespace": "default", "name": "texts"}, "data": {"a": "Be brief."}}
    world._put(("ConfigMap", "default", "texts"), "ADDED", texts)
    for name in names:
        world.apply_template(name, **MIXED, **a_version(0))

    async def get(*key, ask=world.get):
        found = await ask(*key)
        if (number := next(edits)) % 3 == 0 and number <= 600:
            world.edit(names[number % 2], kind="AgentTemplate", **a_version(number))
            world.tell()
        return found

    monkeypatch.setattr(world, "get", get)
    for number in range(200):
        world.apply_from(names[number % 2], f"job-{number}")
    world.tell()
    await world.settle(limit=5000)
    world.tell()
    await world.settle(limit=5000)

    of_pods = {pod["metadata"]["labels"]["agentjobs.dev/job"]: variables(pod)["V"] for pod in world.pods()}
    assert of_pods == {f"job-{number}": work(world, f"job-{number}")["input"]["message"] for number in range(200)}
    assert len(set(of_pods.values())) > 50


@pytest.mark.parametrize("edited", [False, True], ids=["first", "edited"])
async def test_a_job_continues_when_the_queue_of_its_template_is_created(world, edited):
    world.apply_template(**REVIEW, queue="first")
    world.apply_from(**REPO)
    await world.act()
    if edited:
        world.edit("review", kind="AgentTemplate", queue="second")
    await world.act(seconds=1)
    world.apply_queue("second" if edited else "first")
    world.tell()
    await world.settle()

    assert world.status().phase == "Running"
