"""The content of the pages of templates, and the form that runs one."""

import re

import pytest
from tests.dashboardobjects import DEPTH, REPOSITORY, a_template, condition

from agentjobs.api.fields import DNS_LABEL
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.dashboard.views.run_form import MAX_MESSAGE, empty_form, filled_form
from agentjobs.dashboard.views.templates import template_view

ONCE = "0123456789abcdef"


def a_form(sent, *parameters, **spec):
    view = template_view(a_template(parameters=list(parameters), **spec))
    return filled_form(view, {"once": ONCE, **sent}, "f" * 16)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "The agent reviewer with gemini-flash-latest"),
        ({"agent": {"inline": {"agents": [{}, {}]}}}, "An inline agent and 2 others"),
        ({"agent": {"module": {"ref": "shop.agents:root"}}}, "The module shop.agents:root"),
        ({"agent": {"claudeCode": {}, "model": "opus"}}, "Claude Code with opus"),
        ({"agent": {"container": {}}, "runtime": {"image": "acme/agent:1"}}, "The container acme/agent:1"),
        ({"agent": {"model": "opus"}}, "The agent of each job with opus"),
        ({"agent": "no"}, "The agent of each job"),
    ],
    ids=["inline", "team", "module", "claude", "container", "open", "wrong-type"],
)
def test_the_agent_is_described_in_words(spec, words):
    assert template_view(a_template(**spec)).runs == words


@pytest.mark.parametrize(
    ("template", "word", "usable"),
    [
        pytest.param(a_template(), "Valid", True, id="valid"),
        pytest.param(a_template(conditions=[]), "Not seen", True, id="not-seen"),
        pytest.param(
            a_template(conditions=[condition("Valid", "False", "InvalidSpec")]), "Invalid", False, id="invalid"
        ),
        pytest.param(a_template(parameters="no"), "Valid", False, id="unreadable"),
    ],
)
def test_an_invalid_template_cannot_be_run(template, word, usable):
    view = template_view(template)

    assert (view.state.word, view.usable) == (word, usable)


def test_each_parameter_is_a_field_of_its_kind_with_its_default():
    long = {"name": "text", "default": "two\nlines"}
    form = empty_form(
        template_view(a_template(parameters=[REPOSITORY, DEPTH, {"name": "n", "default": "3"}, long])), ONCE
    )

    told = [(field.label, field.kind, field.value, field.required) for field in form.fields]
    assert told == [
        ("repository", "text", "", True),
        ("depth", "select", "quick", False),
        ("n", "line", "3", False),
        ("text", "text", "two\nlines", False),
    ]


def test_unchanged_fields_are_left_to_the_template():
    form = a_form({"p.repository": "shop", "p.depth": "quick", "p.unknown": "x"}, REPOSITORY, DEPTH)

    assert (form.parameters, form.wrong, form.message) == ({"repository": "shop"}, False, None)


def test_an_emptied_default_is_sent_as_empty():
    form = a_form({"p.n": ""}, {"name": "n", "default": "3"})

    assert form.parameters == {"n": ""}


@pytest.mark.parametrize(
    ("sent", "place", "said"),
    [
        ({"p.repository": ""}, 0, "required"),
        ({}, 0, "required"),
        ({"p.repository": "x" * 4097}, 0, "at most 4,096"),
        ({"p.repository": "shop", "p.depth": "deep"}, 1, "is not allowed"),
    ],
    ids=["empty", "absent", "too-long", "not-in-enum"],
)
def test_a_problem_is_reported_at_its_field_and_entered_values_are_kept(sent, place, said):
    form = a_form(sent, REPOSITORY, DEPTH)

    assert said in form.fields[place].wrong
    assert [field.value for field in form.fields] == [sent.get("p.repository", ""), sent.get("p.depth", "quick")]
    assert [bool(field.wrong) for field in form.fields].count(True) == 1


@pytest.mark.parametrize("message", ["", "  ", "x" * (MAX_MESSAGE + 1)])
def test_a_message_is_requested_if_the_template_has_none(message):
    form = a_form({"message": message}, input={})

    assert (form.fields[-1].label, form.wrong, form.fields[-1].value) == ("Message", True, message)


def test_lines_are_sent_unchanged():
    assert a_form({"message": "one\r\ntwo"}, input={}).message == "one\ntwo"


def test_the_same_form_names_the_same_job_and_another_text_names_another():
    first, again = (a_form({"p.repository": "shop"}, REPOSITORY).job for _ in range(2))

    assert first == again
    assert first != a_form({"p.repository": "other"}, REPOSITORY).job
    assert first != a_form({"p.repository": "shop", "once": "a" * 16}, REPOSITORY).job


@pytest.mark.parametrize("name", ["r", "a.b-" + "c" * 59, "a" * 40 + ".b"])
def test_a_job_has_a_valid_name_for_any_template_name(name):
    job = filled_form(template_view(a_template(name)), {"once": ONCE}, ONCE).job

    assert re.fullmatch(DNS_LABEL, job)
    assert len(job) <= MAX_JOB_NAME


def test_other_settings_of_a_template_are_described_in_words():
    git = {"url": "https://git.example.com/shop.git", "ref": "main"}
    spec = {
        "budget": {"maxCostUSD": "2.5", "maxLLMCalls": 20},
        "workspace": {"git": git},
        "followUps": [{"name": "fix"}],
    }

    facts = dict(template_view(a_template(**spec)).facts)

    assert facts == {
        "Budget": "$2.5, 20 model calls at most",
        "Repository": "https://git.example.com/shop.git at main",
        "Followed by": "fix",
    }
