"""ADK's sessions in memory, for runs of any length, and the earlier state of the job's own session.

`engine` creates one `Sessions` per start. A start loads what earlier jobs stored, and stores the job's turn after the
answer; in between nothing of the session leaves the pod, because the journal has it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from google.adk.events.event import Event
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.adk.version import __version__ as adk_version
from pydantic import ValidationError

from agentjobs.contract import APP_PREFIX, USER_PREFIX, Attempt, ErrorClass, StepKind, Turn, Verdict
from agentjobs.errors import Invalid
from agentjobs_runner.adk.recorded import read_as
from agentjobs_runner.endings import Ending, StartEnded, config_invalid
from agentjobs_runner.journal import Journal, NewStep
from agentjobs_runner.json_values import NotJson, jsonable
from agentjobs_runner.modules import first_problems
from agentjobs_runner.stores import Earlier, Stores
from agentjobs_runner.threads import in_thread

_STEP: Final = "session>state"


class Sessions(InMemorySessionService):
    """Appends events in constant time.

    ADK compares each new event with all earlier ones, in case of duplicates: ten thousand events take ten seconds of
    CPU, a hundred thousand most of an hour. Here there is only one runner, so no duplicates.
    """

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append like ADK, with the stored events hidden from it. Nothing is awaited, so no reader misses them."""
        stored = self.sessions.get(session.app_name, {}).get(session.user_id, {}).get(session.id)
        if stored is None or stored is session:
            return await super().append_event(session, event)
        before, stored.events = stored.events, []
        try:
            return await super().append_event(session, event)
        finally:
            before += stored.events
            stored.events = before


@dataclass(frozen=True, slots=True)
class JobSession:
    """The job's session in `service`."""

    service: Sessions
    app: str
    user: str
    id: str
    earlier: Earlier
    named: bool
    """Whether the job names its user or session. Otherwise only changes of the user's and the app's state are kept."""
    inherited: frozenset[str] = frozenset()
    """Names in the state whose values were left by earlier jobs."""

    def is_inherited(self, name: str) -> bool:
        """Whether a name in the state still has the value that an earlier job left: this job has not set it."""
        return name in self.inherited and not any(name in event.actions.state_delta for event in self._own_events())

    def _own_events(self) -> list[Event]:
        return self.service.sessions[self.app][self.user][self.id].events[len(self.earlier.events) :]

    def turn(self) -> Turn:
        """Return what the job has added to the session.

        Raises:
            StartEnded: ResultError for a value without a JSON form.
        """
        stored = self.service.sessions[self.app][self.user][self.id]
        own = self._own_events() if self.named else []
        users = self.service.user_state.get(self.app, {}).get(self.user, {})
        return Turn(
            events=[_plain("an event of the session", _dumped(event)) for event in own],
            state=_plain("the session's state", stored.state) if self.named else {},
            user=_plain("the user's state", _changed(users, self.earlier.user)),
            app=_plain("the app's state", _changed(self.service.app_state.get(self.app, {}), self.earlier.app)),
        )

    async def store(self, stores: Stores) -> None:
        """Store the turn of the job.

        Raises:
            StartEnded: ResultError if it is rejected: later jobs would miss it.
        """
        turn = self.turn()
        if not (self.named or turn["user"] or turn["app"]):
            return
        try:
            await in_thread(stores.put_turn, turn)
        except Invalid as error:
            raise _unstored(f"the turn of this job cannot be stored in session {self.id!r}: {error}") from error


async def begin(
    service: Sessions,
    app: str,
    user: str,
    session_id: str,
    *,
    earlier: Earlier,
    state: dict[str, Any],
    named: bool,
) -> JobSession:
    """Begin the job's session in `service`: the stored session with the job's own `state` on top.

    Raises:
        StartEnded: ConfigInvalid if this image's ADK cannot read what another one stored.
    """
    scoped = {f"{APP_PREFIX}{name}": value for name, value in earlier.app.items()}
    scoped |= {f"{USER_PREFIX}{name}": value for name, value in earlier.user.items()}
    left = {**scoped, **earlier.state}
    made = await service.create_session(app_name=app, user_id=user, session_id=session_id, state={**left, **state})
    service.sessions[app][user][made.id].events = [_event(event, session_id) for event in earlier.events]
    return JobSession(service, app, user, made.id, earlier, named, frozenset(left.keys() - state.keys()))


async def before_job(attempt: Attempt, stores: Stores, journal: Journal) -> Earlier:
    """Return the session before the job, the same in every start, even if other jobs change the user's state meanwhile.

    Raises:
        StartEnded: ConfigInvalid if it is not available.
    """
    recorded, began = journal.ended(_STEP), datetime.now(UTC)
    if recorded is None and (journal.resumes or not attempt.get("session")):
        return Earlier()  # it was empty when the run began
    found = Earlier()
    if attempt.get("session"):
        try:
            found = await in_thread(stores.session)
        except Invalid as error:
            raise config_invalid(f"session: cannot read what earlier jobs stored: {error}") from error
    if recorded is not None:
        return replace(found, user=recorded["body"]["user"], app=recorded["body"]["app"])
    step = NewStep(_STEP, StepKind.VALUE, agent="", name="session", began=began)
    await journal.record(step, {"user": found.user, "app": found.app, "events": len(found.events)})
    return found


def _event(stored: Any, session_id: str) -> Event:
    try:
        return read_as(Event, stored)
    except ValidationError as error:
        raise config_invalid(
            f"session: ADK {adk_version} cannot read an event that an earlier job stored in {session_id!r}: "
            f"{first_problems(error)}. Use an image with the ADK of that job, or session.mode New"
        ) from error


def _dumped(event: Event) -> dict[str, Any]:
    return event.model_dump(exclude_none=True)


def _plain(what: str, value: Any) -> Any:
    try:
        return jsonable(value, ())
    except NotJson as error:
        raise _unstored(f"{what} has a value of type {error.kind} at {error.place}, which is not JSON") from error


def _changed(now: dict[str, Any], then: Any) -> dict[str, Any]:
    return {name: value for name, value in now.items() if name not in then or then[name] != value}


def _unstored(message: str) -> StartEnded:
    return StartEnded(Ending(Verdict.FAIL, ErrorClass.RESULT_ERROR, message))
