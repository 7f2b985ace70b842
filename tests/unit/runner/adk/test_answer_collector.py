"""The answer of events, without a run of ADK: every order in which the parts of a team may speak."""

import itertools

from google.adk.events.event import Event, NodeInfo
from google.genai import types
from hypothesis import given as drawn
from hypothesis import strategies as st

from agentjobs_runner.adk.agent_tree import Kind, Part
from agentjobs_runner.adk.answer import Answer, AnswerCollector


async def test_the_error_for_an_answer_without_text_names_its_content():
    answer = AnswerCollector(Part("one", Kind.AGENT))
    picture = types.Part(inline_data=types.Blob(data=b"x", mime_type="image/png"))
    answer.see(Event(author="one", content=types.Content(role="model", parts=[picture])))

    ending = answer.answer()

    assert (ending.verdict, ending.reason) == ("Fail", "ResultError")
    assert "image/png" in ending.message


def test_a_request_for_credentials_names_the_tool_that_the_author_knows():
    answer = AnswerCollector(Part("one", Kind.AGENT))
    for name, id_, args in (("invoices", "1", {}), ("adk_request_credential", "2", {"functionCallId": "1"})):
        part = types.Part(function_call=types.FunctionCall(id=id_, name=name, args=args))
        answer.see(Event(author="one", content=types.Content(parts=[part]), long_running_tool_ids={"2"}))

    assert "tool invoices requests credentials" in answer.failure().message


names = itertools.count()


def parts(depth=3):
    leaf = st.builds(lambda: Part(f"a{next(names)}", Kind.AGENT))
    kinds = st.sampled_from([Kind.IN_TURN, Kind.PARALLEL])
    grown = lambda inner: st.builds(  # noqa: E731  a strategy, not a function to call
        lambda kind, members: Part(f"t{next(names)}", kind, tuple(members)),
        kinds,
        st.lists(inner, min_size=1, max_size=3),
    )
    return st.recursive(leaf, grown, max_leaves=6)


def heard(team, authors):
    answer = AnswerCollector(team)
    for author in authors:
        answer.see(Event(author=author, content=types.Content(role="model", parts=[types.Part(text=author)])))
    return answer


@drawn(parts(), st.data())
def test_branches_are_in_the_order_of_their_definition_regardless_of_their_ends(team, data):
    leaves = [part.name for part in team.all() if part.kind is Kind.AGENT]
    found = heard(team, data.draw(st.permutations(leaves))).answer()

    said = found.value.split("\n\n")
    assert said == [name for name in leaves if name in said]


@drawn(parts(), st.data())
def test_teams_without_branches_answer_with_their_newest_text(team, data):
    leaves = [part.name for part in team.all() if part.kind is Kind.AGENT]
    order = data.draw(st.permutations(leaves))
    found = heard(team, order).answer()

    assert order[-1] in found.value.split("\n\n")
    if all(part.kind is not Kind.PARALLEL for part in team.all()):
        assert found == Answer(len(order), order[-1])


@drawn(parts(), st.data())
def test_the_last_error_of_a_member_is_not_hidden_by_texts_of_others(team, data):
    leaves = [part.name for part in team.all() if part.kind is Kind.AGENT]
    broken = data.draw(st.sampled_from(leaves))
    answer = heard(team, [broken])
    answer.see(Event(author=broken, error_code="SAFETY"))
    for name in data.draw(st.permutations([name for name in leaves if name != broken])):
        answer.see(Event(author=name, content=types.Content(role="model", parts=[types.Part(text=name)])))

    assert answer.failure().reason == "ContentBlocked"


@drawn(parts(), st.lists(st.sampled_from(["one@1", "two@x"]), min_size=1, max_size=3))
def test_an_error_of_a_called_agent_belongs_to_its_caller(team, branches):
    answer = AnswerCollector(team)
    for branch in branches:
        answer.see(Event(author="helper", branch=branch, error_code="SAFETY", node_info=NodeInfo(path="x@1/helper@1")))

    assert answer.failure() is None
