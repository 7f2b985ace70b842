"""ADK's sessions in memory, for runs of any length. Made by `engine`, one a start."""

from google.adk.events.event import Event
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session


class Sessions(InMemorySessionService):
    """Appends an event in the same time however many there are.

    ADK compares each new event with all before it, in case it is delivered twice: ten thousand events take ten seconds
    of CPU, a hundred thousand the better part of an hour. Here each comes once, from the one runner there is.
    """

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append as ADK does, with the stored events hidden from it. Nothing is awaited, so no reader misses them."""
        stored = self.sessions.get(session.app_name, {}).get(session.user_id, {}).get(session.id)
        if stored is None or stored is session:
            return await super().append_event(session, event)
        before, stored.events = stored.events, []
        try:
            return await super().append_event(session, event)
        finally:
            before += stored.events
            stored.events = before
