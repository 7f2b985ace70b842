"""What people see of sessions, and how they delete them."""

import pytest
from tests.integration.history.runner_calls import a_turn

from agentjobs import errors
from agentjobs.api.recorded_sessions import Deleted


async def test_sessions_are_listed_with_their_contents_and_the_last_used_first(a_runner, kept):
    await (await a_runner("uid-1", session="s1")).put_turn(a_turn("a", "b"))
    second = await a_runner("uid-2", session="s2", user="bob")
    await second.put_turn(a_turn("c"))
    await second.save(b"four")

    page = await kept.sessions("default")

    assert [(one.app, one.user, one.session) for one in page.items] == [("shop", "bob", "s2"), ("shop", "ann", "s1")]
    newest = page.items[0]
    assert (newest.turns, newest.events, newest.artifacts, newest.artifact_bytes) == (1, 1, 1, 4)
    assert newest.bytes > 0


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, {"s1", "s2", "s3"}),
        ({"user": "ann"}, {"s1", "s3"}),
        ({"app": "bank"}, {"s3"}),
        ({"session": "s2"}, {"s2"}),
        ({"app": "shop", "user": "ann"}, {"s1"}),
        ({"user": "ann\x00"}, set()),
    ],
)
async def test_sessions_are_filtered_by_app_user_and_id(a_runner, kept, chosen, found):
    for number, owner in enumerate([{}, {"user": "bob"}, {"app": "bank"}], 1):
        await (await a_runner(f"uid-{number}", session=f"s{number}", **owner)).put_turn(a_turn("x", user={"u": 1}))

    assert {one.session for one in (await kept.sessions("default", **chosen)).items} == found


async def test_sessions_are_listed_in_pages(a_runner, kept):
    for number in range(3):
        await (await a_runner(f"uid-{number}", session=f"s{number}")).put_turn(a_turn("x"))

    first = await kept.sessions("default", limit=2)
    second = await kept.sessions("default", limit=2, cursor=first.cursor)

    assert [one.session for one in (*first.items, *second.items)] == ["s2", "s1", "s0"]
    assert second.cursor is None


async def test_sessions_of_another_namespace_are_not_listed(a_runner, kept):
    await (await a_runner(namespace="elsewhere")).put_turn(a_turn("x"))

    assert (await kept.sessions("default")).items == []


async def test_a_session_is_read_with_its_turns_and_states(a_runner, kept):
    await (await a_runner("uid-1")).put_turn(a_turn("a", state={"n": 1}, user={"u": 1}, app={"a": 1}))
    await (await a_runner("uid-2", mode="New")).put_turn(a_turn("b", "c", state={"n": 2}))

    story = await kept.session_history("default", "shop", "ann", "s1")

    assert [(turn.number, turn.uid, turn.job, turn.mode, turn.events) for turn in story.turns] == [
        (1, "uid-1", "job-uid-1", "Continue", 1),
        (2, "uid-2", "job-uid-2", "New", 2),
    ]
    assert (story.state, story.user_state, story.app_state) == ({"n": 2}, {"u": 1}, {"a": 1})


@pytest.mark.parametrize("place", [("bank", "ann", "s1"), ("shop", "bob", "s1"), ("shop", "ann", ""), ("", "", "")])
async def test_a_missing_session_is_not_found(a_runner, kept, place):
    runner = await a_runner()
    await runner.put_turn(a_turn("x", user={"u": 1}, app={"a": 1}))

    for call in (kept.session_history("default", *place), kept.delete_session("default", *place)):
        with pytest.raises(errors.NotFound):
            await call

    page = await runner.session()
    assert (page["user"], page["app"]) == ({"u": 1}, {"a": 1})


async def test_events_are_read_in_order_with_their_turns(a_runner, kept):
    await (await a_runner("uid-1")).put_turn(a_turn("a", "b"))
    await (await a_runner("uid-2")).put_turn(a_turn("c"))

    page = await kept.turn_events("default", "shop", "ann", "s1")

    assert [(one.turn, one.job, one.n) for one in page.items] == [
        (1, "job-uid-1", 0),
        (1, "job-uid-1", 1),
        (2, "job-uid-2", 0),
    ]
    assert b'"c"' in bytes(page.items[2].event)


async def test_pages_of_events_are_limited_by_bytes(a_runner, kept, monkeypatch):
    monkeypatch.setattr("agentjobs.history.pages.MAX_PAGE_BYTES", 250)
    await (await a_runner()).put_turn(a_turn("a", "b", "c", "d", "e"))

    first = await kept.turn_events("default", "shop", "ann", "s1")
    second = await kept.turn_events("default", "shop", "ann", "s1", cursor=first.cursor)

    assert [one.n for one in (*first.items, *second.items)] == [0, 1, 2, 3, 4]
    assert (bool(first.cursor), second.cursor) == (True, None)


async def test_artifacts_of_the_session_and_its_user_are_listed_by_name_and_version(a_runner, kept):
    runner = await a_runner()
    await runner.save(b"1", name="b", key="1")
    await runner.save(b"22", name="b", key="2", metadata={"k": "v"}, mime="text/csv")
    await runner.save(b"3", name="user:a")

    page = await kept.artifacts("default", "shop", "ann", "s1")

    assert [(one.name, one.version, one.bytes) for one in page.items] == [("b", 0, 1), ("b", 1, 2), ("user:a", 0, 1)]
    assert (page.items[1].mime, page.items[1].metadata, page.items[1].job) == ("text/csv", {"k": "v"}, "uid-1")


async def test_artifacts_are_listed_in_pages(a_runner, kept, monkeypatch):
    for module in ("session_reads", "memory_sessions"):
        monkeypatch.setattr(f"agentjobs.history.{module}.DEFAULT_LIMIT", 2)
    runner = await a_runner()
    for key in ("1", "2", "3"):
        await runner.save(key=key)

    first = await kept.artifacts("default", "shop", "ann", "s1")
    second = await kept.artifacts("default", "shop", "ann", "s1", cursor=first.cursor)

    assert [one.version for one in (*first.items, *second.items)] == [0, 1, 2]
    assert second.cursor is None


async def test_an_artifact_is_read_by_version_or_the_newest(a_runner, kept):
    runner = await a_runner()
    await runner.save(b"old", key="1")
    await runner.save(b"new", key="2")

    for version, data in ((None, b"new"), (0, b"old")):
        found = await kept.artifact("default", "shop", "ann", "s1", "report.txt", version)
        assert b"".join([piece async for piece in kept.pieces(found)]) == data


@pytest.mark.parametrize(("name", "version"), [("other", None), ("report.txt", 7), ("user:report.txt", None)])
async def test_a_missing_artifact_is_not_found(a_runner, kept, name, version):
    await (await a_runner()).save()

    with pytest.raises(errors.NotFound):
        await kept.artifact("default", "shop", "ann", "s1", name, version)


async def test_reading_an_artifact_ends_if_it_is_deleted_meanwhile(a_runner, kept):
    runner = await a_runner()
    await runner.save()
    found = await kept.artifact("default", "shop", "ann", "s1", "report.txt")
    await runner.delete()

    with pytest.raises(errors.Gone):
        [piece async for piece in kept.pieces(found)]


async def test_a_deleted_session_is_deleted_for_jobs_users_and_memory_and_others_remain(a_runner, kept):
    runner = await a_runner("uid-1")
    await runner.put_turn(a_turn("cat", user={"u": 1}))
    await runner.save()
    await runner.save(name="user:kept")
    other = await a_runner("uid-2", session="s2")
    await other.put_turn(a_turn("dog"))

    gone = await kept.delete_session("default", "shop", "ann", "s1")

    assert gone == Deleted(sessions=1, turns=1, artifacts=1, states=0)
    assert [one.session for one in (await kept.sessions("default")).items] == ["s2"]
    assert (await other.search("cat"), (await other.names())[0]) == ([], ["user:kept"])
    assert ((await runner.session())["turns"], (await runner.session())["user"]) == (0, {"u": 1})


async def test_deleting_a_user_deletes_their_data_in_all_apps_and_no_data_of_others(a_runner, kept):
    for number, owner in enumerate([{}, {"app": "bank"}, {"user": "bob"}, {"namespace": "elsewhere"}]):
        runner = await a_runner(f"uid-{number}", **owner)
        await runner.put_turn(a_turn("cat", user={"u": 1}, app={"a": 1}))
        await runner.save(name="user:photo")

    gone = await kept.delete_user("default", "ann")

    assert gone == Deleted(sessions=2, turns=2, artifacts=2, states=2)
    left = await kept.sessions("default")
    assert [one.user for one in left.items] == ["bob"]
    assert len((await kept.sessions("elsewhere")).items) == 1
    assert (await (await a_runner("uid-9")).session()) | {"app": None} == {
        "events": [],
        "state": {},
        "user": {},
        "app": None,
        "turns": 0,
        "next": None,
    }


async def test_a_users_data_of_only_one_app_can_be_deleted(a_runner, kept):
    for number, app in enumerate(["shop", "bank"]):
        await (await a_runner(f"uid-{number}", app=app)).put_turn(a_turn("x", user={"u": 1}))

    assert (await kept.delete_user("default", "ann", app="bank")).sessions == 1
    assert [one.app for one in (await kept.sessions("default")).items] == ["shop"]


@pytest.mark.parametrize("user", ["", "nobody"])
async def test_deleting_an_unknown_user_deletes_nothing(a_runner, kept, user):
    await (await a_runner()).put_turn(a_turn("x", app={"a": 1}))

    assert await kept.delete_user("default", user) == Deleted()
    assert len((await kept.sessions("default")).items) == 1


async def test_a_running_job_stores_its_turn_after_its_session_was_deleted(a_runner, kept):
    await (await a_runner("uid-1")).put_turn(a_turn("before"))
    running = await a_runner("uid-2")
    await kept.delete_session("default", "shop", "ann", "s1")

    await running.put_turn(a_turn("after"))

    assert (await kept.session_history("default", "shop", "ann", "s1")).session.turns == 1
