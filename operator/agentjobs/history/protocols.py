"""Protocols of history, one for each audience: the operator, runners, people.

`operator_writes`, `runner_writes` and `reads` implement them with PostgreSQL, `memory` in memory. One test suite covers
both. Every method raises `errors.Unavailable` while history is unreachable.
"""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec import Raw

from agentjobs.api.job_filter import EVERY_JOB, JobFilter
from agentjobs.api.recorded import JobHistory, RecordedJob, RecordedStep, RecordedTree, StepSpan
from agentjobs.api.recorded_notifications import RecordedNotification
from agentjobs.api.recorded_sessions import Deleted, RecordedArtifact, RecordedSession, SessionHistory
from agentjobs.contract import (
    Attempt,
    KeptFile,
    MemoryHit,
    Resolved,
    ResultDocument,
    StepsBody,
    StepsPage,
    TimelineEntry,
)
from agentjobs.core.job.observation import FinalResult, ParentRecord, Progress
from agentjobs.history.kept import Write
from agentjobs.history.outbox_records import Backlog, Due, Tried
from agentjobs.history.pages import DEFAULT_LIMIT, Page
from agentjobs.history.records import (
    Acceptance,
    AcceptanceAnswer,
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
    """Writes and queries of the operator. Writes are idempotent and independent of their order."""

    @property
    def away(self) -> bool:
        """Whether history is known to be unreachable, so that every request fails immediately."""
        ...

    async def accept(self, acceptance: Acceptance) -> AcceptanceAnswer:
        """Store a job and, if it starts now, its start with its slot. A stored start fences earlier ones.

        A retry for the same start gets the same slot. A refused start leaves no trace.
        """
        ...

    async def give_back(self, left: Collection[tuple[str, int, datetime]]) -> None:
        """Free slots whose starts never began, by uid, start and when each was claimed; none that was claimed again."""
        ...

    async def write(self, batch: Sequence[Record]) -> None:
        """Store all records or none."""
        ...

    async def resolved(self, uid: str) -> Resolved | None:
        """Return the accepted work of a job, None while it is not accepted."""
        ...

    async def final_result(self, uid: str) -> FinalResult:
        """Return the result of a job that ends, and what its starts used, and how far the last one got.

        This makes its last answer final.
        """
        ...

    async def spent(self, uid: str, attempt: int | None = None) -> Spend:
        """Return the usage of all starts of a job, or of one attempt; empty for an unknown job.

        Only ended calls count, not reservations of calls in progress.
        """
        ...

    async def progress(self, uid: str, start: int) -> Progress:
        """Return the progress of a start, in its recorded steps; an unknown start has none. Void steps do
        not count.
        """
        ...

    async def silence(self, uid: str, start: int) -> timedelta | None:
        """Return for how long a start has not reported, None when nothing ever was."""
        ...

    async def recorded(self, uid: str) -> str | None:
        """Return a job's final phase, `Deleted` if its object was deleted before its end; None if it has not ended."""
        ...

    async def lacking(self, records: Sequence[TransitionRecord | StartEnd]) -> list[TransitionRecord | StartEnd]:
        """Return the records that are not stored."""
        ...

    async def job_of(self, namespace: str, schedule: str, name: str, *, since: datetime) -> str | None:
        """Return the uid of a schedule's job of that name, made since then; None when there is none."""
        ...

    async def newest(self, namespace: str, names: Collection[str]) -> dict[str, Newest]:
        """Return the newest job of each of these names that history has, also of those whose objects are gone."""
        ...

    async def answers(self, uids: Collection[str]) -> dict[str, Raw]:
        """Return the complete final answers of these jobs, if any: `contract.Result` as text."""
        ...

    async def parent(self, uid: str) -> ParentRecord:
        """Return a job's accepted spec, its complete answer, and its follow-up jobs, including deleted ones."""
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
    """Notifications for a notifier to take and mark. Each is created once, with a transition of an accepted job."""

    async def take(self, room: Mapping[str, int], *, lease: timedelta) -> list[Due]:
        """Take due notifications, for each sink up to its capacity; no other notifier takes them until the lease ends.

        Of a job's notifications for one sink, only the first that was neither sent nor given up.
        """
        ...

    async def mark(self, tried: Tried) -> None:
        """Record how a try ended. A sent notification stays sent, and a failure counts only from the notifier that took
        it last.
        """
        ...

    async def give_up(self, sinks: Collection[str], *, down: Collection[str] = (), after: timedelta) -> Counter[str]:
        """Give up notifications that wait that long for an unknown sink, or for one that is down.

        Args:
            sinks: the known sinks.
            down: those of them that are down.

        Returns:
            How many of each sink.
        """
        ...

    async def backlog(self) -> Backlog:
        """Return the backlog."""
        ...


class NotificationReads(Protocol):
    """Notifications for people, who can retry them."""

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
        """Retry a job's notifications that failed or were given up, all or of one sink; return how many."""
        ...


class RunnerHistory(Protocol):
    """Writes of a runner. Only the pod that claimed a start may write, until the start ends or a newer one exists."""

    async def claim(
        self, uid: str, start: int, pod_uid: str, *, namespace: str, job: str, budget: Limits | None = None
    ) -> Attempt:
        """Bind a start to the first pod that claims it, and return its work, with what is used of a budget.

        Raises:
            errors.NotFound, errors.Fenced: there is no such start, or it is not this pod's.
        """
        ...

    async def add_events(
        self, uid: str, start: int, pod_uid: str, batch: Sequence[TimelineEntry]
    ) -> list[TimelineEntry]:
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

        The end of a call updates the row of its beginning, even if an earlier start began it. Void steps never
        conflict.

        Raises:
            errors.NotFound, errors.Fenced, errors.Invalid, errors.JournalFull
        """
        ...

    async def heartbeat(self, uid: str, start: int, pod_uid: str) -> None:
        """Record that the pod of a start is alive. Raises as `claim`."""
        ...

    async def put_result(self, uid: str, start: int, pod_uid: str, document: ResultDocument) -> Raw | None:
        """Store a start's own report of its end; return the job's final result. Raises as `add_events`."""
        ...


class RunnerSessions(Protocol):
    """The session of a runner's job. Every method raises like `RunnerHistory.claim`."""

    async def session(self, uid: str, start: int, pod_uid: str, *, after: str | None = None) -> dict[str, Any]:
        """Return a page of the session before the job: `contract.SessionPage`, with JSON as text.

        Raises:
            errors.Invalid: `after` is not of this list.
        """
        ...

    async def put_turn(self, uid: str, start: int, pod_uid: str, turn: TurnParts) -> None:
        """Store what the job added to its session; the same again changes nothing, another one replaces it.

        Raises:
            errors.TooLarge, errors.Invalid, errors.Busy
        """
        ...

    async def search(self, uid: str, start: int, pod_uid: str, query: str, limit: int) -> list[MemoryHit]:
        """Search other sessions of the job's app and user for words of `query`, best match first."""
        ...


class RunnerArtifacts(Protocol):
    """The artifacts of a runner's session and user. Raises like `RunnerSessions`."""

    async def save(self, uid: str, start: int, pod_uid: str, saving: Saving, pieces: AsyncIterator[Piece]) -> int:
        """Store a version and return its number; with a known key of the run, replace the bytes of that version.

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
        """Return one version of an artifact, or the newest; None if there is none."""
        ...

    async def delete(self, uid: str, start: int, pod_uid: str, name: str) -> None:
        """Delete all versions of an artifact."""
        ...

    def pieces(self, stored: StoredVersion) -> AsyncIterator[bytes]:
        """Read the bytes of a version, piece by piece. Raises `errors.Gone` when it is deleted meanwhile."""
        ...


class RunnerFiles(Protocol):
    """Files that a runner keeps for later starts of its run. Raises like `RunnerSessions`."""

    async def files(self, uid: str, start: int, pod_uid: str) -> list[KeptFile]:
        """Return all files by name."""
        ...

    async def part(self, uid: str, start: int, pod_uid: str, name: str, offset: int) -> bytes | None:
        """Return up to `MAX_KEPT_PART_BYTES` of a file from `offset`, fewer at its end only; None without a file."""
        ...

    async def write(self, uid: str, start: int, pod_uid: str, write: Write) -> None:
        """Truncate a file to the write's offset and append its data.

        A write with a smaller number than the file's last one of this start changes nothing.

        Raises:
            errors.Invalid: the file is shorter than the offset.
            errors.TooLarge: the run would exceed its limit.
        """
        ...

    async def delete(self, uid: str, start: int, pod_uid: str, name: str, number: int | None = None) -> None:
        """Delete a file, if there is one; not with a smaller number than its last write's."""
        ...


class ReadHistory(Protocol):
    """The jobs of one cluster, for people."""

    async def jobs(
        self,
        namespaces: tuple[str, ...] | None,
        chosen: JobFilter = EVERY_JOB,
        *,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Page[RecordedJob]:
        """Return jobs of these namespaces, or of all for None, that match the filter, in its order.

        Raises `errors.Invalid` for a wrong limit or cursor, also for one of another order.
        """
        ...

    async def namespaces(self, *, limit: int) -> list[str]:
        """Return the namespaces that have jobs in history, sorted by name."""
        ...

    async def job(self, namespace: str, name_or_uid: str) -> RecordedJob:
        """Return a job by uid, else the newest of that name. Raises `errors.NotFound`."""
        ...

    async def job_history(self, namespace: str, name_or_uid: str) -> JobHistory:
        """Return a job with its starts and transitions, oldest first. Raises `errors.NotFound`."""
        ...

    async def tree(self, namespace: str, name_or_uid: str) -> RecordedTree:
        """Return a job's whole tree of follow-ups. Raises `errors.NotFound`."""
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
        """Return when each step of a job ran, in the order of recording."""
        ...

    async def step(self, uid: str, n: int) -> StoredStep | None:
        """Return one step of a job with its value, None if there is none."""
        ...

    async def result(self, uid: str) -> Raw | None:
        """Return a job's final result, None while there is none."""
        ...

    async def parameters(self, uid: str) -> Raw | None:
        """Return the values of the parameters of the job's template, None of a job without one."""
        ...

    async def spec(self, uid: str) -> Raw | None:
        """Return a job's accepted spec, None while it was not."""
        ...


class UserSessionHistory(Protocol):
    """The sessions of one cluster and their users' data, for people to read and delete."""

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
        """Return sessions, most recently used first; with `app`, `user`, `session` only those. Raises
        `errors.Invalid` for a wrong limit or cursor."""
        ...

    async def session_history(self, namespace: str, app: str, user: str, session: str) -> SessionHistory:
        """Return a session with its turns and states. Raises `errors.NotFound`."""
        ...

    async def turn_events(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[TurnEvent]:
        """Return a page of a session's events, oldest first. Raises `errors.Invalid` for a wrong cursor."""
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
        """Delete all data of a user, in one app or in all; return what went."""
        ...
