"""kill -9 at the beginning and the end of every effect: the next start repeats nothing that was recorded."""

import pytest
from tests.crash.judge import Ended, Judgement, differences, effects_of, transcripts

pytestmark = pytest.mark.asyncio(loop_scope="session")


def ended(world, job):
    last = job.starts[-1]
    rows = world.rows("SELECT result FROM agentjobs.results WHERE uid = %(uid)s", uid=job.uid)
    result = [{key: row["result"][key] for key in ("text", "structured")} for row in rows]
    return Ended(str(last.message.verdict), last.message.reason, result, last.session)


RECORDED = """
SELECT kind || ' ' || CASE kind WHEN 'model' THEN agent ELSE name END AS what, count(*) AS count
FROM agentjobs.steps WHERE uid = %(uid)s AND NOT void AND ended IS NOT NULL GROUP BY 1
"""


def recorded(world, job):
    """How many effects of each name the journal holds."""
    return {row["what"]: row["count"] for row in world.rows(RECORDED, uid=job.uid)}


TOLD = """
SELECT kind, author, data FROM agentjobs.events
WHERE uid = %(uid)s AND kind IN ('model', 'tool', 'text', 'repair') ORDER BY start, seq
"""


def told(world, job):
    """What the timeline of all its starts tells of its steps."""
    return [(row["kind"], row["author"], row["data"]) for row in world.rows(TOLD, uid=job.uid)]


async def accepted(world, topology):
    if not topology.continues:
        return await world.accept(topology)
    earlier = await world.accept(topology)
    await world.start(earlier)
    session = {"appName": "crash", "userId": "system", "sessionId": earlier.uid, "mode": "Continue"}
    return await world.accept(topology, session=session)


async def whole(world, topology):
    job = await accepted(world, topology)
    start = await world.start(job)
    assert start.message is not None, start.log
    assert start.message.verdict == "Succeed", start.log
    assert start.session is not None, start.log
    return job


async def killed_at(world, topology, point, expected) -> Judgement:
    job = await accepted(world, topology)
    first = await world.start(job, kill_at=point)
    assert first.message is None, first.log
    held = recorded(world, job)
    second = await world.start(job)
    lines = (expected.starts[0].lines, first.lines, second.lines)
    found = effects_of(*lines, at_once=topology.at_once, recorded=held)
    if second.message is None:
        found.differs.append(f"no end: {second.log[-300:]}")
    else:
        found.differs += differences(ended(world, expected), ended(world, job), at_once=topology.at_once)
    if not topology.retells:
        found.differs += transcripts(told(world, expected), told(world, job))
    return found


async def test_recorded_effects_are_not_repeated_and_no_effect_is_lost(
    crash_world, topology, every_point, record_property
):
    expected = await whole(crash_world, topology)
    every = range(1, len(expected.starts[0].lines) + 1)

    found = [await killed_at(crash_world, topology, at, expected) for at in (every if every_point else topology.short)]

    repeated, lost = sum(len(one.repeated) for one in found), sum(len(one.lost) for one in found)
    record_property("crash", [topology.name, len(found), repeated, lost, sum(bool(one.differs) for one in found)])
    assert "\n".join(str(one) for one in found if not one.is_good) == ""
