"""What users read: their namespace, page by page, also of hostile jobs."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.integration.history.conftest import NOON

from agentjobs import errors
from agentjobs.api.job_filter import JobFilter
from agentjobs.contract import Published, Result, ResultDocument, TimelineEntry
from agentjobs.history.records import Acceptance, Steering

HOSTILE = "NUL \x00, half \ud800, '; DROP TABLE jobs; --, 🙂"
STORED = "NUL \ufffd, half \ufffd, '; DROP TABLE jobs; --, 🙂"
USAGE = {"llmCalls": 1, "toolCalls": 0, "inputTokens": 10, "outputTokens": 5}


async def names(pages):
    return [job.name for page in pages for job in page.items]


async def test_pages_have_every_job_once_with_the_newest_first(operator, gateway, a_job):
    await operator.write([a_job(f"u{n}", name=f"job-{n}", minute=n // 3).transition(1, "Queued") for n in range(10)])
    pages = [await gateway.jobs(("default",), limit=4)]
    while pages[-1].cursor:
        pages.append(await gateway.jobs(("default",), limit=4, cursor=pages[-1].cursor))

    assert [len(page.items) for page in pages] == [4, 4, 2]
    assert await names(pages) == [f"job-{n}" for n in reversed(range(10))]


async def test_jobs_created_between_pages_neither_repeat_nor_hide_any(operator, gateway, a_job):
    await operator.write([a_job(f"u{n}", name=f"job-{n}", minute=n).transition(1, "Queued") for n in range(4)])
    first = await gateway.jobs(("default",), limit=2)
    await operator.write([a_job("late", name="late", minute=9).transition(1, "Queued")])
    second = await gateway.jobs(("default",), limit=2, cursor=first.cursor)

    assert await names([first, second]) == ["job-3", "job-2", "job-1", "job-0"]
    assert second.cursor is None


async def test_a_name_finds_its_newest_job_and_a_uid_exactly_one(operator, gateway, a_job):
    await operator.accept(Acceptance(a_job("old", minute=0).job("old")))
    await operator.accept(Acceptance(a_job("new", minute=1).job("new")))

    assert (await gateway.job("default", "hello")).uid == "new"
    assert (await gateway.job("default", "old")).uid == "old"
    assert [job.uid for job in (await gateway.jobs(("default",), JobFilter(name=("hello",)))).items] == ["new", "old"]


async def test_a_job_has_the_priority_it_was_accepted_with_until_it_ends(operator, gateway, a_job):
    waits, ended, deleted = a_job("a-waits"), a_job("b-ended"), a_job("c-deleted")
    for build in (waits, ended, deleted):
        await operator.accept(Acceptance(build.job(priority=3)))
    await operator.write([ended.transition(1, "Failed", finished=True), deleted.deletion()])
    await operator.write([a_job("d-unknown").transition(1, "Pending")])

    found = (await gateway.jobs(("default",))).items

    assert {job.uid: job.priority for job in found} == {
        "a-waits": 3,
        "b-ended": None,
        "c-deleted": None,
        "d-unknown": None,
    }
    assert (await gateway.job("default", "a-waits")).priority == 3


async def test_an_edited_job_has_its_new_priority_and_queue(operator, gateway, a_job):
    waits = a_job()
    await operator.accept(Acceptance(waits.job(priority=3, queue="agents")))
    later, earlier = (Steering(waits.key, n, priority, "slow", NOON) for n, priority in ((3, 1), (2, 5)))
    await operator.write([later])
    await operator.write([earlier])
    await operator.accept(Acceptance(waits.job(priority=3, queue="slow")))

    job = await gateway.job("default", "hello")

    assert (job.priority, job.queue) == (1, "slow")
    assert [one.priority for one in (await gateway.jobs(("default",))).items] == [1]


async def test_of_two_edits_in_one_batch_the_later_counts(operator, gateway, a_job):
    waits = a_job()
    await operator.accept(Acceptance(waits.job(priority=3, queue="agents")))
    await operator.write([Steering(waits.key, 3, 1, "agents", NOON), Steering(waits.key, 2, 5, "agents", NOON)])

    assert (await gateway.job("default", "hello")).priority == 1


@pytest.mark.parametrize(
    ("phase", "queue", "is_later"),
    [("Queued", "slow", True), ("Queued", "agents", False), ("Running", "slow", False)],
)
async def test_a_job_waits_for_a_slot_since_it_was_moved_to_its_queue(operator, gateway, a_job, phase, queue, is_later):
    waits = a_job()
    await operator.accept(Acceptance(waits.job(priority=3, queue="agents")))
    entered = waits.transition(1, phase)
    await operator.write([entered])
    moved = entered.time + timedelta(hours=1)
    await operator.write([Steering(waits.key, 2, 1, queue, moved)])
    await operator.write([Steering(waits.key, 2, 1, queue, moved + timedelta(hours=1))])  # a restarted operator

    assert (await gateway.job("default", "hello")).changed == (moved if is_later else entered.time)


async def test_the_jobs_of_a_partition_are_found_by_its_key(operator, gateway, a_job):
    early, late = a_job("early", minute=1), a_job("late", minute=2)
    await operator.write([early.transition(1, "Running")])  # its acceptance comes later
    await operator.accept(Acceptance(early.job(partitionKey="shop/eu")))
    await operator.accept(Acceptance(late.job(partitionKey="shop/eu")))
    await operator.accept(Acceptance(late.job(partitionKey="shop/us")))
    await operator.accept(Acceptance(a_job("none").job()))

    found = (await gateway.jobs(("default",), JobFilter(partition=("shop/eu",)))).items

    assert [(job.uid, job.partition_key) for job in found] == [("late", "shop/eu"), ("early", "shop/eu")]
    assert (await gateway.jobs(("default",), JobFilter(partition=("",)))).items == []
    assert (await gateway.job("default", "none")).partition_key == ""


async def test_the_jobs_of_a_schedule_are_found_by_its_name(operator, gateway, a_job):
    made = [a_job(f"made-{minute}", name=f"brief-{minute}", minute=minute, schedule="brief") for minute in (1, 2)]
    await operator.accept(Acceptance(made[0].job()))
    await operator.write([made[1].transition(1, "Failed", finished=True), made[0].deletion()])
    await operator.write([a_job("by-hand", name="brief-3").transition(1, "Running")])

    found = (await gateway.jobs(("default",), JobFilter(schedule=("brief",)))).items

    assert [(job.uid, job.schedule) for job in found] == [("made-2", "brief"), ("made-1", "brief")]
    assert (await gateway.jobs(("default",), JobFilter(schedule=("",)))).items == []


async def test_a_job_deleted_while_it_ran_reads_as_deleted(operator, gateway, a_job):
    build = a_job()
    await operator.write([build.transition(1, "Running"), build.deletion()])

    job = await gateway.job("default", "hello")

    assert (job.phase, job.finished, job.deleted is not None) == ("Deleted", None, True)


async def test_a_job_deleted_after_its_end_keeps_its_phase(operator, gateway, a_job):
    build = a_job()
    await operator.write([build.transition(1, "Succeeded", finished=True), build.deletion()])

    assert (await gateway.job("default", "hello")).phase == "Succeeded"


@pytest.mark.parametrize("limit", [0, -1, 501, 10**12])
async def test_a_page_size_out_of_bounds_is_refused(gateway, limit):
    with pytest.raises(errors.Invalid, match="limit: expected 1 to 500"):
        await gateway.jobs(("default",), limit=limit)


@pytest.mark.parametrize("word", ["x\x00y", "\ud800", "x" * 100_000], ids=["nul", "surrogate", "long"])
async def test_names_that_no_job_can_have_are_not_found_or_invalid(gateway, word):
    with pytest.raises((errors.Invalid, errors.NotFound)):
        await gateway.job("default", word)


async def test_the_history_of_a_job_is_in_order(operator, gateway, a_job):
    build = a_job()
    await operator.write([build.transition(2, "Running"), build.transition(1, "Queued")])
    await operator.write([build.start(2, attempt=2), build.end(1), build.start(1)])

    story = await gateway.job_history("default", build.uid)

    assert [row.phase for row in story.transitions] == ["Queued", "Running"]
    assert [(row.start, row.attempt, row.verdict) for row in story.starts] == [(1, 1, "Retry"), (2, 2, None)]
    assert story.starts[0].ended - story.starts[0].started == timedelta(seconds=30)


async def write_events(operator, gateway, build, count):
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim(build.uid, 1, "pod", **build.place)
    batch = [
        TimelineEntry(seq=seq, time="2026-01-31T12:00:00Z", kind="text", author="a", data={"n": seq})
        for seq in range(count)
    ]
    await gateway.add_events(build.uid, 1, "pod", batch)


async def test_events_are_read_in_pages(operator, gateway, a_job):
    build = a_job()
    await write_events(operator, gateway, build, 25)
    first = await gateway.events(build.uid, limit=20)
    second = await gateway.events(build.uid, limit=20, cursor=first.cursor)

    assert [row.seq for row in (*first.items, *second.items)] == list(range(25))
    assert second.cursor is None
    assert (await gateway.events(build.uid, start=2)).items == []


@pytest.mark.parametrize("newest", [False, True])
async def test_a_page_of_events_is_limited_by_bytes_too(operator, gateway, a_job, monkeypatch, newest):
    monkeypatch.setattr("agentjobs.history.pages.MAX_PAGE_BYTES", 40)
    build = a_job()
    await write_events(operator, gateway, build, 25)
    sizes, found, cursor = [], [], None
    for _ in range(25):
        page = await gateway.events(build.uid, limit=20, cursor=cursor, newest=newest)
        sizes.append(len(page.items))
        found += [event.seq for event in page.items]
        if not (cursor := page.cursor):
            break

    assert sorted(found) == sorted(set(found))
    assert (len(found), found == sorted(found, reverse=newest), max(sizes) < 10) == (25, True, True)


async def test_events_can_be_read_from_the_end(operator, gateway, a_job):
    build = a_job()
    await write_events(operator, gateway, build, 25)
    last = await gateway.events(build.uid, limit=20, newest=True)
    before = await gateway.events(build.uid, limit=20, newest=True, cursor=last.cursor)

    assert [row.seq for row in (*last.items, *before.items)] == list(reversed(range(25)))
    assert before.cursor is None


async def test_hostile_text_is_stored_as_data(operator, gateway, a_job):
    build = a_job()
    await operator.accept(Acceptance(build.job(HOSTILE), build.start(1)))
    attempt = await gateway.claim(build.uid, 1, "pod", **build.place)
    result = Result(text=HOSTILE, structured={HOSTILE: [HOSTILE, float("nan")]}, usage=USAGE)
    said = ResultDocument(verdict="Succeed", reason="Done", message=HOSTILE, delaySeconds=None, result=result)
    happened = TimelineEntry(seq=1, time="2026-01-31T12:00:00Z", kind="text", author=HOSTILE, data={HOSTILE: HOSTILE})

    await gateway.add_events(build.uid, 1, "pod", [happened])
    final = await gateway.put_result(build.uid, 1, "pod", said)
    await operator.write([build.end(1, message=HOSTILE), build.transition(1, "Succeeded", message=HOSTILE)])

    assert final == {"text": STORED, "structured": {STORED: [STORED, None]}, "usage": USAGE}
    assert final == await gateway.result(build.uid) == (await operator.final_result(build.uid)).answer
    (row,) = (await gateway.events(build.uid)).items
    assert (row.author, row.data) == (STORED, {STORED: STORED})
    story = await gateway.job_history("default", "hello")
    assert (story.starts[0].message, story.starts[0].reported["message"]) == (STORED, STORED)
    assert (story.job.message, attempt["resolved"]["spec"]["input"]["message"]) == (STORED, STORED)


async def test_an_answer_of_the_largest_size_is_stored(operator, gateway, a_job):
    build = a_job()
    await operator.accept(Acceptance(build.job(), build.start(1)))
    await gateway.claim(build.uid, 1, "pod", **build.place)
    result = Result(text="ü" * 2_000_000, structured=None, usage=USAGE)
    said = ResultDocument(verdict="Succeed", reason="Done", message="", delaySeconds=None, result=result)

    assert await gateway.put_result(build.uid, 1, "pod", said) == result


async def test_values_that_json_cannot_represent_are_invalid(operator, a_job):
    build = a_job()
    record = build.job()
    record.resolved["spec"]["input"] = object()

    with pytest.raises(errors.Invalid, match="cannot store"):
        await operator.accept(Acceptance(record))


async def test_the_jobs_of_a_template_are_found_by_its_name(operator, gateway, a_job):
    template = {"name": "review", "generation": 2, "locked": [], "parameters": {"repo": "$(x)"}}
    for uid, more in (("of", {"template": template}), ("none", {})):
        record = a_job(uid, minute=1).job()
        await operator.accept(Acceptance(replace(record, resolved={**record.resolved, **more})))

    assert [
        (job.uid, job.template) for job in (await gateway.jobs(("default",), JobFilter(template=("review",)))).items
    ] == [("of", "review")]
    assert (await gateway.jobs(("default",), JobFilter(template=("",)))).items == []
    assert (await gateway.job("default", "none")).template == ""
    assert (await gateway.parameters("of"), await gateway.parameters("none")) == ({"repo": "$(x)"}, None)


async def test_the_publication_of_a_job_is_read_with_it_and_written_once(operator, gateway, a_job):
    one, other = (
        Published(branch="agents/x", commit="0a1b", pullRequest="https://git/1"),
        Published(branch="", commit=""),
    )
    ended = a_job("coded").transition(2, "Succeeded", finished=True)
    await operator.write([replace(ended, workspace=one), a_job("plain").transition(1, "Running")])
    await operator.write([replace(ended, workspace=other)])
    jobs = {job.uid: job for job in (await gateway.jobs(("default",))).items}

    assert jobs["coded"].workspace.model_dump(by_alias=True) == one
    assert jobs["plain"].workspace is None
    assert (await gateway.job("default", "coded")).workspace == jobs["coded"].workspace
    assert [job.workspace for job in (await gateway.tree("default", "coded")).items] == [jobs["coded"].workspace]
