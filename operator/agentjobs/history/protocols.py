"""What each audience asks of history: one protocol for the operator, one for runners, one for people.

`operator_writes`, `runner_writes` and `reads` answer it from PostgreSQL, `memory` from memory. One suite of tests holds
them to the same promises. Every method raises `errors.Unavailable` while history cannot answer.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec import Raw

from agentjobs.api.job_filter import EVERY_JOB, JobFilter
from agentjobs.api.recorded import RecordedJob, RecordedStep, RecordedTree, StepSpan, Story
from agentjobs.api.recorded_notifications import RecordedNotification
from agentjobs.api.recorded_sessions import Deleted, RecordedArtifact, RecordedSession, SessionStory
from agentjobs.contract import Attempt, Event, KeptFile, MemoryHit, Resolved, ResultDocument, StepsBody, StepsPage
from agentjobs.core.job.observation import FinalResult, ParentRecord, Progress
from agentjobs.history.kept import Write
from agentjobs.history.outbox_records import Backlog, Due, Tried
from agentjobs.history.pages import DEFAULT_LIMIT, Page
from agentjobs.history.records import (
    Acceptance,
    Answer,
    Lives,
    Newest,
    Record,
    StartEnd,
    StoredEvent,
    StoredStep,
    TransitionRecord,
    TurnEvent,
)
from agentjobs.history.steps import MAX_PAGE_STEPS, Appended
from agentjobs.history.turns import TurnParts
from agentjobs.history.versions import Piece, Saving, StoredVersion
from agentjobs.models.budget import Limits, Spend


class OperatorHistory(Protocol):
    """What the operator writes and asks. Writes are idempotent, and what is stored does not depend on their order."""

    @property
    def away(self) -> bool:
        """Whether history is known to be away, so that every question fails at once."""
        ...

    async def accept(self, asked: Acceptance) -> Answer:
        """Store a job and, when it starts now, its start with its slot. A start that is stored fences earlier ones.

        The same start asked again gets the same slot. A start that is refused leaves nothing.
        """
        ...

    async def give_back(self, left: Collection[tuple[str, int, datetime]]) -> None:
        """Free slots whose starts never began, by uid, start and when each was claimed; none that was claimed again."""
        ...

    async def write(self, batch: Sequence[Record]) -> None:
        """Store all records or none."""
        ...

    async def resolved(self, uid: str) -> Resolved | None:
        """Return the work a job was accepted with, None while it is not accepted."""
        ...

    async def final_result(self, uid: str) -> FinalResult:
        """Return the result of a job that ends, and what its starts used, and how far the last one got.

        Its last answer becomes final by this.
        """
        ...

    async def spent(self, uid: str, attempt: int | None = None) -> Spend:
        """Return what all starts of a job used so far, or those of one attempt; of an unknown job nothing.

        Calls that have ended count, not what others under way reserved.
        """
        ...

    async def progress(self, uid: str, start: int) -> Progress:
        """Return how far a start got, in its recorded steps; of an unknown one nothing. Void steps are no progress."""
        ...

    async def silence(self, uid: str, start: int) -> timedelta | None:
        """Return for how long nothing was heard of a start, None when nothing ever was."""
        ...

    async def recorded(self, uid: str) -> str | None:
        """Return the phase a job ended with, `Deleted` when its object vanished before; None while it goes on."""
        ...

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]:
        """Return those that are not stored."""
        ...

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None:
        """Return the uid of a schedule's job of that name, made since then; None when there is none."""
        ...

    async def newest(self, namespace: str, names: Collection[str]) -> dict[str, Newest]:
        """Return the newest job of each of these names that history has, also of those whose objects are gone."""
        ...

    async def answers(self, uids: Collection[str]) -> dict[str, Raw]:
        """Return the whole final answers of those of these jobs that have one: `contract.Result` as text."""
        ...

    async def parent(self, uid: str) -> ParentRecord:
        """Return what a job was accepted with, all of its answer, and the jobs that follow it, also those long gone."""
        ...

    async def clock(self) -> datetime:
        """Return history's own time."""
        ...

    async def close_vanished(
        self, lives: Lives, *, listed_at: datetime, namespaces: Collection[str] | None = None
    ) -> int:
        """Mark open jobs from before `listed_at` (of `clock`) that do not live as deleted, and end their starts."""
        ...


class Outbox(Protocol):
    """What a notifier takes and marks of notifications. They come with transitions of accepted jobs, once each."""

    async def take(self, room: Mapping[str, int], *, lease: timedelta) -> list[Due]:
        """Take what is due, of each sink as many as there is room for; nobody else takes it until the lease ends.

        Of a job's notifications for one sink only the first that is neither sent nor given up.
        """
        ...

    async def mark(self, tried: Tried) -> None:
        """Note how a try ended. What was sent stays sent, and a failure counts only from who took it last."""
        ...

    async def give_up(self, sinks: Collection[str], *, after: timedelta) -> int:
        """Give up what waits that long for a sink that is none of these; return how many."""
        ...

    async def backlog(self) -> Backlog:
        """Return what waits."""
        ...


class NotificationReads(Protocol):
    """What people see of notifications, and retry by hand."""

    async def notifications(
        self,
        namespace: str,
        *,
        uid: str | None = None,
        stuck: bool = False,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedNotification]:
        """Return notifications of a namespace or of one job, newest first; with `stuck` those that failed, not sent.

        Raises `errors.Invalid` for a wrong limit or cursor.
        """
        ...

    async def retry(self, uid: str, sink: str | None = None) -> int:
        """Try a job's notifications again now that failed or were given up, all or of one sink; return how many."""
        ...


class RunnerHistory(Protocol):
    """What a runner writes. Only the pod that claimed a start may, until the start ends or a newer one exists."""

    async def claim(
        self, uid: str, start: int, pod_uid: str, *, namespace: str, job: str, budget: Limits | None = None
    ) -> Attempt:
        """Bind a start to the pod that asks first and return its work, with what is used of a budget.

        Raises:
            errors.NotFound, errors.Fenced: there is no such start, or it is not this pod's.
        """
        ...

    async def add_events(self, uid: str, start: int, pod_uid: str, batch: Sequence[Event]) -> list[Event]:
        """Store events of a start, each once, and count what they used; return those that are new.

        Raises:
            errors.NotFound, errors.Fenced, errors.Invalid, errors.Busy
        """
        ...

    async def read_steps(
        self, uid: str, start: int, pod_uid: str, *, after: int = 0, limit: int = MAX_PAGE_STEPS
    ) -> StepsPage:
        """Return a page of the steps of a start's run by number, without void ones. Raises as `claim`."""
        ...

    async def append_steps(self, uid: str, start: int, pod_uid: str, body: StepsBody) -> Appended:
        """Record steps, all or none, each once, and count what they used; return what changed.

        A call that began is the same row when it ends, also when an earlier start began it. Void steps never conflict.

        Raises:
            errors.NotFound, errors.Fenced, errors.Invalid, errors.JournalFull
        """
        ...

    async def heartbeat(self, uid: str, start: int, pod_uid: str) -> None:
        """Note that the pod of a start lives. Raises as `claim`."""
        ...

    async def put_result(self, uid: str, start: int, pod_uid: str, document: ResultDocument) -> Raw | None:
        """Store how a start says it ended; return the job's final result. Raises as `add_events`."""
        ...


class RunnerSessions(Protocol):
    """What a runner reads and writes of the session of its job. Every method raises as `RunnerHistory.claim`."""

    async def session(self, uid: str, start: int, pod_uid: str, *, after: str | None = None) -> dict[str, Any]:
        """Return a page of the session as it stood before the job: `contract.SessionPage`, with JSON as text.

        Raises:
            errors.Invalid: `after` is not of this list.
        """
        ...

    async def put_turn(self, uid: str, start: int, pod_uid: str, turn: TurnParts) -> None:
        """Store what the job added to its session; the same again changes nothing, another one takes its place.

        Raises:
            errors.TooLarge, errors.Invalid, errors.Busy
        """
        ...

    async def search(self, uid: str, start: int, pod_uid: str, query: str, limit: int) -> list[MemoryHit]:
        """Return what was said in other sessions of the job's app and user that has a word of `query`, best first."""
        ...


class RunnerArtifacts(Protocol):
    """What a runner reads and writes of the artifacts of its job's session and user. Raises as `RunnerSessions`."""

    async def save(self, uid: str, start: int, pod_uid: str, saving: Saving, pieces: AsyncIterator[Piece]) -> int:
        """Store a version and return its number; under a key of the run, the version of then gets these bytes.

        Raises:
            errors.TooLarge, errors.Invalid
        """
        ...

    async def names(self, uid: str, start: int, pod_uid: str, *, after: str = "") -> tuple[list[str], str | None]:
        """Return a page of names in order, and where the next one begins."""
        ...

    async def versions(self, uid: str, start: int, pod_uid: str, name: str) -> list[StoredVersion]:
        """Return the versions of an artifact, oldest first."""
        ...

    async def version(
        self, uid: str, start: int, pod_uid: str, name: str, version: int | None = None
    ) -> StoredVersion | None:
        """Return one version of an artifact, or the newest; None where there is none."""
        ...

    async def delete(self, uid: str, start: int, pod_uid: str, name: str) -> None:
        """Delete all versions of an artifact."""
        ...

    def pieces(self, stored: StoredVersion) -> AsyncIterator[bytes]:
        """Read the bytes of a version, a piece at a time. Raises `errors.Gone` when it is deleted meanwhile."""
        ...


class RunnerFiles(Protocol):
    """What a runner keeps for later starts: the files of its start's run. Raises as `RunnerSessions`."""

    async def files(self, uid: str, start: int, pod_uid: str) -> list[KeptFile]:
        """Return all files by name."""
        ...

    async def part(self, uid: str, start: int, pod_uid: str, name: str, offset: int) -> bytes | None:
        """Return up to `MAX_KEPT_PART_BYTES` of a file from `offset`, fewer at its end only; None without a file."""
        ...

    async def write(self, uid: str, start: int, pod_uid: str, write: Write) -> None:
        """Make a file what it was up to the write's offset, and then its data.

        A write with a smaller number than the file's last one of this start changes nothing.

        Raises:
            errors.Invalid: the file is shorter than the offset.
            errors.TooLarge: the run would keep more than it may.
        """
        ...

    async def delete(self, uid: str, start: int, pod_uid: str, name: str, number: int | None = None) -> None:
        """Delete a file, if there is one; not with a smaller number than its last write's."""
        ...


class ReadHistory(Protocol):
    """What people read of the jobs of one cluster."""

    async def jobs(
        self,
        namespaces: tuple[str, ...] | None,
        chosen: JobFilter = EVERY_JOB,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedJob]:
        """Return jobs of these namespaces, or of all for None, that have what the filter asks for, in its order.

        Raises `errors.Invalid` for a wrong limit or cursor, also for one of another order.
        """
        ...

    async def namespaces(self, *, limit: int) -> list[str]:
        """Return the namespaces that have jobs in history, in the order of their names."""
        ...

    async def job(self, namespace: str, name_or_uid: str) -> RecordedJob:
        """Return a job by uid, else the newest of that name. Raises `errors.NotFound`."""
        ...

    async def story(self, namespace: str, name_or_uid: str) -> Story:
        """Return a job with its starts and transitions, oldest first. Raises `errors.NotFound`."""
        ...

    async def tree(self, namespace: str, name_or_uid: str) -> RecordedTree:
        """Return a job with those before it and all that follow them. Raises `errors.NotFound`."""
        ...

    async def events(
        self,
        uid: str,
        *,
        start: int | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        newest: bool = False,
    ) -> Page[StoredEvent]:
        """Return a job's events by start and number. Raises `errors.Invalid` for a wrong limit or cursor."""
        ...

    async def steps(
        self, uid: str, *, start: int | None = None, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page[RecordedStep]:
        """Return a job's steps in the order of recording. Raises `errors.Invalid` for a wrong limit or cursor."""
        ...

    async def spans(self, uid: str) -> list[StepSpan]:
        """Return when all steps of a job were under way, in the order of recording."""
        ...

    async def step(self, uid: str, n: int) -> StoredStep | None:
        """Return one step of a job with what it gave, None where there is none."""
        ...

    async def result(self, uid: str) -> Raw | None:
        """Return a job's final result, None while there is none."""
        ...

    async def parameters(self, uid: str) -> Raw | None:
        """Return the values of the parameters of the job's template, None of a job without one."""

    async def spec(self, uid: str) -> Raw | None:
        """Return a job's spec as it was accepted, None while it was not."""
        ...


class UserSessionHistory(Protocol):
    """What people read and delete of the sessions of one cluster, and of what belongs to their users."""

    async def sessions(
        self,
        namespace: str,
        *,
        app: str | None = None,
        user: str | None = None,
        session: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedSession]:
        """Return sessions, the last used first; with `app`, `user`, `session` only those. Raises `errors.Invalid` for
        a wrong limit or cursor."""
        ...

    async def session_story(self, namespace: str, app: str, user: str, session: str) -> SessionStory:
        """Return a session with its turns and states. Raises `errors.NotFound`."""
        ...

    async def turn_events(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[TurnEvent]:
        """Return a page of what was said in a session, oldest first. Raises `errors.Invalid` for a wrong cursor."""
        ...

    async def artifacts(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[RecordedArtifact]:
        """Return versions of the artifacts of a session and of its user, by name."""
        ...

    async def artifact(
        self, namespace: str, app: str, user: str, session: str, name: str, version: int | None = None
    ) -> StoredVersion:
        """Return one version of an artifact, or the newest. Raises `errors.NotFound`."""
        ...

    def pieces(self, stored: StoredVersion) -> AsyncIterator[bytes]:
        """Read the bytes of a version. Raises `errors.Gone` when it is deleted meanwhile."""
        ...

    async def delete_session(self, namespace: str, app: str, user: str, session: str) -> Deleted:
        """Delete a session with its turns and artifacts; return what went. Raises `errors.NotFound`."""
        ...

    async def delete_user(self, namespace: str, user: str, *, app: str | None = None) -> Deleted:
        """Delete all that belongs to a user, in one app or in all; return what went."""
        ...
