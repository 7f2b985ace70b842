"""The page of a job in a browser: with and without JavaScript, on a phone, in the dark, by keyboard."""

import json

import httpx
import pytest
from playwright.sync_api import expect
from tests.browserpages import follow, violations
from tests.dashboardjobs import (
    BASE,
    SECOND_START,
    UID,
    a_failed_job,
    a_start,
    a_step,
    a_story,
    an_entry,
    an_object,
    answered,
)

from agentjobs.api.recorded import RecordedEntries, RecordedSteps, StepContent
from agentjobs.api.recorded_overview import ActionDone

PAGE = "/jobs/docs/triage-7"
TABS = ["overview", "transcript", "steps&step=5", "logs", "result", "models", "events", "related", "yaml"]


@pytest.mark.parametrize("show", TABS)
def test_every_tab_is_readable_for_everybody(tab, answers, show):
    a_failed_job(answers)
    tab.goto(f"{PAGE}?show={show}")

    expect(tab.get_by_role("heading", level=1)).to_contain_text("triage-7")
    assert violations(tab) == []


@pytest.mark.parametrize("show", TABS)
def test_every_tab_is_readable_in_the_dark_and_fits_a_phone(browser, site, answers, show):
    a_failed_job(answers)
    context = browser.new_context(base_url=site, viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{PAGE}?show={show}")
    found, width = violations(page), page.evaluate("document.documentElement.scrollWidth")
    context.close()

    assert found == []
    assert width == 390


def test_the_failure_is_understood_without_a_click_or_javascript(plain_tab, answers):
    a_failed_job(answers)
    plain_tab.goto(PAGE)

    expect(plain_tab.get_by_text("the provider refused the key")).to_be_visible()
    expect(plain_tab.get_by_text("The key that the job uses was revoked.")).to_be_visible()
    expect(plain_tab.get_by_text("Triage the issue.")).to_be_visible()


def test_a_job_is_cancelled_after_a_question_without_javascript(plain_tab, answers):
    answered(answers, seen=an_object("Running"))
    answers["POST", f"{BASE}/triage-7/cancel"] = ActionDone(
        namespace="docs", kind="AgentJob", name="triage-7", action="cancel"
    )
    plain_tab.goto(PAGE)
    follow(plain_tab, plain_tab.get_by_role("link", name="Cancel"))
    follow(plain_tab, plain_tab.get_by_role("button", name="Cancel the job"))

    expect(plain_tab.get_by_role("status")).to_contain_text("The job was cancelled")
    assert [one.url.path for one in answers.asked if one.method == "POST"] == [f"{BASE}/triage-7/cancel"]


def test_a_job_runs_again_under_a_name_of_ones_own(tab, answers):
    a_failed_job(answers)
    answers["POST", f"{BASE}/{UID}/rerun"] = ActionDone(
        namespace="docs", kind="AgentJob", name="triage-7", action="rerun", made="triage-8"
    )
    answered(answers, seen=an_object("Queued", name="triage-8", uid="new"), key="triage-8")
    tab.goto(PAGE)
    tab.get_by_placeholder("a new name").fill("triage-8")
    follow(tab, tab.get_by_role("button", name="Run again"), key="Enter")

    expect(tab.get_by_role("heading", level=1)).to_contain_text("triage-8")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_form_of_a_changed_rerun_is_readable_for_everybody(browser, site, answers, scheme, width):
    a_failed_job(answers)
    with browser.new_context(base_url=site, viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(f"{PAGE}/again")

        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_job_runs_again_with_another_message_without_javascript(plain_tab, answers):
    a_failed_job(answers)
    for end in ("", "/object"):
        answers[f"{BASE}/{UID}{end}"] = answers.by_path[f"{BASE}/triage-7{end}"]
    answers["POST", f"{BASE}/{UID}/rerun"] = ActionDone(
        namespace="docs", kind="AgentJob", name="triage-7", action="rerun", made="triage-8"
    )
    answered(answers, seen=an_object("Queued", name="triage-8", uid="new"), key="triage-8")
    plain_tab.goto(PAGE)
    follow(plain_tab, plain_tab.get_by_role("link", name="Run again with changes"))
    expect(plain_tab.get_by_label("Message")).to_have_value("Triage the issue.")
    plain_tab.get_by_label("Message").fill("Triage\nboth issues.")
    follow(plain_tab, plain_tab.get_by_role("button", name="Run again"), key="Enter")

    expect(plain_tab.get_by_role("heading", level=1)).to_contain_text("triage-8")
    (sent,) = [json.loads(one.content) for one in answers.asked if one.method == "POST"]
    assert {key: value for key, value in sent.items() if key != "name"} == {"message": "Triage\nboth issues."}


def test_a_start_is_looked_at_from_the_timeline_and_back(tab, answers):
    a_failed_job(answers)
    tab.goto(PAGE)
    follow(tab, tab.get_by_role("link", name="Zoom to start 2"))
    expect(tab.get_by_role("link", name="Zoom to start 1")).to_have_count(0)
    follow(tab, tab.get_by_role("link", name="Show the whole timeline"))

    expect(tab.get_by_role("link", name="Zoom to start 1")).to_have_count(1)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("?show=steps&step=2#step-2", "#step-2"),
        ("?show=logs&log=2#at-18e9bf11a5bf9a03", "#at-18e9bf11a5bf9a03"),
        ("?show=transcript#entry-2-5", "#entry-2-5"),
    ],
)
def test_a_link_leads_to_a_step_a_line_or_an_entry(tab, answers, address, shown):
    a_failed_job(answers)
    tab.goto(PAGE + address)

    expect(tab.locator(f"{shown}:target")).to_be_visible()


def test_a_step_leads_from_the_timeline_to_its_arguments_and_its_call(plain_tab, answers):
    base = a_failed_job(answers)
    step = a_step(2, SECOND_START + 5, SECOND_START + 6, kind="tool", name="search", start=2)
    answers[f"{base}/steps"] = RecordedSteps(items=[step], cursor=None)
    answers[f"{base}/steps/2"] = StepContent(step=step, request={"id": "c1"}, body=None)
    plain_tab.goto(PAGE)
    follow(plain_tab, plain_tab.get_by_role("link", name="Step 2, tool"))
    arguments = plain_tab.get_by_text('"query": "heat pumps"')
    expect(arguments).to_be_hidden()
    plain_tab.get_by_text("Arguments").click()
    expect(arguments).to_be_visible()
    follow(plain_tab, plain_tab.get_by_role("link", name="Its call in the transcript"))

    expect(plain_tab.locator("#entry-2-3:target")).to_be_visible()


def test_the_arguments_of_a_step_are_readable_for_everybody(tab, answers):
    a_failed_job(answers)
    tab.goto(f"{PAGE}?show=steps&step=5")
    tab.get_by_text("Arguments").click()

    expect(tab.get_by_text('"query": "heat pumps"')).to_be_visible()
    assert violations(tab) == []


def test_tools_arguments_are_folded_and_open_by_keyboard(tab, answers):
    a_failed_job(answers)
    tab.goto(f"{PAGE}?show=transcript")
    arguments = tab.get_by_text('"query": "heat pumps"')
    expect(arguments).to_be_hidden()
    tab.get_by_text("calls search").focus()
    tab.keyboard.press("Enter")

    expect(arguments).to_be_visible()


def test_scripts_of_models_do_not_run_and_their_links_lead_nowhere(tab, answers):
    text = (
        '<script>document.title="owned"</script><img src=x onerror="document.title=1">[a](javascript:document.title=2)'
    )
    answered(answers, a_story(a_start()), seen=an_object(), entries=[an_entry(1, "text", {"text": text})])
    tab.goto(f"{PAGE}?show=transcript")

    article = tab.locator("#entry-1-1")
    expect(article.get_by_text("<script>")).to_be_visible()
    expect(article.locator(".prose a, .prose img, .prose script")).to_have_count(0)
    assert "owned" not in tab.title()


def test_a_line_of_a_megabyte_does_not_widen_the_page(tab, answers):
    base = answered(answers, a_story(a_start()), seen=an_object())
    answers[f"{base}/events"] = {"items": [], "cursor": None}
    answers[f"{base}/logs"] = httpx.Response(200, text="x" * 1_000_000)
    tab.goto(f"{PAGE}?show=logs")

    assert tab.evaluate("document.documentElement.scrollWidth") == 1280
    expect(tab.get_by_text("998,000 more characters")).to_be_visible()


@pytest.fixture
def live_tab(browser, site):
    """A page that is told again and again that something changed; each connection ends, of which htmx complains."""
    context = browser.new_context(base_url=site)
    page = context.new_page()
    told = {"content_type": "text/event-stream", "body": "retry: 200\nevent: change\ndata: {}\n\n"}
    page.route("**/v1/changes*", lambda route: route.fulfill(**told))
    yield page
    context.close()


def test_a_job_that_is_deleted_while_looked_at_says_so(live_tab, answers):
    answered(answers, a_story(a_start(ended=None), phase="Running", finished=None), seen=an_object("Running"))
    live_tab.goto(PAGE)
    expect(live_tab.get_by_text("Running for")).to_be_visible()

    del answers.by_path[f"{BASE}/triage-7/object"]

    live_tab.get_by_text("Its object was deleted from the cluster").wait_for()


def test_what_a_reader_has_opened_stays_open_when_more_is_told(live_tab, answers):
    base = a_failed_job(answers)
    told = answers.by_path[f"{base}/events"].items
    answers[f"{base}/object"] = an_object("Running")
    live_tab.goto(f"{PAGE}?show=transcript")
    live_tab.get_by_text("calls search").click()

    more = an_entry(8, "text", {"text": "One more thing."}, start=2)
    answers[f"{base}/events"] = RecordedEntries(items=[*told, more], cursor=None)
    live_tab.get_by_text("One more thing.").wait_for()

    expect(live_tab.get_by_text('"query": "heat pumps"')).to_be_visible()
