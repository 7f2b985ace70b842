"""Sessions, artifacts and search in memory, for tests, for the jobs of a `MemoryHistory`.

    history = MemoryHistory()
    sessions = MemorySessions(history)

One value serves runners and people. Words are found as in PostgreSQL, except for its rank: events with the most words
come first.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
from msgspec import Raw

from agentjobs import errors
from agentjobs.api.recorded_sessions import Deleted, RecordedArtifact, RecordedSession, RecordedTurn, SessionHistory
from agentjobs.contract import (
    MAX_ARTIFACT_BYTES,
    MAX_MEMORY_CHARS,
    MAX_SESSION_BYTES,
    MAX_STATE_BYTES,
    MemoryHit,
)
from agentjobs.history import pages
from agentjobs.history.memory import MemoryHistory
from agentjobs.history.memory_rows import MemoryJob
from agentjobs.history.ownership import check, start_key
from agentjobs.history.pages import DEFAULT_LIMIT, MAX_LIMIT, Page, checked_limit, page_of, parse_cursor, write_cursor
from agentjobs.history.records import TurnEvent
from agentjobs.history.scopes import NEW, JobSession, Scope
from agentjobs.history.sessions import PAGE_BYTES, PAGE_EVENTS
from agentjobs.history.turns import TurnParts, checked, digest, head, state_bytes, texts_of, turn_bytes
from agentjobs.history.versions import CHUNK_BYTES, Piece, Saving, StoredVersion, check_room

_WORD: Final = re.compile(r"\w+")


@dataclass(slots=True)
class MemoryTurn:
    """The row of a turn."""

    uid: str
    number: int
    own: JobSession
    start: int
    stored: datetime
    parts: TurnParts
    digest: bytes

    @property
    def bytes(self) -> int:
        """What it takes of its session's room."""
        return turn_bytes(self.parts)


@dataclass(slots=True)
class _Version:
    stored: StoredVersion
    save: tuple[str, int, str]
    data: bytes


@dataclass(slots=True)
class _Kept:
    """What belongs to a scope."""

    scope: Scope
    created: datetime
    used: datetime
    turns: list[MemoryTurn] = field(default_factory=list)
    state: dict[str, Raw] = field(default_factory=dict)
    artifacts: dict[str, list[_Version]] = field(default_factory=dict)

    @property
    def versions(self) -> list[_Version]:
        return [version for versions in self.artifacts.values() for version in versions]


class MemorySessions:
    """What `RunnerSessions`, `RunnerArtifacts` and `UserSessionHistory` promise."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self._kept: dict[UUID, _Kept] = {}
        history.has_session = self._has_session

    # Runners

    async def session(self, uid: str, start: int, pod_uid: str, *, after: str | None = None) -> dict[str, Any]:
        """Return a page of a job's session before the job."""
        own = self._own(uid, start, pod_uid)
        turns = self._before(own, uid) if own.continues else []
        place = (0, -1) if after is None else tuple(parse_cursor(after, (int, int)))
        rows = [((turn.number, n), event) for turn in turns for n, event in enumerate(turn.parts.events)]
        items, more = _page([row for row in rows if row[0] > place], PAGE_EVENTS, PAGE_BYTES)
        first = after is None
        return {
            "events": [event for _, event in items],
            "state": turns[-1].parts.state if turns and first else Raw(b"{}"),
            "user": self._state(own.scope.of_user) if first else Raw(b"{}"),
            "app": self._state(own.scope.of_app) if first else Raw(b"{}"),
            "turns": len(turns),
            "next": write_cursor(items[-1][0]) if more else None,
        }

    async def put_turn(self, uid: str, start: int, pod_uid: str, turn: TurnParts) -> None:
        """Store what a job added to its session."""
        own, turn = self._own(uid, start, pod_uid), checked(turn)
        turns = self._kept[own.scope.id].turns if own.scope.id in self._kept else []
        known = next((each for each in turns if each.uid == uid), None)
        if known is not None and known.digest == digest(turn):
            return
        if turn_bytes(turn) + sum(each.bytes for each in turns if each is not known) > MAX_SESSION_BYTES:
            raise errors.TooLarge(f"{MAX_SESSION_BYTES} bytes is the limit for one session")
        changed = [(own.scope.of_user, turn.user), (own.scope.of_app, turn.app)]
        merged = [(scope, {**self._states(scope), **state}) for scope, state in changed if state]
        if any(state_bytes(state) > MAX_STATE_BYTES for _, state in merged):
            raise errors.Invalid(f"{MAX_STATE_BYTES} bytes is the limit for the state of a user or app")
        for scope, state in merged:
            self._used(scope).state = state
        number = known.number if known else max((each.number for each in turns), default=0) + 1
        kept = self._used(own.scope)
        new = MemoryTurn(uid, number, own, start, self._history.now(), turn, digest(turn))
        kept.turns = sorted([each for each in kept.turns if each is not known] + [new], key=lambda each: each.number)

    async def search(self, uid: str, start: int, pod_uid: str, query: str, limit: int) -> list[MemoryHit]:
        """Search other sessions of the job's app and user."""
        own = self._own(uid, start, pod_uid)
        searched, found = set(_words(query)), []
        for kept in self._kept.values():
            if kept.scope.session and kept.scope != own.scope and kept.scope.of_user == own.scope.of_user:
                found += [(len(searched & set(_words(text))), turn, event) for turn, event, text in _texts(kept.turns)]
        found = sorted((hit for hit in found if hit[0]), key=lambda hit: (-hit[0], -hit[1].stored.timestamp()))
        return [_hit(turn, event) for _, turn, event in found[:limit]]

    async def save(self, uid: str, start: int, pod_uid: str, saving: Saving, pieces: AsyncIterator[Piece]) -> int:
        """Store a version of an artifact."""
        self._own(uid, start, pod_uid)
        data = b"".join([piece.data async for piece in pieces])
        own = self._own(uid, start, pod_uid)  # it may have been fenced meanwhile
        if len(data) > MAX_ARTIFACT_BYTES:
            raise errors.TooLarge(f"{MAX_ARTIFACT_BYTES} bytes is the limit")
        kept, save = self._used(own.scope.of_artifact(saving.name)), (uid, own.run, saving.key)
        versions = kept.artifacts.get(saving.name, [])
        number = next((each.stored.version for each in versions if each.save == save), len(versions))
        others = [each for each in kept.versions if each not in versions[number : number + 1]]
        check_room(len(others) + 1, sum(each.stored.bytes for each in others) + len(data))
        now = self._history.now()
        stored = StoredVersion(number, uuid4(), saving.kind, saving.mime, len(data), now, saving.metadata)
        kept.artifacts[saving.name] = [*versions[:number], _Version(stored, save, data), *versions[number + 1 :]]
        return number

    async def names(self, uid: str, start: int, pod_uid: str, *, after: str = "") -> tuple[list[str], str | None]:
        """Return a page of the names of artifacts."""
        own = self._own(uid, start, pod_uid).scope
        found = sorted({name for kept in self._of(own, own.of_user) for name in kept.artifacts if name > after})
        page = found[:PAGE_EVENTS]
        return page, page[-1] if len(found) > len(page) else None

    async def versions(self, uid: str, start: int, pod_uid: str, name: str) -> list[StoredVersion]:
        """Return the versions of an artifact."""
        return self._versions(self._own(uid, start, pod_uid).scope, name)

    async def version(
        self, uid: str, start: int, pod_uid: str, name: str, version: int | None = None
    ) -> StoredVersion | None:
        """Return one version of an artifact, or the newest."""
        return _chosen(self._versions(self._own(uid, start, pod_uid).scope, name), version)

    async def delete(self, uid: str, start: int, pod_uid: str, name: str) -> None:
        """Delete all versions of an artifact."""
        scope = self._own(uid, start, pod_uid).scope.of_artifact(name)
        self._used(scope).artifacts.pop(name, None)

    async def pieces(self, stored: StoredVersion) -> AsyncIterator[bytes]:
        """Read the bytes of a version."""
        for kept in self._kept.values():
            for version in kept.versions:
                if version.stored.id == stored.id:
                    for begin in range(0, len(version.data), CHUNK_BYTES):
                        yield version.data[begin : begin + CHUNK_BYTES]
                    return
        raise errors.Gone("the artifact was deleted meanwhile")

    # People

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
        """Return sessions, most recently used first."""
        self._check_available()
        limit = checked_limit(limit)
        before = None if cursor is None else tuple(parse_cursor(cursor, (datetime, str)))
        found = sorted(self._kept.values(), key=_place, reverse=True)
        chosen = [
            kept
            for kept in found
            if kept.scope.session
            and kept.scope.namespace == namespace
            and app in (None, kept.scope.app)
            and user in (None, kept.scope.user)
            and session in (None, kept.scope.session)
            and (before is None or _place(kept) < before)
        ]
        page = page_of(chosen[:limit], _place, more=len(chosen) > limit)
        return Page([_recorded(kept) for kept in page.items], page.cursor)

    async def session_history(self, namespace: str, app: str, user: str, session: str) -> SessionHistory:
        """Return a session with its turns and states."""
        kept = self._found(namespace, app, user, session)
        return SessionHistory(
            session=_recorded(kept),
            turns=[_recorded_turn(turn) for turn in kept.turns][-MAX_LIMIT:],
            state=msgspec.json.decode(kept.turns[-1].parts.state) if kept.turns else {},
            user_state=msgspec.json.decode(self._state(kept.scope.of_user)),
            app_state=msgspec.json.decode(self._state(kept.scope.of_app)),
        )

    async def turn_events(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[TurnEvent]:
        """Return a page of a session's events."""
        self._check_available()
        after = (0, -1) if cursor is None else tuple(parse_cursor(cursor, (int, int)))
        turns = [turn for kept in self._of(_scope(namespace, app, user, session)) for turn in kept.turns]
        rows = [((turn.number, n), event) for turn in turns for n, event in enumerate(turn.parts.events)]
        items, more = _page([row for row in rows if row[0] > after], DEFAULT_LIMIT, pages.MAX_PAGE_BYTES)
        jobs = {turn.number: turn.own.job for turn in turns}
        events = [TurnEvent(number, jobs[number], n, event) for (number, n), event in items]
        return page_of(events, lambda last: (last.turn, last.n), more=more)

    async def artifacts(
        self, namespace: str, app: str, user: str, session: str, *, cursor: str | None = None
    ) -> Page[RecordedArtifact]:
        """Return versions of the artifacts of a session and of its user."""
        self._check_available()
        after = ("", -1) if cursor is None else tuple(parse_cursor(cursor, (str, int)))
        scope = _scope(namespace, app, user, session)
        found = sorted(
            ((name, each.stored.version), each)
            for kept in self._of(scope, scope.of_user)
            for name, versions in kept.artifacts.items()
            for each in versions
            if (name, each.stored.version) > after
        )
        items = [_recorded_artifact(place[0], version) for place, version in found[:DEFAULT_LIMIT]]
        return page_of(items, lambda last: (last.name, last.version), more=len(found) > DEFAULT_LIMIT)

    async def artifact(
        self, namespace: str, app: str, user: str, session: str, name: str, version: int | None = None
    ) -> StoredVersion:
        """Return one version of an artifact, or the newest."""
        self._check_available()
        found = _chosen(self._versions(_scope(namespace, app, user, session), name), version)
        if found is None:
            raise errors.NotFound(f"session {session!r} has no such artifact {name!r}")
        return found

    async def delete_session(self, namespace: str, app: str, user: str, session: str) -> Deleted:
        """Delete a session with its turns and its artifacts."""
        return _deleted([self._kept.pop(self._found(namespace, app, user, session).scope.id)])

    async def delete_user(self, namespace: str, user: str, *, app: str | None = None) -> Deleted:
        """Delete all data of a user."""
        self._check_available()
        owned = [
            id_
            for id_, kept in self._kept.items()
            if kept.scope.namespace == namespace and kept.scope.user == user != "" and app in (None, kept.scope.app)
        ]
        return _deleted([self._kept.pop(id_) for id_ in owned])

    def _check_available(self) -> None:
        if self._history.away:
            raise errors.Unavailable("history is unreachable")

    def _own(self, uid: str, start: int, pod_uid: str) -> JobSession:
        self._check_available()
        start_key(uid, start)
        job = self._history.jobs_by_uid.get(uid)
        found = job.starts.get(start) if job else None
        if job is None or found is None:
            raise errors.NotFound(f"job {uid} has no start {start}")
        check(found.pod_uid, found.fenced, uid=uid, start=start, pod=pod_uid)
        own = _session_of(job)
        if own is None:
            raise errors.Invalid(f"job {uid} was accepted without a session")
        return replace(own, run=found.run or start)

    def _has_session(self, uid: str) -> bool:
        own = _session_of(self._history.jobs_by_uid[uid])
        return own is not None and bool(
            self._of(own.scope.of_user, own.scope.of_app, *([own.scope] if own.continues else []))
        )

    def _used(self, scope: Scope) -> _Kept:
        now = self._history.now()
        kept = self._kept.setdefault(scope.id, _Kept(scope, now, now))
        kept.used = now
        return kept

    def _of(self, *scopes: Scope) -> list[_Kept]:
        return [self._kept[scope.id] for scope in scopes if scope.id in self._kept]

    def _found(self, namespace: str, app: str, user: str, session: str) -> _Kept:
        self._check_available()
        found = self._of(_scope(namespace, app, user, session)) if session else []
        if not found:
            raise errors.NotFound(f"no session {session!r} in namespace {namespace!r}")
        return found[0]

    def _before(self, own: JobSession, uid: str) -> list[MemoryTurn]:
        turns = [turn for kept in self._of(own.scope) for turn in kept.turns]
        ours = next((turn.number for turn in turns if turn.uid == uid), None)
        earlier = [turn for turn in turns if ours is None or turn.number < ours]
        first = max((turn.number for turn in earlier if turn.own.mode == NEW), default=0)
        return [turn for turn in earlier if turn.number >= first]

    def _states(self, scope: Scope) -> dict[str, Raw]:
        return next((kept.state for kept in self._of(scope)), {})

    def _state(self, scope: Scope) -> Raw:
        return Raw(msgspec.json.encode(self._states(scope)))

    def _versions(self, session: Scope, name: str) -> list[StoredVersion]:
        kept = self._of(session.of_artifact(name))
        return [each.stored for found in kept for each in found.artifacts.get(name, [])]


def _session_of(job: MemoryJob) -> JobSession | None:
    session = job.resolved["spec"].get("session") if job.resolved else None
    if not session:
        return None
    scope = Scope("", job.key.namespace, session["appName"], session["userId"], session["sessionId"])
    return JobSession(scope, job.key.name, 0, session.get("mode", NEW))


def _scope(namespace: str, app: str, user: str, session: str) -> Scope:
    return Scope("", namespace, app, user, session)


def _place(kept: _Kept) -> tuple[datetime, str]:
    return kept.used, str(kept.scope.id)


def _chosen(versions: Sequence[StoredVersion], version: int | None) -> StoredVersion | None:
    found = [each for each in versions if version in (None, each.version)]
    return found[-1] if found else None


def _page(
    rows: Sequence[tuple[tuple[int, int], Raw]], limit: int, most: int
) -> tuple[list[tuple[tuple[int, int], Raw]], bool]:
    items: list[tuple[tuple[int, int], Raw]] = []
    size = 0
    for row in rows[:limit]:
        if size >= most:
            break
        items.append(row)
        size += len(memoryview(row[1]))
    return items, len(items) < len(rows)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _texts(turns: Iterable[MemoryTurn]) -> Iterable[tuple[MemoryTurn, Raw, str]]:
    return ((turn, event, texts_of(event)) for turn in turns for event in turn.parts.events)


def _hit(turn: MemoryTurn, event: Raw) -> MemoryHit:
    event_head = head(event)
    return MemoryHit(
        id=event_head.id,
        session=turn.own.scope.session,
        author=event_head.author,
        time=event_head.time(turn.stored).isoformat(),
        text=texts_of(event)[:MAX_MEMORY_CHARS],
    )


def _recorded(kept: _Kept) -> RecordedSession:
    return RecordedSession(
        app=kept.scope.app,
        user=kept.scope.user,
        session=kept.scope.session,
        created=kept.created,
        used=kept.used,
        turns=len(kept.turns),
        events=sum(len(turn.parts.events) for turn in kept.turns),
        bytes=sum(turn.bytes for turn in kept.turns),
        artifacts=len(kept.versions),
        artifact_bytes=sum(version.stored.bytes for version in kept.versions),
    )


def _recorded_turn(turn: MemoryTurn) -> RecordedTurn:
    return RecordedTurn(
        number=turn.number,
        uid=turn.uid,
        job=turn.own.job,
        mode=turn.own.mode,
        start=turn.start,
        stored=turn.stored,
        events=len(turn.parts.events),
        bytes=turn.bytes,
    )


def _recorded_artifact(name: str, version: _Version) -> RecordedArtifact:
    stored = version.stored
    return RecordedArtifact(
        name=name,
        version=stored.version,
        kind=stored.kind,
        mime=stored.mime,
        bytes=stored.bytes,
        stored=stored.stored_at,
        job=version.save[0],
        metadata=msgspec.json.decode(stored.metadata),
    )


def _deleted(removed: Sequence[_Kept]) -> Deleted:
    count: Counter[str] = Counter()
    for kept in removed:
        count += Counter(
            sessions=bool(kept.scope.session),
            turns=len(kept.turns),
            artifacts=len(kept.versions),
            states=len(kept.state),
        )
    return Deleted(**count)
