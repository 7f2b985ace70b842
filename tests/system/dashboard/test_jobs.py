"""The list of jobs and what is done to many of them, in a browser."""

import gzip
import json

import httpx
import pytest
from playwright.sync_api import expect
from tests.browserpages import follow, query_of, violations
from tests.dashboardsamples import HOSTILE, a_job, a_page, answer_busily, failed, mixed, running

from agentjobs.api.recorded_overview import ActionDone


@pytest.fixture
def listed(answers):
    """Sets which jobs REST lists; each action is done."""

    def given(*jobs, cursor=None):
        answer_busily(answers, list_of=lambda request: a_page(*jobs, cursor=cursor))
        for job in jobs:
            for action in ("cancel", "rerun"):
                answers["POST", f"/v1/namespaces/{job.namespace}/agentjobs/{job.uid}/{action}"] = done(job, action)

    return given


def done(job, action):
    def answer(request):
        made = json.loads(request.content).get("name")
        return httpx.Response(
            200,
            json=ActionDone(
                namespace=job.namespace, kind="AgentJob", name=job.name, action=action, made=made
            ).model_dump(by_alias=True),
        )

    return answer


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_list_is_readable_for_everybody(tab, listed, width, scheme):
    listed(*mixed(20), cursor="next")
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})

    tab.goto("/jobs?phase=Failed&queue=default")

    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("query", ["minCost=abc&since=yesterday&phase=Odd", "phase=Failed&queue=none"])
def test_what_is_wrong_and_what_is_empty_is_readable_for_everybody(tab, listed, query):
    tab.set_viewport_size({"width": 390, "height": 800})
    listed()

    tab.goto(f"/jobs?{query}")

    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_texts_do_nothing_and_break_nothing(tab, listed):
    texts = dict.fromkeys(("reason", "message", "queue", "template", "model", "outcome", "namespace"), HOSTILE)
    listed(a_job(HOSTILE[:200], phase="Failed", uid="u1", **texts), failed(1))
    tab.on("dialog", lambda dialog: pytest.fail("a script ran"))
    tab.set_viewport_size({"width": 390, "height": 800})

    tab.goto("/jobs")

    expect(tab.locator("#list tbody tr")).to_have_count(2)
    expect(tab.locator("#list img, #list script")).to_have_count(0)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_filters_are_chosen_and_taken_away_without_javascript(plain_tab, listed):
    listed(*mixed(3))
    plain_tab.goto("/jobs?namespace=team-a")

    plain_tab.get_by_label("Queue", exact=True).fill("default, reports")
    plain_tab.get_by_label("Failed", exact=True).check()
    plain_tab.get_by_label("Ended", exact=True).select_option("last 24 hours")
    follow(plain_tab, plain_tab.get_by_role("button", name="Filter").first)
    chosen = query_of(plain_tab)
    follow(plain_tab, plain_tab.get_by_role("link", name="Remove queue: reports"))

    assert sorted(chosen) == sorted(
        [
            ("namespace", "team-a"),
            ("queue", "default"),
            ("queue", "reports"),
            ("phase", "Failed"),
            ("endedWithin", "24h"),
        ]
    )
    assert set(chosen) - set(query_of(plain_tab)) == {("queue", "reports")}


def test_every_filter_has_a_field_that_is_filled_from_the_url(plain_tab, listed):
    listed(failed(0))
    asked = {
        "name": "n", "reason": "ToolError", "outcome": "o", "queue": "q", "schedule": "s", "template": "t",
        "partition": "p,1", "model": "m", "label": "k=v", "since": "2026-11-01T00:00:00Z",
        "until": "2026-11-02T00:00:00Z", "endedSince": "2026-11-01T00:00:00Z", "endedUntil": "2026-11-03T00:00:00Z",
        "minCost": "0.1", "maxCost": "2", "text": "find order", "phase": "Failed", "order": "cost",
    }  # fmt: skip
    plain_tab.goto(f"/jobs?{httpx.QueryParams(asked)}")

    follow(plain_tab, plain_tab.get_by_role("button", name="Filter").first)

    assert dict(query_of(plain_tab)) == asked


def test_a_list_is_turned_over_and_ordered_without_javascript(plain_tab, listed):
    listed(*mixed(3), cursor="c2")
    plain_tab.goto("/jobs?phase=Failed")

    follow(plain_tab, plain_tab.get_by_role("link", name="Next 3"))
    following = query_of(plain_tab)
    follow(plain_tab, plain_tab.get_by_role("link", name="by cost"))

    assert following == [("phase", "Failed"), ("cursor", "c2")]
    assert query_of(plain_tab) == [("phase", "Failed"), ("order", "cost")]


def test_ticked_jobs_are_cancelled_after_a_page_that_says_so_without_javascript(plain_tab, answers, listed):
    runs, other, ended = running(1), running(2), failed(2)
    listed(runs, other, ended)
    plain_tab.goto("/jobs?phase=Running")

    plain_tab.get_by_label(runs.name).check()
    plain_tab.get_by_label(ended.name).check()
    follow(plain_tab, plain_tab.get_by_role("button", name="Cancel…"))
    expect(plain_tab.get_by_role("heading", level=1)).to_have_text("Cancel 1 job?")
    expect(plain_tab.get_by_text("it has ended already")).to_be_visible()
    follow(plain_tab, plain_tab.get_by_role("button", name="Cancel it"))

    expect(plain_tab.get_by_role("heading", level=1)).to_have_text("1 cancelled")
    assert [one.url.path.split("/")[-2:] for one in answers.asked if one.method == "POST"] == [[runs.uid, "cancel"]]
    follow(plain_tab, plain_tab.get_by_role("link", name="Back to the list"))
    assert query_of(plain_tab) == [("phase", "Running")]


def test_all_that_match_are_run_again(tab, answers, listed):
    listed(failed(0), failed(1))
    tab.goto("/jobs?phase=Failed")

    tab.locator("#all-that-match summary").click()
    follow(tab, tab.get_by_role("button", name="Run all again…"))
    assert violations(tab) == []
    follow(tab, tab.get_by_role("button", name="Run these 2 again"))

    expect(tab.get_by_role("heading", level=1)).to_have_text("2 run again")
    assert violations(tab) == []
    made = {json.loads(one.content)["name"] for one in answers.asked if one.method == "POST"}
    assert {link.inner_text() for link in tab.locator(".bulk-list li a:last-child").all()} == made


def test_a_refresh_keeps_what_is_ticked_on_its_job(tab, listed):
    listed(failed(0), failed(1))
    tab.goto("/jobs")
    tab.get_by_label(failed(1).name).check()
    listed(running(5), failed(0), failed(1))

    tab.evaluate("htmx.trigger('#main', 'refresh')")
    tab.get_by_role("link", name=running(5).name).wait_for()

    ticked = tab.locator("#list input[name=job]:checked")
    assert [box.get_attribute("aria-label") for box in ticked.all()] == [failed(1).name]
    expect(tab.locator("#ticked")).to_have_text("1 selected:")


def test_a_refresh_takes_a_job_that_left_the_list_out_of_what_is_ticked(tab, listed):
    listed(failed(0), failed(1))
    tab.goto("/jobs")
    tab.get_by_label(failed(1).name).check()
    listed(failed(0), failed(2))

    tab.evaluate("htmx.trigger('#main', 'refresh')")
    tab.get_by_role("link", name=failed(2).name).wait_for()

    expect(tab.locator("#list input[name=job]:checked")).to_have_count(0)


def test_a_refresh_waits_while_a_filter_is_typed(tab, listed):
    listed(failed(0))
    tab.goto("/jobs")
    tab.get_by_label("Queue", exact=True).fill("half a na")
    listed(failed(1))

    with tab.expect_response("**/jobs"):
        tab.evaluate("htmx.trigger('#main', 'refresh')")

    expect(tab.get_by_label("Queue", exact=True)).to_have_value("half a na")
    expect(tab.get_by_role("link", name=failed(0).name)).to_be_visible()


def test_one_box_ticks_all_of_the_page(tab, listed):
    listed(*mixed(5))
    tab.goto("/jobs")

    tab.get_by_label("Select all jobs on this page").check()

    expect(tab.locator("#list input[name=job]:checked")).to_have_count(5)
    expect(tab.locator("#ticked")).to_have_text("5 selected:")


def test_a_view_is_saved_in_this_browser_used_and_forgotten(tab, listed):
    listed(failed(0))
    tab.goto("/jobs?phase=Failed&queue=default")

    tab.get_by_label("Name of this view").fill("<b>mine</b>")
    tab.get_by_role("button", name="Save view").click()
    tab.goto("/jobs")
    follow(tab, tab.get_by_role("link", name="<b>mine</b>"))
    assert query_of(tab) == [("phase", "Failed"), ("queue", "default")]
    assert violations(tab) == []
    tab.get_by_role("button", name="Forget the view").click()

    expect(tab.get_by_role("link", name="<b>mine</b>")).to_have_count(0)
    tab.reload()
    expect(tab.get_by_role("link", name="<b>mine</b>")).to_have_count(0)


def test_jobs_are_ticked_and_cancelled_by_keyboard(tab, listed):
    listed(running(1))
    tab.goto("/jobs")

    tab.get_by_label(running(1).name).focus()
    tab.keyboard.press("Space")
    tab.get_by_role("button", name="Cancel…").focus()
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Cancel it").focus()
    tab.keyboard.press("Enter")

    expect(tab.get_by_role("heading", level=1)).to_have_text("1 cancelled")


def test_a_page_with_its_files_weighs_little(tab, listed):
    listed(*mixed(50), cursor="next")
    weights = []
    # As the process compresses them.
    tab.on("response", lambda response: weights.append(len(gzip.compress(response.body(), 5))))

    tab.goto("/jobs", wait_until="networkidle")

    assert len(weights) > 5
    assert sum(weights) <= 60_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_can_be_opened_is_readable_on_a_phone(tab, listed, scheme):
    listed(*mixed(3))
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto("/jobs?namespace=team-a")

    for opened in ("#more-filters", "#namespaces", "#all-that-match"):
        tab.evaluate(f"document.querySelectorAll('details').forEach(one => one.open = one.matches('{opened}'))")
        assert violations(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_done_to_many_is_readable_on_a_phone(tab, listed, scheme):
    listed(running(1), failed(2))
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto("/jobs")
    tab.get_by_label("Select all jobs on this page").check()

    follow(tab, tab.get_by_role("button", name="Cancel…"))
    confirmed = violations(tab)
    follow(tab, tab.get_by_role("button", name="Cancel it"))

    assert confirmed == violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_why_a_job_failed_is_seen_on_a_phone_without_moving(tab, listed):
    listed(failed(3))
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto("/jobs")

    box = tab.get_by_text("the answer does not fit output.schema").bounding_box()

    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
