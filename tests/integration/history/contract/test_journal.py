"""A step is stored once, before its start acts on it, and every later start of its run finds it."""

import json
from dataclasses import replace

import pytest
from tests.integration.history.runner_calls import a_call, a_step, record

from agentjobs import contract, errors
from agentjobs.history.records import Acceptance
from agentjobs.models.budget import Limits, Scope

VERSIONS = {"adk": "2.5.0", "runner": "0.2.0", "scheme": "1", "agent": "abc"}


@pytest.fixture
async def begun(operator, gateway, build):
    """Begins a start of the job and returns what its runner is told of the journal."""

    async def begin(start, *, attempt=1, build=build, **spec):
        await operator.accept(Acceptance(build.job(**spec), build.start(start, attempt=attempt)))
        return (await gateway.claim(build.uid, start, f"pod-{start}", **build.place))["journal"]

    return begin


async def steps_of(gateway, build, start, **asked):
    return (await gateway.read_steps(build.uid, start, f"pod-{start}", **asked))["steps"]


async def keys_of(gateway, build, start):
    return [step["key"] for step in await steps_of(gateway, build, start)]


async def test_the_first_start_begins_an_empty_run(begun):
    assert await begun(1) == {"run": 1, "last": 0, "versions": None}


async def test_a_later_start_reads_steps_in_the_order_of_recording(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a", body={"text": "ü\u2028"}), a_step("b", body=None))
    await record(gateway, build.uid, 1, a_step("c", kind="value", body=[1, 2.5]))
    await begun(2)

    read = await steps_of(gateway, build, 2)

    assert [(step["n"], step["start"], step["key"], step["kind"]) for step in read] == [
        (1, 1, "a", "model"),
        (2, 1, "b", "model"),
        (3, 1, "c", "value"),
    ]
    assert [step["body"] for step in read] == [{"text": "ü\u2028"}, None, [1, 2.5]]
    assert read[0]["request"] == {"digest": "0f"}


async def test_a_later_start_gets_the_run_its_newest_step_and_its_versions(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), versions=VERSIONS)
    await begun(2)
    await record(gateway, build.uid, 2, a_step("b"), versions=VERSIONS | {"agent": "edited"})

    assert await begun(3) == {"run": 1, "last": 2, "versions": VERSIONS}


async def test_a_repeated_claim_returns_the_same_run(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), versions=VERSIONS)

    assert await begun(1) == {"run": 1, "last": 1, "versions": VERSIONS}


async def test_an_unclaimed_start_does_not_prevent_the_next_from_continuing_the_run(gateway, operator, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await operator.accept(Acceptance(build.job(), build.start(2)))

    assert (await begun(3))["run"] == 1


@pytest.mark.parametrize(
    ("spec", "attempt", "run"),
    [
        pytest.param({"steps": {"checkpoint": "None"}}, 1, 2, id="no-checkpoint"),
        pytest.param({"steps": {"checkpoint": "Steps"}}, 2, 1, id="steps"),
        pytest.param({"retry": {"maxAttempts": 3, "resume": "FromStart"}}, 2, 2, id="from-start"),
        pytest.param({"retry": {"maxAttempts": 3, "resume": "FromStart"}}, 1, 1, id="from-start-same-attempt"),
        pytest.param({"retry": {"maxAttempts": 3, "resume": "FromCheckpoint"}}, 2, 1, id="from-checkpoint"),
    ],
)
async def test_the_spec_of_the_job_decides_whether_a_start_continues_the_run(
    gateway, operator, a_job, begun, spec, attempt, run
):
    build = a_job("uid-2", name="other")
    await begun(1, build=build, **spec)
    await record(gateway, build.uid, 1, a_step("a"))

    head = await begun(2, build=build, attempt=attempt, **spec)

    assert (head["run"], head["last"]) == (run, 1 if run == 1 else 0)


async def test_a_restarted_run_has_no_steps_and_later_starts_continue_it(gateway, operator, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), versions=VERSIONS)
    await operator.accept(Acceptance(build.job(), replace(build.start(2), run=2)))
    head = await begun(2)
    await record(gateway, build.uid, 2, a_step("a", body="anew"), run=2, versions=VERSIONS)

    assert head == {"run": 2, "last": 0, "versions": None}
    assert await begun(3) == {"run": 2, "last": 2, "versions": VERSIONS}


async def test_a_start_can_begin_a_new_run(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), versions=VERSIONS)
    await begun(2)
    await record(gateway, build.uid, 2, a_step("a", body="anew"), run=2, versions=VERSIONS | {"adk": "3"})

    assert [(step["n"], step["body"]) for step in await steps_of(gateway, build, 2)] == [(2, "anew")]
    assert await begun(3) == {"run": 2, "last": 2, "versions": VERSIONS | {"adk": "3"}}


@pytest.mark.parametrize("run", [1, 3])
async def test_a_start_cannot_record_in_another_run(gateway, build, begun, run):
    await begun(1)
    await begun(2)
    await record(gateway, build.uid, 2, run=2)

    with pytest.raises(errors.Invalid, match="run"):
        await record(gateway, build.uid, 2, a_step("a"), run=run)
    assert await keys_of(gateway, build, 2) == []


async def test_a_request_sent_again_stores_and_counts_once(gateway, build, begun):
    await begun(1)
    sent = [a_step("a"), a_call("b"), a_step("c", void=True), a_step("c", void=True, second=1)]
    last = [(await record(gateway, build.uid, 1, *sent)).last for _ in range(3)]

    assert last == [4, 4, 4]
    assert await keys_of(gateway, build, 1) == ["a", "b"]
    assert (await used(gateway, build))[0] == {"llmCalls": 3, "inputTokens": 30, "outputTokens": 15, "toolCalls": 1}


async def used(gateway, build):
    return [start.usage for start in (await gateway.job_history("default", build.uid)).starts]


async def test_the_first_of_two_steps_with_the_same_key_is_kept(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a", body="first"), a_step("a", body="second", second=1))
    await record(gateway, build.uid, 1, a_step("a", body="third", second=2), a_call("a", second=3))

    assert [step["body"] for step in await steps_of(gateway, build, 1)] == ["first"]


async def test_a_completed_call_is_one_step_with_the_number_of_its_beginning(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_call("a"))
    await record(gateway, build.uid, 1, a_step("b"))
    open_, _ = await steps_of(gateway, build, 1)
    await record(gateway, build.uid, 1, a_call("a", body={"ok": True}))
    ended, _ = await steps_of(gateway, build, 1)

    assert (open_["n"], open_["ended"], open_["body"]) == (1, None, None)
    assert (ended["n"], ended["ended"], ended["body"]) == (1, "2026-01-31T12:00:01+00:00", {"ok": True})
    assert (await used(gateway, build))[0]["toolCalls"] == 1


async def test_an_unfinished_call_of_an_earlier_start_is_repeated_and_counted_again(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_call("a"))
    await begun(2)
    left = await steps_of(gateway, build, 2)
    for _ in range(2):
        await record(gateway, build.uid, 2, a_call("a", second=30))
    taken = await steps_of(gateway, build, 2)

    assert [(step["n"], step["start"], step["ended"]) for step in (*left, *taken)] == [(1, 1, None), (1, 2, None)]
    assert await used(gateway, build) == [{"toolCalls": 1}, {"toolCalls": 1}]


async def test_each_try_of_a_call_counts_once_and_the_newest_is_in_progress(gateway, build, begun):
    await begun(1)
    for second in (0, 3, 3, 0):
        await record(gateway, build.uid, 1, a_call("a", second=second))
    await begun(2)

    assert [(step["n"], step["ended"]) for step in await steps_of(gateway, build, 2)] == [(1, None)]
    assert (await used(gateway, build))[0] == {"toolCalls": 2}


async def test_a_call_that_begins_and_ends_in_one_request_is_one_step(gateway, build, begun):
    await begun(1)
    appended = await record(gateway, build.uid, 1, a_call("a"), a_call("a", body=1))

    assert (appended.last, await keys_of(gateway, build, 1)) == (1, ["a"])
    assert await used(gateway, build) == [{"toolCalls": 1}]


async def test_a_void_step_is_not_read_by_later_starts(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), a_step("b"))
    for _ in range(2):
        await record(gateway, build.uid, 1, void=["b", "unknown"])
    await begun(2)
    kept = await keys_of(gateway, build, 2)
    await record(gateway, build.uid, 2, a_step("b", body="again", second=9))

    assert kept == ["a"]
    assert await keys_of(gateway, build, 2) == ["a", "b"]
    assert (await used(gateway, build))[0]["llmCalls"] == 2


async def test_a_step_that_replaces_a_void_one_is_kept_when_it_is_sent_again(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a", body="wrong"))
    for _ in range(2):
        await record(gateway, build.uid, 1, a_step("a", body="right", second=5), void=["a"])

    assert [step["body"] for step in await steps_of(gateway, build, 1)] == ["right"]


async def test_a_late_request_does_not_restore_void_steps(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await record(gateway, build.uid, 1, void=["a"])
    await record(gateway, build.uid, 1, a_step("a"))

    assert await keys_of(gateway, build, 1) == []


async def test_a_request_with_one_invalid_step_stores_nothing(gateway, build, begun):
    await begun(1)

    with pytest.raises(errors.Invalid, match="began"):
        await record(gateway, build.uid, 1, a_step("a"), a_step("b") | {"began": "yesterday"}, versions=VERSIONS)
    assert await begun(1) == {"run": 1, "last": 0, "versions": None}


async def test_steps_are_read_in_pages(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, *(a_step(str(number)) for number in range(5)), a_step("x", void=True))
    pages, after = [], 0
    while after is not None:
        page = await gateway.read_steps(build.uid, 1, "pod-1", after=after, limit=2)
        pages.append([step["n"] for step in page["steps"]])
        after = page["next"]

    assert pages == [[1, 2], [3, 4], [5]]


async def test_a_page_of_large_steps_has_fewer_steps(gateway, build, begun):
    await begun(1)
    for number in range(4):
        await record(gateway, build.uid, 1, a_step(str(number), body="x" * (contract.MAX_STEP_BYTES // 2)))

    page = await gateway.read_steps(build.uid, 1, "pod-1")

    assert ([step["n"] for step in page["steps"]], page["next"]) == ([1, 2], 2)


@pytest.mark.parametrize("limit", ["MAX_JOB_STEPS", "MAX_RUN_BYTES"])
async def test_the_recorded_bytes_of_a_job_are_limited(gateway, build, begun, monkeypatch, limit):
    monkeypatch.setattr(f"agentjobs.history.steps.{limit}", {"MAX_JOB_STEPS": 2, "MAX_RUN_BYTES": 59}[limit])
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), a_step("b"))

    with pytest.raises(errors.JournalFull):
        await record(gateway, build.uid, 1, a_step("c"), void=["a"])
    assert await keys_of(gateway, build, 1) == ["a", "b"]


async def test_users_read_every_step_and_its_start(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), a_step("b", void=True), a_call("c"))
    await begun(2)
    await record(gateway, build.uid, 2, a_call("c", second=30), a_step("d", second=40))
    first = await gateway.steps(build.uid, limit=3)
    second = await gateway.steps(build.uid, limit=3, cursor=first.cursor)
    read = [*first.items, *second.items]

    assert [(step.n, step.start, step.run, step.key, step.void, step.replayed) for step in read] == [
        (1, 1, 1, "a", False, True),
        (2, 1, 1, "b", True, False),
        (3, 2, 1, "c", False, False),
        (4, 2, 1, "d", False, False),
    ]
    assert (read[2].usage, read[2].ended, read[3].bytes) == ({"toolCalls": 2}, None, 20)
    assert second.cursor is None


async def test_users_read_only_the_steps_of_the_requested_start_and_job(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"))
    await begun(2)
    await record(gateway, build.uid, 2, a_step("b"))

    assert [step.key for step in (await gateway.steps(build.uid, start=2)).items] == ["b"]
    assert (await gateway.steps("nobody")).items == (await gateway.steps(build.uid, start=2**40)).items == []


async def test_users_read_the_content_of_a_step(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a", body={"text": "ü\u2028"}), a_call("b"))

    gave, open_ = [await gateway.step(build.uid, n) for n in (1, 2)]

    assert (json.loads(bytes(gave.body)), json.loads(bytes(gave.request))) == ({"text": "ü\u2028"}, {"digest": "0f"})
    assert (open_.body, open_.step.ended) == (None, None)
    assert [gave.step, open_.step] == (await gateway.steps(build.uid)).items
    assert [await gateway.step(*other) for other in ((build.uid, 3), ("nobody", 1), (build.uid, 2**31 - 1))] == [
        None
    ] * 3


async def test_users_read_the_times_of_all_steps(gateway, build, begun):
    await begun(1)
    await record(gateway, build.uid, 1, a_step("a"), a_step("b", void=True), a_call("c"))

    spans = await gateway.spans(build.uid)

    steps = (await gateway.steps(build.uid)).items
    assert [(one.n, one.start, one.kind, one.name, one.began, one.ended) for one in spans] == [
        (one.n, one.start, one.kind, one.name, one.began, one.ended) for one in steps
    ]
    assert [one.ended is None for one in spans] == [False, False, True]
    assert await gateway.spans("nobody") == []


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 501}, {"cursor": "x"}])
async def test_an_invalid_page_of_steps_is_refused(gateway, build, wrong):
    with pytest.raises(errors.Invalid, match=r"limit|cursor"):
        await gateway.steps(build.uid, **wrong)


async def read(gateway, build, start, pod):
    await gateway.read_steps(build.uid, start, pod)


async def write(gateway, build, start, pod):
    await record(gateway, build.uid, start, a_step("a"), pod=pod)


@pytest.mark.parametrize("ask", [read, write])
async def test_another_pod_and_an_older_start_can_neither_read_nor_record(gateway, build, begun, ask):
    await begun(1)
    await begun(2)

    for start, pod in [(1, "pod-1"), (2, "pod-1"), (2, "pod-x")]:
        with pytest.raises(errors.Fenced):
            await ask(gateway, build, start, pod)
    assert await keys_of(gateway, build, 2) == []


@pytest.mark.parametrize(("scope", "turns"), [(Scope.JOB, 2), (Scope.ATTEMPT, 1)])
async def test_turns_are_counted_over_all_runs_of_a_job(gateway, operator, build, begun, scope, turns):
    from_start = {"retry": {"maxAttempts": 3, "resume": "FromStart"}}
    answers = [{"turn": True, "attempt": 1}, {"turn": False, "attempt": 1}, {"digest": "0f"}]
    await begun(1, **from_start)
    steps = [a_step(f"1/{n}") | {"request": request} for n, request in enumerate(answers)]
    await record(gateway, build.uid, 1, *steps, a_call("1/tool") | {"request": {"turn": True}})
    await begun(2, attempt=2, **from_start)
    await record(gateway, build.uid, 2, a_step("2/1") | {"request": {"turn": True, "attempt": 2}}, run=2)
    await begun(3, attempt=2, **from_start)

    attempt = await gateway.claim(build.uid, 3, "pod-3", **build.place, budget=Limits(turns=9, scope=scope))

    assert attempt["budget"]["used"]["turns"] == turns
