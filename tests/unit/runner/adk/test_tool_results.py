"""What tools return, as JSON."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid

import pydantic
import pytest
from google.genai import types

from agentjobs_runner.adk import tool_results
from agentjobs_runner.adk.tool_results import JsonResults
from agentjobs_runner.json_values import NotJson, jsonable


class Colour(enum.Enum):
    RED = "red"


class Row(pydantic.BaseModel):
    day: datetime.date


@dataclasses.dataclass
class Point:
    x: int


DAY = datetime.date(2026, 11, 21)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (DAY, "2026-11-21"),
        (decimal.Decimal("1.50"), "1.50"),
        (Colour.RED, "red"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Row(day=DAY), {"day": "2026-11-21"}),
        (Point(3), {"x": 3}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({1: {"b": DAY}}, {"1": {"b": "2026-11-21"}}),
        (float("inf"), "inf"),
        ("caf\u00e9 \ud800", "caf\u00e9 ?"),
        (b"\xff", "_w=="),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_can_be_converted_to_json_are_converted(value, plain):
    assert jsonable(value, ()) == plain
    json.dumps(plain, allow_nan=False).encode()


def test_a_json_value_is_the_same_object():
    value = {"rows": [1, 2.5, None, True, "caf\u00e9", {"x": []}]}
    assert jsonable(value, ()) is value


def circle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [object(), print, circle(), [Point(object())]], ids=["object", "function", "circle", "in"]
)
def test_a_value_that_cannot_be_converted_is_refused_with_its_path(value):
    with pytest.raises(NotJson) as refused:
        jsonable({"rows": [value]}, ())
    assert refused.value.place.startswith("rows.0")


def request_of(response):
    part = types.Part(function_response=types.FunctionResponse(name="tool", response=response))
    return types.Content(role="user", parts=[part])


def test_a_json_result_is_checked_in_only_one_request(monkeypatch):
    results, contents = JsonResults(), [request_of({"n": 1}), request_of({"day": DAY})]
    first = results.of(contents)
    looked = []
    monkeypatch.setattr(tool_results, "jsonable", lambda value, place: looked.append(value) or jsonable(value, place))

    again = results.of(contents)

    assert looked == [{"day": DAY}]
    assert first[0] is again[0] is contents[0]
    assert again[1].parts[0].function_response.response == {"day": "2026-11-21"}
