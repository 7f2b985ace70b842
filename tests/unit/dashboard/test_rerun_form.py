"""The form that runs a job again with changes, and its page."""

import json

import pytest
from tests.dashboardjobs import BASE, UID, a_failed_job, a_start, a_story, an_object, answered
from tests.dashboardobjects import DEPTH, HOSTILE, REPOSITORY, a_template
from tests.dashboardpages import SIGNED, refusal

from agentjobs.api.recorded import RecordedSpec
from agentjobs.dashboard.views.rerun_form import Old, rerun_form
from agentjobs.dashboard.views.templates import template_view

PAGE = "/jobs/docs/triage-7/again"
ONCE = "0123456789abcdef"
SPEC = {"agent": {"model": "m", "inline": {}}, "input": {"message": "one\r\ntwo"}, "retry": {"maxAttempts": 2}}
OF_TEMPLATE = {"templateRef": {"name": "review"}, "parameters": {"repository": "shop"}}
REVIEW = template_view(a_template(parameters=[REPOSITORY, DEPTH], locked=["retry"]))
BUDGETED = {**SPEC, "budget": {"maxTokens": 7}}
COST = "budget.maxCostUSD"
MESSAGE_FROM = {"input": {"messageFrom": {"configMapKeyRef": {"name": "texts", "key": "k"}}}}


def sent(old, **typed):
    shown = rerun_form(old, "hello", ONCE)
    return rerun_form(old, "hello", "x", {field.name: field.value for field in shown.fields} | {"once": ONCE} | typed)


def wrong(form):
    return [field.name for field in form.fields if field.wrong]


@pytest.mark.parametrize(
    ("old", "values"),
    [
        (Old(SPEC), {"message": "one\ntwo", "model": "m", "maxAttempts": "2", COST: ""}),
        (Old(OF_TEMPLATE, REVIEW), {"p.repository": "shop", "p.depth": "quick", "model": "", COST: ""}),
        (Old(OF_TEMPLATE), {"p.repository": "shop", "model": "", "maxAttempts": "", COST: ""}),
        (Old({**SPEC, **MESSAGE_FROM}), {"message": "", "model": "m", "maxAttempts": "2", COST: ""}),
        (Old({"input": {"message": "x" * 70_000}}), {"message": "", "model": "", "maxAttempts": "", COST: ""}),
        (
            Old({**SPEC, "budget": {"maxLLMCalls": 9, "maxCostUSD": "2.50", "onExceeded": "Suspend"}}),
            {"message": "one\ntwo", "model": "m", "maxAttempts": "2", COST: "2.50", "budget.maxLLMCalls": "9"},
        ),
    ],
    ids=["plain", "template", "unreadable-template", "config-map", "long-message", "budget"],
)
def test_the_form_has_the_old_values_and_sends_only_edited_ones(old, values):
    form = rerun_form(old, "hello", ONCE)

    assert {field.name: field.value for field in form.fields} == values
    assert (list(sent(old).body), wrong(sent(old))) == (["name"], [])


@pytest.mark.parametrize(
    ("old", "typed", "changed"),
    [
        (Old(SPEC), {"message": "one\r\nthree"}, {"message": "one\nthree"}),
        (Old(SPEC), {"model": " n ", "maxAttempts": "1"}, {"model": "n", "maxAttempts": 1}),
        (Old(BUDGETED), {COST: "2.50", "budget.maxTokens": "8"}, {"budget": {"maxCostUSD": "2.50", "maxTokens": 8}}),
        (Old(SPEC), {"budget.maxTurns": "8"}, {}),
        (Old(OF_TEMPLATE, REVIEW), {"p.depth": "thorough"}, {"parameters": {"depth": "thorough"}}),
        (Old(OF_TEMPLATE), {"p.repository": "other"}, {"parameters": {"repository": "other"}}),
        (Old({**SPEC, **MESSAGE_FROM}), {"message": "hi"}, {"message": "hi"}),
        (Old(OF_TEMPLATE, REVIEW), {"message": "x", "maxAttempts": "9", "p.other": "x"}, {}),
    ],
    ids=[
        "message",
        "model-and-attempts",
        "budget",
        "no-such-limit",
        "parameter",
        "unreadable-template",
        "config-map",
        "no-such-fields",
    ],
)
def test_edited_values_are_sent(old, typed, changed):
    body = dict(sent(old, **typed).body)

    assert body.pop("name").startswith("hello-")
    assert body == changed


@pytest.mark.parametrize(
    ("old", "typed"),
    [
        (Old(SPEC), {"message": " "}),
        (Old(SPEC), {"message": "x" * 65_537}),
        (Old(SPEC), {"model": ""}),
        (Old(SPEC), {"maxAttempts": "\u00b2"}),
        (Old(SPEC), {"maxAttempts": "101"}),
        (Old(OF_TEMPLATE, REVIEW), {"p.depth": "none"}),
        (Old(SPEC), {COST: "0"}),
        (Old(BUDGETED), {"budget.maxTokens": ""}),
        (Old(BUDGETED), {"budget.maxTokens": "1e3"}),
    ],
    ids=["empty", "long", "no-model", "other-digits", "too-many", "not-in-the-list", "cost", "no-limit", "no-number"],
)
def test_a_problem_is_reported_at_its_field(old, typed):
    assert wrong(sent(old, **typed)) == list(typed)


def test_a_browser_does_not_cut_a_number_to_an_allowed_one():
    fields = {field.name: field for field in rerun_form(Old(BUDGETED), "hello", ONCE).fields}

    assert min(fields[name].most for name in ("maxAttempts", COST, "budget.maxTokens")) > len("1.0000000000000000")


def test_a_job_without_the_message_that_its_template_requires_has_a_field_for_it():
    needs = template_view(a_template(parameters=[REPOSITORY], input={}))

    assert sent(Old(OF_TEMPLATE, needs), message="hi").body["message"] == "hi"


def test_the_same_form_names_the_same_job_and_another_value_names_another():
    names = [sent(Old(SPEC), **typed).body["name"] for typed in ({"model": "n"}, {"model": "n"}, {"model": "o"})]

    assert (names[0] == names[1], names[1] == names[2]) == (True, False)


async def test_an_ended_job_links_to_the_filled_form_and_the_form_redirects_to_the_new_job(pages, answers):
    a_failed_job(answers)
    made = {"namespace": "docs", "kind": "AgentJob", "name": "triage-7", "action": "rerun", "made": "triage-8"}
    for end in ("", "/object"):
        answers[f"{BASE}/{UID}{end}"] = answers.by_path[f"{BASE}/triage-7{end}"]
    answers[f"{BASE}/{UID}/rerun"] = made
    assert f'href="{PAGE}"' in (await pages.get("/jobs/docs/triage-7")).text
    form = (await pages.get(PAGE)).text
    page = await pages.post(PAGE, data={**SIGNED, "uid": UID, "once": ONCE, "message": "Try <b>again</b>."})

    assert "Triage the issue.</textarea>" in form
    assert (page.status_code, page.headers["location"]) == (303, "/jobs/docs/triage-8?done=rerun")
    assert json.loads(answers.asked[-1].content)["message"] == "Try <b>again</b>."


async def test_a_refusal_keeps_the_entered_values(pages, answers):
    a_failed_job(answers)
    answers[f"{BASE}/triage-7/rerun"] = refusal(400, "BadRequest", "spec.input.message: <b> cannot be set")
    page = await pages.post(PAGE, data={**SIGNED, "once": ONCE, "message": "</textarea>" + HOSTILE})

    assert (page.status_code, page.text.count("</textarea>"), "<script>alert" in page.text) == (400, 1, False)
    assert "message: &lt;b&gt; cannot" in page.text
    assert f'value="{ONCE}"' in page.text


async def test_the_form_of_a_deleted_job_is_filled_from_history(pages, answers):
    answered(answers, a_story(a_start(), phase="Failed"))
    answers[f"{BASE}/triage-7/spec"] = RecordedSpec(
        uid=UID, name="triage-7", spec={"input": {"message": "$(x)"}, "session": {"appName": "a"}}
    )

    assert "$$(x)</textarea>" in (await pages.get(PAGE)).text


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_without_a_spec_there_is_no_form(pages, answers, status):
    answered(answers, a_story(a_start(), phase="Failed"))
    answers[f"{BASE}/triage-7/spec"] = refusal(status, "Refused", "no")
    page = await pages.get(PAGE)

    assert (page.status_code, "<textarea" in page.text) == (status, False)


async def test_a_rerun_is_of_the_job_with_the_uid_and_not_of_a_later_one_of_its_name(pages, answers):
    labels = {"agentjobs.dev/rerun-of": "first", "agentjobs.dev/rerun-of-uid": "u0"}
    answered(answers, a_story(a_start()), seen=an_object(labels=labels))
    page = (await pages.get("/jobs/docs/triage-7")).text

    assert '<dt>Rerun of</dt><dd><a href="/jobs/docs/u0"><bdi>first</bdi></a>' in page
    assert "label=agentjobs.dev%2Frerun-of-uid%3D" in (await pages.get("/jobs/docs/triage-7?show=related")).text


async def test_a_rerun_shows_its_origin_and_what_was_changed(pages, answers):
    labels = {"agentjobs.dev/rerun-of": "first", "agentjobs.dev/rerun-changes": "input.message_<b>"}
    answered(answers, a_story(a_start()), seen=an_object(labels=labels))
    page = (await pages.get("/jobs/docs/triage-7")).text

    assert 'href="/jobs/docs/first"' in page
    assert "<code>input.message</code>, <code>&lt;b&gt;</code>" in page
