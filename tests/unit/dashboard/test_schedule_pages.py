"""The pages of schedules."""

import html
import json
import re

import pytest
import yaml
from tests.dashboardobjects import HOSTILE, NOON, SHOP, a_job, a_schedule, condition, serve_schedule
from tests.dashboardpages import SIGNED, refusal

from agentjobs.api.recorded_overview import ActionDone, ScheduleList
from agentjobs.api.schedule.validation import validate_schedule

PAGE = "/schedules/shop/brief"
REST = "/v1/namespaces/shop/schedules/brief"


def done(action, made=None):
    return ActionDone(namespace="shop", kind="AgentSchedule", name="brief", action=action, made=made)


async def test_schedules_are_listed_with_state_and_next_time(answers, pages):
    answers["/v1/namespaces"] = SHOP
    answers["/v1/namespaces/shop/schedules"] = ScheduleList(items=[a_schedule(following=[NOON])])

    page = await pages.get("/schedules?namespace=shop")

    assert 'href="/schedules/shop/brief"' in page.text
    assert "Wed 2026-11-25 13:00 CET" in page.text
    assert "30 6 * * 1-5" in page.text


async def test_without_schedules_the_page_has_an_example_to_create(answers, pages):
    answers["/v1/namespaces"] = SHOP
    answers["/v1/namespaces/shop/schedules"] = ScheduleList(items=[])

    page = await pages.get("/schedules?namespace=shop")

    shown = html.unescape(re.search(r"<pre.*?>kubectl apply -n shop -f - .*?\n(.*)END</pre>", page.text, re.DOTALL)[1])
    assert validate_schedule(yaml.safe_load(shown)) == []
    assert "No schedules in shop" in page.text


async def test_a_schedule_shows_its_jobs_and_links_its_days(answers, pages):
    serve_schedule(answers, a_schedule(), a_job("brief-1", phase="Failed", reason="AgentError"), cursor="more")

    page = (await pages.get(PAGE)).text

    assert ">brief-1<" in page
    assert 'href="/reasons/AgentError"' in page
    assert "Only jobs since" in page


async def test_the_number_of_jobs_is_that_of_jobs_at_the_schedules_times(answers, pages):
    serve_schedule(answers, a_schedule(status={"runs": 7, "missed": 2}), a_job("brief-now-1"))

    page = (await pages.get(PAGE)).text

    assert "<dt>Jobs made</dt><dd>7 at its times, 2 missed</dd>" in page


async def test_a_trigger_redirects_to_a_page_that_names_the_job(answers, pages):
    serve_schedule(answers, a_schedule())
    answers["POST", f"{REST}/trigger"] = done("trigger", made="brief-now-1")

    page = await pages.post(f"{PAGE}/trigger", data=SIGNED | {"once": "0123456789abcdef"}, follow_redirects=True)

    sent = next(one for one in answers.asked if one.method == "POST")
    assert json.loads(sent.content) == {"value": "0123456789abcdef"}
    assert '<a href="/jobs/shop/brief-now-1">' in page.text


async def test_each_form_requests_its_own_job(answers, pages):
    serve_schedule(answers, a_schedule())

    values = [re.search('name="once" value="([0-9a-f]{16})"', (await pages.get(PAGE)).text)[1] for _ in range(2)]

    assert values[0] != values[1]


@pytest.mark.parametrize("action", ["suspend", "resume"])
async def test_an_action_is_sent_and_reported(answers, pages, action):
    serve_schedule(answers, a_schedule())
    answers["POST", f"{REST}/{action}"] = done(action)

    page = await pages.post(f"{PAGE}/{action}", data=SIGNED, follow_redirects=True)

    assert f"The schedule is {'suspended' if action == 'suspend' else 'resumed'}" in page.text


async def test_a_refused_action_is_reported_on_the_page(answers, pages):
    serve_schedule(answers, a_schedule())
    answers["POST", f"{REST}/suspend"] = refusal(403, "Forbidden", "You may not patch agentschedules.")

    page = await pages.post(f"{PAGE}/suspend", data=SIGNED)

    assert (page.status_code, "You may not patch agentschedules." in page.text) == (403, True)


async def test_an_unknown_action_is_not_passed_on(answers, pages):
    page = await pages.post(f"{PAGE}/delete", data=SIGNED)

    assert (page.status_code, answers.asked) == (404, [])


@pytest.mark.parametrize("made", ["<b>x</b>", "a" * 64, "../models"])
async def test_an_invalid_name_in_the_address_is_not_shown(answers, pages, made):
    serve_schedule(answers, a_schedule())

    page = await pages.get(PAGE, params={"done": "trigger", "made": made})

    assert "A job was requested." in page.text
    assert "Its job is" not in page.text


async def test_hostile_texts_are_escaped(answers, pages):
    said = [condition("Active", "False", "InvalidSpec", HOSTILE)]
    schedule = a_schedule(conditions=said, schedule=HOSTILE, timeZone=HOSTILE, jitter=HOSTILE)
    serve_schedule(answers, schedule, a_job("x", message=HOSTILE))

    page = (await pages.get(PAGE)).text

    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\u202e" not in page
