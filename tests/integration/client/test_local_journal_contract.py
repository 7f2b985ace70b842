"""What history promises of the journal, of the file of `run --local` too: the same tests, where it has their subject.

It has no pods that could be fenced, no attempts, and no usage of a start.
"""

import contextlib
from datetime import UTC, datetime

import pytest
from tests.integration.history.contract import test_journal as promised

from agentjobs import errors
from agentjobs.cli import local_journal
from agentjobs.cli.local_journal import Journal, Refused

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
WORK = {"spec": {"agent": {"model": "gemini-flash-latest", "inline": {}}, "input": {"message": "Go."}}, "scripts": {}}


class LocalHistory:
    """A file, asked as the gateway asks history. A start's claim opens it."""

    def __init__(self, path, monkeypatch):
        self._path = path
        self._monkeypatch = monkeypatch
        self.journal = None

    async def accept(self, asked):
        """The file has its job from the claim."""

    async def claim(self, uid, start, pod, **place):
        if self.journal is None:
            self.journal, _ = Journal.begin(self._path, WORK, NOW)
        elif self.journal.start < start:
            self.journal.close()
            self.journal = Journal.resume(self._path, WORK, NOW)
        return {"journal": self.journal.head()}

    async def read_steps(self, uid, start, pod, *, after=0, limit=500):
        self._monkeypatch.setattr(local_journal, "PAGE_STEPS", limit)
        return self.journal.page(after)

    async def append_steps(self, uid, start, pod, body):
        try:
            last = self.journal.append(body)
        except Refused as refused:
            raise errors.Invalid(str(refused)) from refused
        return type("Appended", (), {"last": last})


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    history = LocalHistory(tmp_path / "job.sqlite", monkeypatch)
    yield history
    with contextlib.suppress(AttributeError):
        history.journal.close()


@pytest.fixture
def operator(gateway):
    return gateway


@pytest.fixture
def build():
    """A job; the file needs nothing of it."""
    return type("Build", (), {"uid": "uid", "place": {}, "job": lambda **_: None, "start": lambda *_, **__: None})


begun = promised.begun

PROMISES = [
    "the_first_start_begins_an_empty_run",
    "a_later_start_reads_steps_in_the_order_of_recording",
    "a_later_start_gets_the_run_its_newest_step_and_its_versions",
    "a_repeated_claim_returns_the_same_run",
    "a_start_can_begin_a_new_run",
    "the_first_of_two_steps_with_the_same_key_is_kept",
    "a_step_that_replaces_a_void_one_is_kept_when_it_is_sent_again",
    "a_late_request_does_not_restore_void_steps",
    "a_request_with_one_invalid_step_stores_nothing",
    "steps_are_read_in_pages",
]
for name in PROMISES:
    globals()[f"test_{name}"] = getattr(promised, f"test_{name}")
test_a_start_cannot_record_in_another_run = promised.test_a_start_cannot_record_in_another_run
