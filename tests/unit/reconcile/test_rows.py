"""What a status keeps of an answer, whatever a model wrote."""

import json

import pytest

from agentjobs.core.observation import parse_job
from agentjobs.reconcile.rows import preview

JOB = parse_job({"metadata": {"namespace": "default", "name": "hello", "uid": "u", "resourceVersion": "1"}})


def previewed(structured):
    return preview(JOB, "", {"text": "{}", "structured": structured, "usage": {}})


@pytest.mark.parametrize(
    ("structured", "shown"),
    [
        pytest.param({"n": 10**400, "m": [2**63, -(2**63)]}, {"m": [None, None]}, id="numbers-of-any-length"),
        pytest.param({"fix": None, "why": {"a": None, "b": 1}}, {"why": {"b": 1}}, id="null-removes-in-a-patch"),
        pytest.param({"long": "x" * 5000}, None, id="longer-than-a-status"),
    ],
)
def test_what_a_status_cannot_hold_is_left_out_and_that_is_said(structured, shown):
    found = previewed(structured)

    assert (found.structured, found.truncated) == (shown, True)
    json.dumps(found.structured, allow_nan=False)


@pytest.mark.parametrize("structured", [None, {}, {"n": 2**63 - 1, "f": 1e300, "l": [None, True], "o": {"a": "ü"}}])
def test_a_small_answer_is_shown_whole(structured):
    found = previewed(structured)

    assert (found.structured, found.truncated) == (structured, False)
