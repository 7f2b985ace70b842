"""What tools return, as JSON."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid

import pydantic
import pytest

from agentjobs_runner.adk.tool_results import NotJson, jsonable


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
def test_what_has_a_plain_form_gets_it(value, plain):
    assert jsonable(value, ()) == plain
    json.dumps(plain, allow_nan=False).encode()


def test_what_is_json_stays_the_same_object():
    value = {"rows": [1, 2.5, None, True, "caf\u00e9", {"x": []}]}
    assert jsonable(value, ()) is value


def circle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [object(), print, circle(), [Point(object())]], ids=["object", "function", "circle", "in"]
)
def test_what_has_none_is_refused_with_its_place(value):
    with pytest.raises(NotJson) as refused:
        jsonable({"rows": [value]}, ())
    assert refused.value.place.startswith("rows.0")
