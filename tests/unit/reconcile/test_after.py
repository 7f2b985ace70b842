"""Jobs that wait for other jobs, through the reconciler."""

import json

import pytest
from msgspec import Raw

from agentjobs.api.answers import whole
from agentjobs.api.conditions import ConditionType, find_condition
from agentjobs.api.job.after import AfterName
from agentjobs.contract import Verdict
from agentjobs.reconcile.job.awaiting import MAX_VALUE, Standing, Texts


def said(world, name):
    """Reason and message of Accepted."""
    condition = find_condition(world.status(name).conditions, ConditionType.ACCEPTED)
    return (condition.reason, condition.message) if condition else None


def message(world, name):
    """What the job's agent is told."""
    return world.accepted[world.job(name)["metadata"]["uid"]]["spec"]["input"]["message"]


async def test_a_job_waits_until_the_named_jobs_have_ended(world):
    world.apply("join", after={"jobs": ["one", "two"]})
    world.apply("one")
    await world.act()
    assert world.status("join").phase == "Pending"
    reason, told = said(world, "join")
    assert (reason, "one, two (" in told) == ("WaitingForJobs", True)

    world.apply("two")
    await world.act(seconds=1)
    world.succeed("one")
    await world.act(seconds=1)
    assert world.status("join").phase == "Pending"
    world.end_jobs(Verdict.FAIL, "Permanent", 78)
    await world.act(seconds=1)

    assert world.status("join").phase == "Running"


async def test_an_end_wakes_the_job_that_waits_for_it(world):
    world.apply("one")
    world.apply("join", after={"jobs": ["one"]})
    await world.act()
    world.succeed("one")
    world.tell()
    await world.settle()
    world.tell()
    await world.settle()

    assert world.status("join").phase == "Running"


async def test_answers_are_substituted_in_texts_and_not_expanded_again(world):
    world.apply("plan")
    text = "$(after.plan.phase): $(after.plan.title) of $(after.plan.steps.1) $$(job.name) $(after.plan.result.steps)"
    world.apply("join", after={"jobs": ["plan"]}, input={"message": text})
    await world.act()
    world.succeed("plan", title="$(job.uid)", steps=[1, {"a": "$$("}])
    await world.act(seconds=1)

    assert message(world, "join") == 'Succeeded: $(job.uid) of {"a":"$$("} $(job.name) [1,{"a":"$$("}]'


async def test_all_results_are_a_list_in_the_order_of_names(world):
    world.apply("a")
    world.apply("b")
    world.apply("join", after={"jobs": ["b", "a"]}, input={"message": "$(after.results)"})
    await world.act()
    world.succeed("a", n=1)
    world.end_jobs(Verdict.FAIL, "Permanent", 78)
    await world.act(seconds=1)

    assert message(world, "join") == (
        '[{"job":"b","phase":"Failed","outcome":null,"result":null},'
        '{"job":"a","phase":"Succeeded","outcome":null,"result":{"n":1}}]'
    )


async def test_a_job_deleted_while_another_waits_for_it_is_read_from_history(world):
    world.apply("join", after={"jobs": ["plan"]}, input={"message": "$(after.plan.title)"})
    world.apply("plan", ttlSecondsAfterFinished=0)
    await world.act()
    world.succeed("plan", title="x")
    await world.act(seconds=1)
    await world.act(seconds=5)
    assert world.jobs() == ["join"]

    assert message(world, "join") == "x"


async def test_an_earlier_job_of_the_same_name_does_not_count(world):
    world.apply("plan", ttlSecondsAfterFinished=0)
    await world.act()
    world.succeed("plan", title="yesterday's")
    await world.act(seconds=1)
    await world.act(seconds=5)

    world.apply("join", after={"jobs": ["plan"]}, input={"message": "$(after.plan.title)"})
    await world.act()

    reason, told = said(world, "join")
    assert (reason, "plan (" in told) == ("WaitingForJobs", True)


async def test_with_any_one_job_is_enough_and_the_others_are_empty_texts(world):
    world.apply("a")
    world.apply("b")
    any_ = {"jobs": ["a", "b"], "when": "Any"}
    world.apply("join", after=any_, input={"message": "<$(after.a.phase)><$(after.b.phase)>$(after.results)"})
    await world.act()
    world.succeed("b", n=1)
    await world.act(seconds=1)

    told = '[{"job":"b","phase":"Succeeded","outcome":null,"result":{"n":1}}]'
    assert message(world, "join") == f"<><Succeeded>{told}"


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("$(after.plan.titel)", "UnresolvedReference", "it has title, long"),
        ("$(after.plan.title.x)", "UnresolvedReference", "'title' of the answer"),
        ("$(after.other.title)", "UnresolvedReference", "$(after.results)"),
        ("$(after.plan.long)", "InvalidSpec", "spec.input.message"),
        ("$(after.plan.long)$(after.plan.long)", "SpecTooLarge", "grows by"),
    ],
    ids=["missing path", "into a text", "not waited for", "too long", "far too long"],
)
async def test_an_answer_that_cannot_be_substituted_fails_the_job_with_the_reason(world, text, reason, words):
    world.apply("plan")
    await world.act()
    world.succeed("plan", title="x", long="x" * 66_000)
    await world.act(seconds=1)
    world.apply("join", after={"jobs": ["plan"]}, input={"message": text})
    await world.act()

    status = world.status("join")
    assert (status.phase, status.reason) == ("Failed", reason)
    assert words in said(world, "join")[1]


async def test_a_failed_job_has_no_answer_to_substitute(world):
    world.apply("plan")
    world.apply("join", after={"jobs": ["plan"]}, input={"message": "$(after.plan.title)"})
    await world.act()
    world.end_jobs(Verdict.FAIL, "Permanent", 78)
    await world.act(seconds=1)

    assert world.status("join").reason == "UnresolvedReference"
    assert "ended as Failed" in said(world, "join")[1]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_a_cycle_fails_all_of_its_jobs_and_those_that_wait_for_them(world, size):
    for n in range(size):
        world.apply(f"job-{n}", after={"jobs": [f"job-{(n + 1) % size}"]})
    world.apply("behind", after={"jobs": ["job-0"]})
    world.apply("beside", after={"jobs": ["free"]})
    await world.act()

    ends = {name: (world.status(name).phase, world.status(name).reason) for name in world.jobs()}
    assert ends.pop("beside")[0] == "Pending"
    assert set(ends.values()) == {("Failed", "DependencyCycle")}
    assert world.pods() == []


async def test_a_cycle_fails_all_of_its_jobs_even_if_the_operator_crashes_in_between(world, died):
    for n in range(3):
        world.apply(f"job-{n}", after={"jobs": [f"job-{(n + 1) % 3}"]})
    for _ in range(12):
        world.die_at, world.die_after = len(world.writes) + 1, True
        try:
            await world.act(seconds=1)
        except died:
            world.restart()
    world.die_at = None
    await world.act(seconds=90)

    assert {(world.status(name).phase, world.status(name).reason) for name in world.jobs()} == {
        ("Failed", "DependencyCycle")
    }


async def test_labels_select_jobs_and_must_match_at_least_one(world):
    world.apply("join", after={"selector": {"set": "a"}}, input={"message": "$(after.results)"})
    await world.act()
    assert said(world, "join")[0] == "WaitingForJobs"
    world.apply("one", labels={"set": "a", "more": "x"})
    world.apply("two", labels={"set": "b"})
    await world.act(seconds=3)
    assert said(world, "join") == ("WaitingForJobs", "waits for jobs: one")
    world.succeed("one", n=1)
    await world.act(seconds=3)
    await world.act(seconds=1)

    assert message(world, "join") == '[{"job":"one","phase":"Succeeded","outcome":null,"result":{"n":1}}]'


async def test_jobs_are_selected_by_labels_at_most_once_a_second(world):
    world.apply("join", after={"selector": {"set": "a"}})
    for _ in range(10):
        await world.act(milliseconds=100)

    assert len(world.listed) <= 2


async def test_waiting_takes_few_writes_even_if_many_jobs_end_one_by_one(world):
    for n in range(10):
        world.apply(f"job-{n}")
    world.apply("join", after={"jobs": [f"job-{n}" for n in range(10)]})
    await world.act()
    transitions = 0
    for n in range(10):
        before = world.job("join")["metadata"]["resourceVersion"]
        world.succeed(f"job-{n}")
        await world.act(seconds=1)
        transitions += world.job("join")["metadata"]["resourceVersion"] != before

    assert world.status("join").phase == "Running"
    assert transitions <= 4


async def test_an_unavailable_history_delays_the_decision(world):
    world.apply("join", after={"jobs": ["plan"]})
    world.history_away = True
    await world.act()
    assert said(world, "join")[0] == "HistoryUnavailable"
    world.history_away = False
    await world.act(seconds=3)

    assert said(world, "join")[0] == "WaitingForJobs"


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({}, "InvalidSpec"),
        ({"jobs": ["join"]}, "DependencyCycle"),
        ({"jobs": ["a", "a"]}, "InvalidSpec"),
        ({"jobs": [f"job-{n}" for n in range(101)]}, "InvalidSpec"),
        ({"selector": {"a b": "c"}}, "InvalidSpec"),
        ({"selector": {"a": "b,c=d"}}, "InvalidSpec"),
    ],
    ids=["nothing", "itself", "twice", "too many", "no label", "no value"],
)
async def test_invalid_waits_fail_with_the_reason(world, after, reason):
    world.apply("join", after=after)
    await world.act()

    assert (world.status("join").phase, world.status("join").reason) == ("Failed", reason)


async def test_an_answer_cannot_choose_the_user_of_a_job(world):
    world.apply("join", after={"jobs": ["plan"]}, partitionKey="$(after.plan.tenant)")
    await world.act()

    assert world.status("join").reason == "UnresolvedReference"


async def test_an_answer_cannot_choose_the_worktree_of_a_job(world):
    worktree = {"mode": "Named", "name": "$(after.plan.branch)"}
    git = {"url": "https://git.example.com/shop.git"}
    world.apply("join", after={"jobs": ["plan"]}, workspace={"git": git, "worktree": worktree})
    await world.act()

    assert world.status("join").reason == "UnresolvedReference"


async def test_a_waiting_job_can_be_cancelled(world):
    world.apply("join", after={"jobs": ["never"]})
    await world.act()
    world.edit("join", cancel=True)
    await world.act(seconds=1)

    assert world.status("join").phase == "Cancelled"
    assert world.reconciler.state.waits.wants("default") == {}


async def test_steering_a_job_whose_texts_contain_answers_is_not_an_edit_of_its_work(world):
    world.apply("plan")
    world.apply(
        "join", after={"jobs": ["plan"]}, input={"message": "$(after.plan.n)", "state": {"n": "$(after.plan.n)"}}
    )
    await world.act()
    world.succeed("plan", n=1)
    await world.act(seconds=1)
    world.edit("join", priority=1)
    await world.act(seconds=1)

    assert "SpecChanged" not in {reason for reason, _ in world.events}


async def test_a_job_that_waits_for_the_follow_ups_of_another_waits_for_that_one_too(world):
    world.apply("plan")
    world.apply("part", labels={"agentjobs.dev/parent": "plan"})
    world.apply("join", after={"selector": {"agentjobs.dev/parent": "plan"}}, input={"message": "$(after.results)"})
    await world.act()
    world.succeed("part", n=1)
    await world.act(seconds=3)
    await world.act(seconds=1)
    assert said(world, "join") == ("WaitingForJobs", "waits for jobs: part, plan")
    world.succeed("plan")
    await world.act(seconds=3)
    await world.act(seconds=1)

    assert message(world, "join") == '[{"job":"part","phase":"Succeeded","outcome":null,"result":{"n":1}}]'


def test_kept_values_are_limited_to_the_size_of_a_spec():
    names = {
        f"after.a.{number}": AfterName(f"after.a.{number}", "a", "result", (str(number),)) for number in range(500)
    }
    texts = Texts(names)
    answer = json.dumps({"text": "", "structured": ["x" * 8000] * 500}).encode()
    texts.add(Standing("a", ended=True), whole(Raw(answer)))
    values, problems = texts.values([])

    assert sum(map(len, values.values())) <= MAX_VALUE
    assert len(values) + len(problems) == 500
