"""Problems of follow-ups are reported before the job runs, not when it has ended."""

import pytest

from agentjobs.api.job.validation import validate_job


def problems(*follow_ups, **fields):
    spec = {
        **fields,
        "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
        "input": {"message": "Say hello."},
        "followUps": [{"templateRef": {"name": "t"}, **one} for one in follow_ups],
    }
    return [(one.field, one.reason) for one in validate_job({"metadata": {"name": "hello", "uid": "u"}, "spec": spec})]


def message(text, **fields):
    return {"name": "next", "input": {"message": text}, **fields}


@pytest.mark.parametrize(
    "text",
    [
        "$(result)",
        "$(result.a.0.b)",
        "$(parent.name) $(parent.uid) $(parent.phase) $(parent.outcome) $(parent.summary) $(parent.reason)",
        "$(job.name)",
        "$$(whatever)",
    ],
)
def test_names_that_have_a_value_when_the_job_has_ended_are_accepted(text):
    assert problems(message(text)) == []


def test_items_and_results_are_accepted_where_they_exist():
    work = message("$(item) $(item.title) $(index)", forEach="$(result.steps)")
    review = {"name": "review", "after": ["next"], "input": {"message": "$(after.results)"}}
    assert problems(work, review) == []


@pytest.mark.parametrize(
    "text",
    [
        "$(item)",
        "$(index)",
        "$(parent.spec)",
        "$(parent)",
        "$(after.results)",
        "$(after.other.x)",
        "$(result.)",
        "$(result.a..b)",
        "$(nobody)",
    ],
)
def test_names_without_a_value_are_refused(text):
    assert problems(message(text)) == [("spec.followUps[0].input.message", "UnresolvedReference")]


def test_results_of_others_are_accepted_only_in_messages():
    work, review = message("x"), {"name": "review", "after": ["next"], "parameters": {"p": "$(after.results)"}}
    assert problems(work, review) == [("spec.followUps[1].parameters.p", "UnresolvedReference")]


@pytest.mark.parametrize(
    ("follow_ups", "field"),
    [
        pytest.param([{"name": "a"}, {"name": "a"}], "followUps[1].name", id="a name twice"),
        pytest.param([{"name": "a", "after": ["a"]}], "followUps[0].after[0]", id="itself"),
        pytest.param([{"name": "a", "after": ["b"]}, {"name": "b"}], "followUps[0].after[0]", id="a later one"),
        pytest.param([{"name": "a", "forEach": "steps"}], "followUps[0].forEach", id="no name"),
        pytest.param([{"name": "a", "forEach": "$(result.a) x"}], "followUps[0].forEach", id="more than a name"),
        pytest.param([{"name": "a", "forEach": "$(parent.name)"}], "followUps[0].forEach", id="no list of the answer"),
    ],
)
def test_order_and_lists_are_checked(follow_ups, field):
    assert (f"spec.{field}", "InvalidSpec") in problems(*follow_ups)


@pytest.mark.parametrize(
    ("worktree", "expected"),
    [
        ({"mode": "Named", "name": "issue-87"}, []),
        ({"mode": "Ephemeral"}, [("spec.followUps[0].inherit", "InvalidSpec")]),
        ({}, [("spec.followUps[0].inherit", "InvalidSpec")]),
    ],
)
def test_only_a_worktree_that_outlives_the_job_is_inherited(worktree, expected):
    workspace = {"git": {"url": "https://git.example.com/shop.git"}, "worktree": worktree}
    assert problems({"name": "next", "inherit": ["Workspace"]}, workspace=workspace) == expected
