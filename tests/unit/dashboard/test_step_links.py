"""A tool's step and its call in the transcript lead to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dashboardjobs import a_step, an_entry

from agentjobs.api.recorded import StepContent
from agentjobs.dashboard.views.step_links import call_of, digest, nearest_to, step_of
from agentjobs_runner.adk.requests import of_tool_call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEAT, COLD = {"query": "heat pumps"}, {"query": "cold pumps"}


def asking(seq, *calls, seconds=3.0):
    listed = [{"name": name, "callId": call_id, "args": args} for name, call_id, args in calls]
    return an_entry(seq, "model", {"toolCalls": listed}, seconds=seconds)


def a_tool(n, key, request, began=4.0, name="search"):
    return StepContent(step=a_step(n, began, kind="tool", name=name, key=key), request=request, body=None)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_digest_of_arguments_equals_that_of_the_runner(args):
    assert digest(args) == of_tool_call(args)["args"]


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        pytest.param(f"|app@1|triage#1/2 search {digest(COLD)}", {"args": digest(COLD)}, id="adk"),
        pytest.param("1/c2#2", {"id": "c2"}, id="claude-code"),
    ],
)
def test_a_call_and_its_step_are_found_among_others(key, request_):
    entry = asking(3, ("search", "c1", HEAT), ("search", "c2", COLD), ("read", "c3", COLD))
    content = a_tool(2, key, request_)
    others = [a_step(1), a_step(3, 4.0, kind="tool", name="search", key=f"|x#1/1 search {digest(HEAT)}")]

    assert call_of(content, [asking(1, ("search", "c0", HEAT)), entry]) == (entry, 1)
    assert step_of(entry, 1, [*others, content.step]) == content.step


def test_a_step_is_not_linked_to_a_call_after_its_beginning():
    step = a_tool(2, f"|x#1/1 search {digest(HEAT)}", {"args": digest(HEAT)}, 4.0)

    assert call_of(step, [asking(9, ("search", "c9", HEAT), seconds=50.0)]) is None


def test_each_of_two_equal_calls_in_an_entry_has_its_own_step():
    entry = asking(3, ("search", "c1", HEAT), ("search", "c2", HEAT))
    steps = [a_tool(n, f"|x#{n}/1 search {digest(HEAT)}", {}, 4.0).step for n in (2, 3)]

    assert [step_of(entry, place, steps).n for place in (0, 1)] == [2, 3]
    assert step_of(entry, 1, steps[:1]) is None


def test_the_nearest_in_time_of_equal_calls_is_found():
    early, late = asking(1, ("search", "c1", HEAT), seconds=3.0), asking(9, ("search", "c1", HEAT), seconds=50.0)
    steps = [
        a_tool(n, f"|x#{n}/1 search {digest(HEAT)}", {"args": digest(HEAT)}, began)
        for n, began in ((2, 4.0), (7, 51.0))
    ]

    assert [call_of(one, [early, late]) for one in steps] == [(early, 0), (late, 0)]
    assert [step_of(one, 0, [each.step for each in steps]).n for one in (early, late)] == [2, 7]


def test_a_models_step_links_to_its_answer():
    entries = [
        asking(1, seconds=3.0),
        an_entry(2, "tool", {}, seconds=5.0),
        asking(3, seconds=9.1),
        asking(4, seconds=20),
    ]

    assert nearest_to(a_step(3, 5.0, 9.0), entries).seq == 3
    assert nearest_to(a_step(3, 5.0, 9.0), entries[1:2]).seq == 2
    assert nearest_to(a_step(3, 5.0, 9.0, kind="node"), entries).seq == 2


@pytest.mark.parametrize("calls", [None, "x", [1, None], [{}], [{"name": "search", "callId": "", "args": 3}]])
def test_a_missing_call_is_not_found(calls):
    entry = an_entry(1, "model", {"toolCalls": calls})
    content = a_tool(1, "triage:1", {"id": ""})

    assert call_of(content, [entry]) is None
    assert step_of(entry, 0, [content.step]) is None
