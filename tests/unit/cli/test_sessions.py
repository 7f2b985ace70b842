"""What was said in a session, as text."""

import pytest

from agentjobs.api.recorded_sessions import SessionEvent
from agentjobs.cli.sessions import event_lines


@pytest.mark.parametrize(
    ("part", "said"),
    [
        pytest.param({"function_call": {"name": "look", "args": {"n": 1}}}, "look(n=1)", id="call"),
        pytest.param({"functionResponse": {"name": "look", "response": {"a": "ä"}}}, 'look: {"a": "ä"}', id="result"),
        pytest.param({"inline_data": {"data": "AA=="}, "text": None}, "(inline_data)", id="data"),
    ],
)
def test_tool_calls_are_shown_among_the_texts_of_a_session(part, said):
    event = SessionEvent(turn=1, job="j", n=0, event={"author": "a", "content": {"parts": [part]}})

    assert event_lines([event]) == f"1.0 a: {said}"
