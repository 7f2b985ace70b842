"""A journal with the agent's files: in which order they are kept, and what a cancelled task leaves behind."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from tests.memoryjournal import MemoryJournal

from agentjobs.contract import StepKind
from agentjobs_runner.journal import NewStep
from agentjobs_runner.workspace.saving_journal import SavingJournal


class Files:
    """Notes how many steps were recorded when it was called; `open` holds back what keeps changes."""

    def __init__(self, journal):
        self.journal = journal
        self.calls = []
        self.began, self.secured = threading.Event(), threading.Event()
        self.open = threading.Event()
        self.open.set()

    def keep(self):
        self.began.set()
        self.open.wait(5)
        self.calls.append(("keep", len(self.journal.steps)))

    def secure(self):
        self.calls.append(("secure", len(self.journal.steps)))
        self.secured.set()

    def undo(self):
        self.calls.append(("undo", len(self.journal.steps)))


@pytest.fixture
def journal():
    return MemoryJournal()


@pytest.fixture
def files(journal):
    return Files(journal)


def a_step(key, kind=StepKind.TOOL):
    return NewStep(key, kind, "a", "write", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("kind", [StepKind.TOOL, StepKind.NODE, StepKind.VALUE])
async def test_files_are_kept_before_a_step_that_may_have_changed_them_is_recorded(journal, files, kind):
    saving = SavingJournal(journal, files)
    await saving.record(a_step("k", kind), 1)
    saving.record_now(a_step("l", kind), 2)

    assert files.calls == [("keep", 0), ("secure", 1), ("keep", 1)]
    assert [body for _, body in journal.steps] == [1, 2]


async def test_files_are_not_kept_for_an_answer_of_a_model_or_a_void_step(journal, files):
    saving = SavingJournal(journal, files)
    await saving.begin(a_step("t"))
    await saving.record(a_step("k", StepKind.MODEL), 1)
    await saving.record(a_step("v"), 1, void=True)

    assert files.calls == [("secure", 1)]
    assert journal.voided == ["v"]


async def test_a_step_whose_task_is_cancelled_while_its_files_are_kept_is_recorded(journal, files):
    saving = SavingJournal(journal, files)
    files.open.clear()
    writing = asyncio.ensure_future(saving.record(a_step("k"), 1))
    await asyncio.to_thread(files.began.wait, 5)
    writing.cancel()
    await asyncio.wait([writing])
    files.open.set()
    await asyncio.to_thread(files.secured.wait, 5)

    assert files.calls == [("keep", 0), ("secure", 1)]
    assert journal.ended("k")["body"] == 1


@pytest.fixture
async def cancelled(journal, files):
    """A journal with step `k`, whose task was cancelled while its files are kept; `files.open` ends that."""
    saving = SavingJournal(journal, files)
    files.open.clear()
    writing = asyncio.ensure_future(saving.record(a_step("k"), 1))
    await asyncio.to_thread(files.began.wait, 5)
    writing.cancel()
    await asyncio.wait([writing])
    yield saving
    files.open.set()


async def test_a_step_of_a_cancelled_task_is_found_only_when_it_is_recorded(cancelled, journal, files):
    reading = asyncio.ensure_future(asyncio.to_thread(lambda: (cancelled.ended("k"), len(journal.steps))))
    early, _ = await asyncio.wait([reading], timeout=0.05)
    files.open.set()
    found, recorded = await reading

    assert early == set()
    assert (found["body"], recorded) == (1, 1)


async def test_steps_of_other_keys_are_found_while_files_are_kept(cancelled, journal):
    assert cancelled.ended("other") is None
    assert journal.steps == []


async def test_a_step_that_is_refused_after_its_files_were_kept_is_not_found(cancelled, journal, files, monkeypatch):
    def refuse(*_):
        raise ValueError("not JSON")

    monkeypatch.setattr(journal, "record_now", refuse)
    reading = asyncio.ensure_future(asyncio.to_thread(cancelled.ended, "k"))
    files.open.set()

    assert await reading is None
    assert not cancelled.is_recording()


async def test_a_step_is_being_recorded_until_it_is_stored_and_the_base_is_kept(cancelled, files):
    before = cancelled.is_recording()
    files.open.set()
    found = await asyncio.to_thread(cancelled.ended, "k")

    assert (before, cancelled.is_recording()) == (True, False)
    assert (found["body"], files.calls) == (1, [("keep", 0), ("secure", 1)])


async def test_a_step_of_synchronous_code_is_being_recorded_too(journal, files):
    saving = SavingJournal(journal, files)
    files.open.clear()
    writing = asyncio.ensure_future(asyncio.to_thread(saving.record_now, a_step("k", StepKind.VALUE), 1))
    await asyncio.to_thread(files.began.wait, 5)
    before = saving.is_recording()
    files.open.set()
    await writing

    assert (before, saving.is_recording()) == (True, False)
