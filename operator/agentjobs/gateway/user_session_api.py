"""Routes of users: sessions and artifacts, which outlive their jobs.

The content of a session came from the jobs of the namespace, so reading it takes rights to all of these: `list
agentjobs` for the list, `get agentjobs` for the content. Deleting takes `delete agentjobs`.
App, user and session may be any text, so they are in the query and not in the path.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from agentjobs import contract
from agentjobs.api.recorded_sessions import (
    Deleted,
    RecordedArtifacts,
    RecordedSessions,
    SessionEvents,
    SessionHistory,
)
from agentjobs.auth import User
from agentjobs.gateway.audit import PendingAction, audited
from agentjobs.gateway.paths import PLACE, Cursor, Limit, Namespace
from agentjobs.gateway.problems import json_answer
from agentjobs.gateway.rights import Person as Caller
from agentjobs.gateway.rights import authorize
from agentjobs.gateway.services import ReadBudget, UserSessions
from agentjobs.gateway.session_api import Version, bytes_answer
from agentjobs.history.pages import DEFAULT_LIMIT

SESSION: Final = PLACE + "/session"

_TEXT: Final = {"min_length": 1, "max_length": 512, "pattern": "^[^\\x00]+$"}
App = Annotated[str, Query(description="`appName` of the session.", **_TEXT)]
Person = Annotated[str, Query(alias="user", description="`userId` of the session.", **_TEXT)]
Id = Annotated[str, Query(alias="session", description="`sessionId`.", **_TEXT)]
AnyApp = Annotated[str | None, Query(description="Only sessions of this app.", **_TEXT)]
AnyPerson = Annotated[str | None, Query(alias="user", description="Only sessions of this user.", **_TEXT)]
AnyId = Annotated[str | None, Query(alias="session", description="Only the session with this id.", **_TEXT)]
Name = Annotated[str, Query(max_length=contract.MAX_ARTIFACT_NAME_CHARS, min_length=1, pattern="^[^\\x00]+$")]

router = APIRouter(tags=["sessions"])


async def _may_list(request: Request, namespace: Namespace) -> User:
    return await authorize(request, "list", namespace=namespace)


async def _may_get(request: Request, namespace: Namespace) -> User:
    return await authorize(request, "get", namespace=namespace)


@router.get(PLACE + "/sessions", dependencies=[Depends(_may_list)])
async def list_sessions(
    namespace: Namespace,
    sessions: UserSessions,
    budget: ReadBudget,
    app: AnyApp = None,
    person: AnyPerson = None,
    session: AnyId = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RecordedSessions:
    """List the sessions of a namespace, the most recently used first."""
    async with budget.taken():
        page = await sessions.sessions(namespace, app=app, user=person, session=session, limit=limit, cursor=cursor)
    return RecordedSessions(items=page.items, cursor=page.cursor)


@router.get(SESSION, dependencies=[Depends(_may_get)])
async def get_session(
    namespace: Namespace, sessions: UserSessions, budget: ReadBudget, app: App, person: Person, session: Id
) -> SessionHistory:
    """Return the turns of a session, and the state that its next job would see."""
    async with budget.taken():
        return await sessions.session_history(namespace, app, person, session)


@router.get(SESSION + "/events", response_model=SessionEvents, dependencies=[Depends(_may_get)])
async def list_session_events(
    namespace: Namespace,
    sessions: UserSessions,
    budget: ReadBudget,
    app: App,
    person: Person,
    session: Id,
    cursor: Cursor = None,
) -> Response:
    """List the events of a session, oldest first."""
    async with budget.taken():
        page = await sessions.turn_events(namespace, app, person, session, cursor=cursor)
    return json_answer({"items": page.items, "cursor": page.cursor})


@router.get(SESSION + "/artifacts", dependencies=[Depends(_may_get)])
async def list_session_artifacts(
    namespace: Namespace,
    sessions: UserSessions,
    budget: ReadBudget,
    app: App,
    person: Person,
    session: Id,
    cursor: Cursor = None,
) -> RecordedArtifacts:
    """List the versions of the artifacts of a session and of its user, ordered by name."""
    async with budget.taken():
        page = await sessions.artifacts(namespace, app, person, session, cursor=cursor)
    return RecordedArtifacts(items=page.items, cursor=page.cursor)


@router.get(SESSION + "/artifacts/content", dependencies=[Depends(_may_get)])
async def get_session_artifact(
    namespace: Namespace,
    sessions: UserSessions,
    budget: ReadBudget,
    app: App,
    person: Person,
    session: Id,
    name: Name,
    version: Version = None,
) -> Response:
    """Return the content of a version of an artifact, the newest by default."""
    async with budget.taken():
        found = await sessions.artifact(namespace, app, person, session, name, version)
        return await bytes_answer(found, sessions.pieces(found))


@router.delete(SESSION)
async def delete_session(
    request: Request,
    caller: Caller,
    namespace: Namespace,
    sessions: UserSessions,
    budget: ReadBudget,
    app: App,
    person: Person,
    session: Id,
) -> Deleted:
    """Delete a session with its turns and artifacts, also from memory. Data of the user remain."""
    async with audited(request, caller, PendingAction("Session", namespace, f"{app}/{person}/{session}", "delete")):
        await authorize(request, "delete", namespace=namespace)
        async with budget.taken():
            return await sessions.delete_session(namespace, app, person, session)


@router.delete(PLACE + "/user-data")
async def delete_user_data(
    request: Request,
    caller: Caller,
    namespace: Namespace,
    sessions: UserSessions,
    budget: ReadBudget,
    person: Person,
    app: AnyApp = None,
) -> Deleted:
    """Delete all sessions, artifacts, states and memories of a user in a namespace, in one app or all apps."""
    async with audited(request, caller, PendingAction("User", namespace, person, "delete")) as pending:
        await authorize(request, "delete", namespace=namespace)
        async with budget.taken():
            deleted = await sessions.delete_user(namespace, person, app=app)
        pending.message = "in all apps" if app is None else f"of app {app}"
    return deleted
