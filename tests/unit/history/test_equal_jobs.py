"""Unique jobs: in any order of arrival one job of a key counts, and no job is skipped without an equal job."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentjobs.contract import Resolved
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.records import (
    Acceptance,
    Accepted,
    Deletion,
    Duplicate,
    JobKey,
    JobRecord,
    StartRecord,
    Superseded,
    TransitionRecord,
    UniqueRequest,
)

pytestmark = pytest.mark.hypothesis

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
JOBS = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), JOBS),
        st.tuples(st.just("start"), JOBS),
        st.tuples(st.sampled_from(["Succeeded", "Failed", "deleted"]), JOBS),
    ),
    max_size=30,
)
UNIQUE = st.builds(
    UniqueRequest,
    st.just("key"),
    period=st.sampled_from([None, timedelta(minutes=2)]),
    states=st.sampled_from(["Scheduled", "Incomplete", "Successful", "All"]),
    replaces=st.booleans(),
)


class World:
    """History, and the answers that each job got."""

    def __init__(self, unique: UniqueRequest) -> None:
        self.unique = unique
        self.history = MemoryHistory(now=lambda: NOON)
        self.answers = {}
        self.started, self.ended = set(), {}

    def key(self, n):
        return JobKey(f"uid-{n}", "default", f"job-{n}", NOON + timedelta(minutes=n))

    async def accept(self, n, *, start):
        if n in self.ended:
            return
        record = JobRecord(self.key(n), Resolved(spec={}, scripts={}), "0")
        begun = StartRecord(self.key(n), 1, 1, f"job-{n}-1", NOON) if start else None
        before = self.counted(n)
        answer = await self.history.accept(Acceptance(record, begun, unique=self.unique))
        self.judge(n, answer, before)
        self.answers[n] = answer
        if start and isinstance(answer, Accepted):
            self.started.add(n)
        if isinstance(answer, Accepted):
            for _, name in answer.replaced:
                self.answers[int(name[4:])] = Superseded(f"uid-{n}", f"job-{n}")

    def judge(self, n, answer, before):
        known = self.answers.get(n)
        if known is not None:
            assert type(answer) is type(known), "what was decided stands"
            if not isinstance(known, Accepted):
                assert answer == known
        elif isinstance(answer, Duplicate | Superseded):
            assert int(answer.uid[4:]) in before, "no job is stopped without an equal one that counts"
        elif isinstance(answer, Accepted):
            assert before == {int(name[4:]) for _, name in answer.replaced}, (
                "no job runs next to an equal one that counts"
            )
            assert not self.started & {int(name[4:]) for _, name in answer.replaced}, (
                "none that has started is replaced"
            )

    def counted(self, n):
        """The jobs that count for a new one, said in the words of the reference."""
        found = {one for one, answer in self.answers.items() if isinstance(answer, Accepted) and one != n}
        if self.unique.period is not None:
            found = {one for one in found if abs(one - n) <= 2}
        match self.unique.states:
            case "Scheduled":
                return found - self.started - set(self.ended)
            case "Incomplete":
                return found - set(self.ended)
            case "Successful":
                return {one for one in found if self.ended.get(one, "Succeeded") == "Succeeded"}
        return found

    async def end(self, n, how):
        if n not in self.answers or n in self.ended:
            return
        self.ended[n] = how
        if how == "deleted":
            await self.history.write([Deletion(self.key(n), NOON)])
        else:
            await self.history.write([TransitionRecord(self.key(n), 9, NOON, how, "", finished=True)])


@given(UNIQUE, STEPS)
def test_a_key_has_one_effective_job(unique, steps):
    async def play():
        world = World(unique)
        for what, n in steps:
            if what in ("accept", "start"):
                await world.accept(n, start=what == "start")
            else:
                await world.end(n, what)

    asyncio.run(play())
