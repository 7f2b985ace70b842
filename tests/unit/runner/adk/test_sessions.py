"""Sessions of any length."""

import pytest
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions

from agentjobs_runner.adk.sessions import Sessions

KEY = {"app_name": "app", "user_id": "user", "session_id": "one"}


class Unsearched(list):
    def __iter__(self):
        raise AssertionError("the events before were searched")


@pytest.fixture
def event():
    return Event(author="a", invocation_id="i", actions=EventActions(state_delta={"n": 1, "user:n": 2}))


async def test_an_event_is_appended_without_reading_earlier_ones(event):
    sessions = Sessions()
    session = await sessions.create_session(**KEY)
    stored = sessions.sessions["app"]["user"]["one"]
    stored.events = Unsearched(stored.events)

    await sessions.append_event(session, event)

    assert (len(stored.events), len(session.events)) == (1, 1)


async def test_appended_events_are_read_with_their_state(event):
    sessions = Sessions()
    session = await sessions.create_session(**KEY)
    for number in range(3):
        await sessions.append_event(session, event.model_copy(update={"id": str(number)}))

    found = await sessions.get_session(**KEY)

    assert [one.id for one in found.events] == ["0", "1", "2"]
    assert found.state == {"n": 1, "user:n": 2}


async def test_a_missing_session_is_reported(event):
    sessions = Sessions()
    session = await sessions.create_session(**KEY)
    await sessions.delete_session(**KEY)

    with pytest.raises(Exception, match="not found"):
        await sessions.append_event(session, event)
