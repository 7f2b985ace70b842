"""Sessions for runners: the turns before a job, the turn that it adds, and memory search.

A pod cannot choose a session: it is that of the accepted job of the pod's own start. Two jobs of one session never run
together, so the turns before a job are the same in all of its starts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from psycopg.types.json import Json

from agentjobs import contract, errors
from agentjobs.contract import MAX_MEMORIES, MAX_SESSION_BYTES, MAX_STATE_BYTES, MemoryHit
from agentjobs.history.database import Connection, Database, as_json
from agentjobs.history.fence import Fence
from agentjobs.history.ownership import check, start_key
from agentjobs.history.pages import parse_cursor, write_cursor
from agentjobs.history.sanitize import clean_text
from agentjobs.history.scopes import JobSession, Scope
from agentjobs.history.statements import load
from agentjobs.history.turns import TurnParts, checked, digest, event_rows, head, texts_of, turn_bytes

PAGE_BYTES: Final = 1024 * 1024
PAGE_EVENTS: Final = 500

_SQL: Final = load("sessions")
_NOTHING: Final = Raw(b"{}")


class Sessions:
    """The sessions of one cluster, for the runners of their jobs.

    Args:
        cluster: uid of the namespace kube-system.

    Every method raises `errors.Unavailable` when the database cannot answer within five seconds, `errors.Fenced` and
    `errors.NotFound` when the start is not the pod's.
    """

    def __init__(self, database: Database, *, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        self._fence = Fence(database)

    async def session(self, uid: str, start: int, pod_uid: str, *, after: str | None = None) -> dict[str, Any]:
        """Return a page of a job's session before the job: `contract.SessionPage`, with JSON as text.

        Raises:
            errors.Invalid: `after` is not of this list.
        """
        number, n = (0, -1) if after is None else parse_cursor(after, (int, int))

        async def work(tx: Connection) -> dict[str, Any]:
            own = await read_session(tx, uid, start, pod_uid, cluster=self._cluster)
            page = {"events": [], "state": _NOTHING, "user": _NOTHING, "app": _NOTHING, "turns": 0, "next": None}
            if after is None:
                page |= await _states_before(tx, own)
            if own.continues:
                page |= await _turns_before(tx, own, uid, (number, n), with_state=after is None)
            return page

        return await self._database.run(work)

    async def put_turn(self, uid: str, start: int, pod_uid: str, turn: TurnParts) -> None:
        """Store what a job added to its session; the same again changes nothing, another one replaces it.

        Raises:
            errors.TooLarge: the turn, or the session with it, exceeds its limit.
            errors.Invalid: a state exceeds its limit.
            errors.Busy: another request of this start is being stored.
        """
        turn, turn_digest = checked(turn), digest(turn)
        async with self._fence(uid, start, pod_uid) as tx:
            own = await read_session(tx, uid, start, pod_uid, cluster=self._cluster)
            states = [(own.scope.of_user, turn.user), (own.scope.of_app, turn.app)]
            changed = [(scope, state) for scope, state in states if state]
            await use_scopes(tx, [own.scope, *(scope for scope, _ in changed)])
            known = await (await tx.execute(_SQL["turn"], {"uid": uid})).fetchone()
            if known is None or bytes(known[0]) != turn_digest:
                await _put(tx, own, uid, start, turn, turn_digest)
                await _merge(tx, changed)
                await _check_sizes(tx, own.scope, changed)

    async def search(self, uid: str, start: int, pod_uid: str, query: str, limit: int) -> list[MemoryHit]:
        """Search other sessions of the job's app and user for words of `query`, best match first."""

        async def work(tx: Connection) -> list[Any]:
            own = await read_session(tx, uid, start, pod_uid, cluster=self._cluster)
            parameters = own.scope.place() | {
                "query": clean_text(query),
                "owner": f"'{_owner(own.scope)}'",
                "limit": min(limit, MAX_MEMORIES),
            }
            return await (await tx.execute(_SQL["search"], parameters)).fetchall()

        return [_hit(row) for row in await self._database.run(work)]


async def read_session(tx: Connection, uid: str, start: int, pod_uid: str, *, cluster: str) -> JobSession:
    """Return the session of a start's job.

    Raises:
        errors.NotFound, errors.Fenced: the start is not there, or not this pod's.
        errors.Invalid: the job was accepted before jobs had sessions.
    """
    found = await tx.execute(_SQL["session_of"], {**start_key(uid, start), "cluster": cluster})
    row: Any = await found.fetchone()
    if row is None:
        raise errors.NotFound(f"job {uid} has no start {start}")
    check(row.pod_uid, row.fenced_at, uid=uid, start=start, pod=pod_uid)
    if not (row.app and row.user_id and row.session_id):
        raise errors.Invalid(f"job {uid} was accepted without a session")
    scope = Scope(cluster, row.namespace, row.app, row.user_id, row.session_id)
    return JobSession(scope, row.name, row.run, row.mode)


async def use_scopes(tx: Connection, scopes: Iterable[Scope]) -> None:
    """Make the rows of scopes, or note their use, and lock them until the transaction ends."""
    await tx.execute(_SQL["use_scopes"], {"rows": Json([scope.row() for scope in scopes])})


async def _states_before(tx: Connection, own: JobSession) -> dict[str, Any]:
    owners = {"user": own.scope.of_user.id, "app": own.scope.of_app.id}
    await tx.execute(_SQL["note_use"], {"ids": [own.scope.id, *owners.values()]})
    rows: list[Any] = await (await tx.execute(_SQL["states"], {"ids": list(owners.values())})).fetchall()
    found = {row.scope: Raw(row.state.encode()) for row in rows}
    return {name: found.get(owner, _NOTHING) for name, owner in owners.items()}


async def _turns_before(
    tx: Connection, own: JobSession, uid: str, after: Sequence[int], *, with_state: bool
) -> dict[str, Any]:
    parameters = {"scope": own.scope.id, "uid": uid}
    size = {"number": after[0], "n": after[1], "limit": PAGE_EVENTS + 1, "most": PAGE_BYTES}
    before = await tx.execute(_SQL["before"], parameters)
    page = await tx.execute(_SQL["events_before"], parameters | size)
    row: Any = await before.fetchone()
    rows: list[Any] = await page.fetchall()
    items = [row for row in rows[:PAGE_EVENTS] if row.before < PAGE_BYTES]
    more = len(items) < len(rows)
    return {
        "events": [Raw(row.event.encode()) for row in items],
        "turns": row.turns,
        "next": write_cursor((items[-1].number, items[-1].n)) if more else None,
    } | ({"state": Raw(row.state.encode())} if with_state and row.state else {})


async def _put(tx: Connection, own: JobSession, uid: str, start: int, turn: TurnParts, turn_digest: bytes) -> None:
    row = {
        "uid": uid,
        "scope": own.scope.id,
        "job": own.job,
        "mode": own.mode,
        "start": start,
        "state": as_json(turn.state),
        "digest": turn_digest,
        "events": len(turn.events),
        "bytes": turn_bytes(turn),
    }
    await tx.execute(_SQL["put_turn"], row)
    await tx.execute(_SQL["drop_turn_events"], {"uid": uid})
    rows = {"uid": uid, "owner": _owner(own.scope), "rows": _json(event_rows(turn))}
    await tx.execute(_SQL["put_turn_events"], rows)


async def _merge(tx: Connection, changed: Iterable[tuple[Scope, Mapping[str, Raw]]]) -> None:
    rows = [
        {"scope": str(scope.id), "key": key, "value": value} for scope, state in changed for key, value in state.items()
    ]
    if rows:
        await tx.execute(_SQL["put_states"], {"rows": _json(rows)})


async def _check_sizes(tx: Connection, session: Scope, changed: Iterable[tuple[Scope, Any]]) -> None:
    parameters = {"scope": session.id, "ids": [scope.id for scope, _ in changed]}
    sizes: Any = await (await tx.execute(_SQL["sizes"], parameters)).fetchone()
    if sizes.session > MAX_SESSION_BYTES:
        message = f"the session would have {sizes.session} bytes; {MAX_SESSION_BYTES} is the limit"
        raise errors.TooLarge(f"{message}; begin another session, or delete it")
    if sizes.state > MAX_STATE_BYTES:
        raise errors.Invalid(f"the state of user or app would have {sizes.state} bytes; {MAX_STATE_BYTES} is the limit")


def _hit(row: Any) -> MemoryHit:
    event = Raw(row.event.encode())
    event_head = head(event)
    return MemoryHit(
        id=event_head.id,
        session=row.session_id,
        author=event_head.author,
        time=event_head.time(row.stored_at).isoformat(),
        text=texts_of(event)[: contract.MAX_MEMORY_CHARS],
    )


def _owner(scope: Scope) -> str:
    """Return the lexeme of a session's user in the search index."""
    return f" {scope.of_user.id}"


def _json(rows: Any) -> Json:
    return Json(rows, msgspec.json.encode)
