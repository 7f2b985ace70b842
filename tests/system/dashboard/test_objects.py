"""Queues, schedules, templates, models, installation and actions in a browser, with and without JavaScript."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect
from tests.browserpages import follow, violations
from tests.dashboardobjects import (
    DEPTH,
    HOSTILE,
    PAGES,
    REPOSITORY,
    SHOP,
    a_job,
    a_key,
    a_limit,
    a_page,
    a_process,
    a_provider,
    a_queue,
    a_schedule,
    a_template,
    an_action,
    an_installation,
    condition,
    models_seen,
    serve_models,
)

from agentjobs.api.recorded_models import ClosedKey
from agentjobs.api.recorded_overview import (
    ActionDone,
    OpenCounts,
    QueueList,
    RecordedActions,
    ScheduleList,
    TemplateList,
)

BUDGET = {"name": "day", "period": "Daily", "maxCostUSD": "20"}


@pytest.fixture(autouse=True)
def objects(answers):
    """One of each kind, with a hostile job, and what is done to them."""
    now = datetime.now(UTC)
    limited = [condition("Open", "True", "Open"), condition("Limited", "True", "RateLimit", HOSTILE)]
    queue = a_queue(spec={"budgets": [BUDGET]}, conditions=limited, phases={"Running": 2, "Queued": 9})
    schedule = a_schedule(following=[now + timedelta(days=day) for day in range(5)], jitter="5m")
    template = a_template(parameters=[REPOSITORY, DEPTH], locked=["output"])
    answers["/v1/namespaces"] = SHOP
    answers["/v1/counts"] = OpenCounts(items=[])
    answers["/v1/agentjobs"] = a_page(
        a_job("waits", message=HOSTILE), a_job("broke", phase="Failed", reason="AgentError")
    )
    answers["/v1/changes"] = ""
    closed = [ClosedKey(model="", reason=HOSTILE, until=now + timedelta(minutes=5))]
    serve_models(answers, models_seen(a_provider(a_key(limits=[a_limit("g * r", "requests", 60)], closed=closed))))
    answers["/v1/installation"] = an_installation(a_process("operator", leads=True), a_process("gateway", version="2"))
    answers["/v1/actions"] = RecordedActions(items=[an_action("AgentJob", "cancel", "x", message=HOSTILE)], cursor="c")
    for kind, seen, listed in (
        ("queues", queue, QueueList),
        ("schedules", schedule, ScheduleList),
        ("templates", template, TemplateList),
    ):
        answers[f"/v1/namespaces/shop/{kind}"] = listed(items=[seen])
        answers[f"/v1/namespaces/shop/{kind}/{seen.name}"] = seen
    for path in ("queues/agents/pause", "queues/agents/drain", "queues/agents/scale", "schedules/brief/suspend"):
        answers["POST", f"/v1/namespaces/shop/{path}"] = ActionDone(namespace="shop", kind="", name="", action="")


def orders(answers):
    return [(one.url.path.rpartition("/")[2], json.loads(one.content)) for one in answers.asked if one.method == "POST"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_readable_for_everybody(tab, path):
    tab.goto(path)

    assert violations(tab) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_readable_in_the_dark(tab, path):
    tab.emulate_media(color_scheme="dark")
    tab.goto(path)

    assert violations(tab) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone(plain_tab, path):
    plain_tab.set_viewport_size({"width": 390, "height": 800})
    plain_tab.goto(path)

    assert plain_tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_queue_is_paused_without_javascript(plain_tab, answers):
    plain_tab.goto("/queues")
    follow(plain_tab, plain_tab.get_by_role("link", name="agents"))
    follow(plain_tab, plain_tab.get_by_role("button", name="Pause"))

    expect(plain_tab.get_by_role("status")).to_contain_text("The queue is paused.")
    assert orders(answers) == [("pause", {})]


def test_an_open_queue_follows_what_happens_and_keeps_what_is_typed(tab, answers):
    tab.goto("/queues/shop/agents")
    field = tab.get_by_label("Limit of jobs")
    field.fill("7")
    field.blur()

    answers["/v1/namespaces/shop/queues/agents"] = a_queue(spec={"stopPolicy": "Hold"})
    tab.evaluate("htmx.trigger('#main', 'refresh')")
    tab.get_by_text("Held", exact=True).wait_for()

    expect(field).to_have_value("7")
    expect(tab.get_by_role("button", name="Resume")).to_be_visible()


def test_a_form_that_is_filled_in_is_left_alone_by_a_refresh(tab, answers):
    tab.goto("/templates/shop/review")
    tab.get_by_label("repository").fill("shop")
    tab.get_by_label("depth").select_option("thorough")
    tab.get_by_label("repository").blur()

    answers["/v1/agentjobs"] = a_page(a_job("new", phase="Running"))
    tab.evaluate("htmx.trigger('#main', 'refresh')")
    tab.get_by_role("link", name="new").wait_for()

    expect(tab.get_by_label("repository")).to_have_value("shop")
    expect(tab.get_by_label("depth")).to_have_value("thorough")


def test_draining_takes_a_second_click(tab, answers):
    tab.goto("/queues/shop/agents")
    follow(tab, tab.get_by_role("link", name="Drain"))
    assert orders(answers) == []
    follow(tab, tab.get_by_role("button", name="Drain the queue"))

    expect(tab.get_by_role("status")).to_contain_text("The queue is draining.")
    assert orders(answers) == [("drain", {})]


def test_a_limit_that_is_none_is_told_beside_its_field(plain_tab, answers):
    plain_tab.goto("/queues/shop/agents")
    field = plain_tab.get_by_label("Limit of jobs")
    field.fill("many")
    follow(plain_tab, plain_tab.get_by_role("button", name="Change the limit"))

    assert (field.input_value(), field.get_attribute("aria-invalid"), orders(answers)) == ("many", "true", [])
    field.fill("4")
    follow(plain_tab, plain_tab.get_by_role("button", name="Change the limit"))
    assert orders(answers) == [("scale", {"max": 4})]


def test_a_schedule_is_suspended_by_keyboard(tab, answers):
    tab.goto("/schedules/shop/brief")
    tab.get_by_role("button", name="Suspend").focus()
    tab.keyboard.press("Enter")

    expect(tab.get_by_role("status")).to_contain_text("The schedule is suspended.")
    assert orders(answers) == [("suspend", {})]


@pytest.mark.parametrize("javascript", [True, False])
def test_a_template_is_run_with_its_form_and_leads_to_the_job(browser, site, answers, javascript):
    answers["POST", "/v1/namespaces/shop/templates/review/run"] = lambda asked: ActionDone(
        namespace="shop", kind="AgentTemplate", name="review", action="run", made=json.loads(asked.content)["name"]
    )
    with browser.new_context(base_url=site, java_script_enabled=javascript) as context:
        page = context.new_page()
        page.goto("/templates/shop/review")
        page.get_by_label("repository").fill("shop")
        page.get_by_label("depth").select_option("thorough")
        follow(page, page.get_by_role("button", name="Run"))
        reached = page.url

    ((_, order),) = orders(answers)
    assert order["parameters"] == {"repository": "shop", "depth": "thorough"}
    assert reached.endswith(f"/jobs/shop/{order['name']}")
