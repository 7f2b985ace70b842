"""What people did is kept once each, newest first, and found by namespace and job."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agentjobs import errors
from agentjobs.api.recorded_overview import RecordedAction
from agentjobs.history.action_records import MAX_MESSAGE_BYTES, MAX_NAME_BYTES, Action

CANCEL = Action(user="ada", namespace="docs", kind="AgentJob", name="hello", uid="u1", action="cancel", status=200)


@pytest.fixture
def log(backend):
    return backend.actions


@pytest.fixture
def did(backend):
    """`await did(**changes)`: an action, a minute after the one before."""

    async def record(**changes):
        await backend.passes(timedelta(minutes=1))
        one = replace(CANCEL, **{"id": Action(**_fields(CANCEL)).id, **changes})
        await backend.actions.record(one)
        return one

    return record


def _fields(action):
    return {name: getattr(action, name) for name in Action.__dataclass_fields__ if name != "id"}


async def names(log, *args, **kwargs):
    return [one.name for one in (await log.actions(*args, **kwargs)).items]


async def test_an_action_is_read_as_it_was_written(log, did):
    await did(impersonated_by="dashboard", status=409, message="it changes all the time", action="suspend")

    (found,) = (await log.actions(None)).items
    wanted = {**_fields(CANCEL), "impersonated_by": "dashboard", "status": 409, "action": "suspend"}
    assert found == RecordedAction(time=found.time, **{**wanted, "message": "it changes all the time"})


async def test_an_action_written_twice_is_stored_once(log, did):
    one = await did()
    await log.record(one)

    assert await names(log, None) == ["hello"]


async def test_the_newest_is_first_and_pages_follow_each_other_without_a_gap(log, did):
    for number in range(5):
        await did(name=f"job-{number}")

    seen, cursor = [], None
    for _ in range(3):
        page = await log.actions(None, limit=2, cursor=cursor)
        seen, cursor = [*seen, *[one.name for one in page.items]], page.cursor
    assert (seen, cursor) == ([f"job-{number}" for number in reversed(range(5))], None)


async def test_pages_of_several_namespaces_are_one_list(log, did):
    for number in range(6):
        await did(namespace=("docs", "shop", "other")[number % 3], name=str(number))

    first = await log.actions(["shop", "docs"], limit=3)
    rest = await log.actions(["shop", "docs"], limit=3, cursor=first.cursor)
    assert ([one.name for one in first.items], [one.name for one in rest.items]) == (["4", "3", "1"], ["0"])


async def test_actions_of_other_namespaces_are_not_returned(log, did):
    await did()

    assert await names(log, []) == await names(log, ["shop"]) == []


async def test_actions_on_a_job_are_found_by_its_uid(log, did):
    await did(name="mine")
    await did(name="another", uid="u2")
    await did(name="a-queue", kind="AgentQueue", uid="")

    assert await names(log, ["docs"], uid="u1") == await names(log, None, uid="u1") == ["mine"]
    assert await names(log, None, uid="") == []


async def test_hostile_text_is_truncated_and_stored(log, did):
    await did(user="a\0da" + "é" * 9999, name="x" * 9999, message="m" * 9999)

    (found,) = (await log.actions(None)).items
    sizes = [len(text.encode()) for text in (found.user, found.name, found.message)]
    assert (max(sizes[:2]) <= MAX_NAME_BYTES, sizes[2] <= MAX_MESSAGE_BYTES, "\0" in found.user) == (True, True, False)


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 501}, {"cursor": "WzFd"}, {"cursor": "x"}], ids=str)
async def test_an_invalid_page_size_is_refused(log, asked):
    with pytest.raises(errors.Invalid):
        await log.actions(None, **asked)


async def test_a_cursor_with_an_invalid_id_is_refused(log):
    from agentjobs.history.pages import write_cursor

    with pytest.raises(errors.Invalid, match="cursor"):
        await log.actions(None, cursor=write_cursor(["2026-01-31T12:00:00+00:00", "not-an-id"]))
