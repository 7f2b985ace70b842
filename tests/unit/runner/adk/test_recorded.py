"""ADK's objects as the JSON of a journal: changes by code, as they were at the time."""

from types import SimpleNamespace

import pytest
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions

from agentjobs_runner.adk.recorded import Changes, event_to_json
from agentjobs_runner.adk.requests import digest
from agentjobs_runner.json_values import NotJson


@pytest.fixture
def context():
    return SimpleNamespace(actions=EventActions())


class Numbers(list):
    """Compares as an array of numpy does."""

    def __eq__(self, other):
        raise ValueError("ambiguous")

    __hash__ = None


def test_state_from_before_need_not_be_json(context):
    context.actions.state_delta["client"] = object()
    changes = Changes(context)
    context.actions.state_delta["seen"] = 1

    assert changes.to_json() == {"state_delta": {"seen": 1}}


def test_state_stored_by_code_must_be_json(context):
    changes = Changes(context)
    context.actions.state_delta["client"] = object()

    with pytest.raises(NotJson) as caught:
        changes.to_json()

    assert (caught.value.place, caught.value.kind) == ("state_delta.client", "object")


def test_a_value_changed_in_place_is_a_change(context):
    context.actions.state_delta["list"] = [1]
    changes = Changes(context)
    context.actions.state_delta["list"].append(2)

    assert changes.to_json() == {"state_delta": {"list": [1, 2]}}


def test_a_recorded_value_is_not_affected_by_later_changes(context):
    changes, output = Changes(context), ["first"]
    context.actions.state_delta["list"] = output
    noted = [changes.to_json()["state_delta"]["list"], event_to_json(Event(author="a", output=output))["output"]]
    output.append("second")

    assert noted == [["first"]] * 2


def test_an_output_that_cannot_be_compared_is_not_json():
    with pytest.raises(NotJson):
        event_to_json(Event(author="a", output=Numbers([1])))


def test_any_input_of_a_node_has_a_digest():
    itself = []
    itself.append(itself)

    assert digest({1: "a", "b": 2}) == digest({1: "a", "b": 2})
    assert digest(itself) == digest(itself)
