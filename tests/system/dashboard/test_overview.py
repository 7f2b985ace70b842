"""The overview, in a browser."""

import itertools

import httpx
import pytest
from playwright.sync_api import expect
from tests.browserpages import follow, violations
from tests.dashboardsamples import answer_busily, answer_with_nothing, uid_of


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_overview_is_readable_for_everybody(tab, answers, width, scheme):
    answer_busily(answers)
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})

    tab.goto("/")

    assert violations(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_new_installation_is_readable_for_everybody(tab, answers):
    answer_with_nothing(answers)

    tab.goto("/")

    expect(tab.get_by_role("heading", name="Run your first job")).to_be_visible()
    assert violations(tab) == []


def test_labels_of_charts_do_not_overlap_as_they_are_drawn(tab, answers):
    answer_busily(answers)
    for word in ("1h", "6h", "24h", "7d", "30d", "90d"):
        tab.goto(f"/?range={word}")
        boxes = tab.evaluate(
            "[...document.querySelectorAll('#cost .across text')].map(one => one.getBoundingClientRect())"
            ".map(box => [box.left, box.right])"
        )
        assert len(boxes) >= 2
        assert all(before[1] < after[0] for before, after in itertools.pairwise(boxes))


def test_range_and_namespace_are_chosen_without_javascript(plain_tab, answers):
    answer_busily(answers)
    plain_tab.goto("/")

    follow(plain_tab, plain_tab.get_by_role("link", name="7d"))
    plain_tab.locator("#namespaces summary").click()
    plain_tab.get_by_label("team-b").check()
    follow(plain_tab, plain_tab.get_by_role("button", name="Show"))

    assert httpx.URL(plain_tab.url).params.multi_items() == [("range", "7d"), ("namespace", "team-b")]
    expect(plain_tab.locator("#namespaces summary")).to_have_text("Namespace: team-b")


def test_a_failure_is_two_clicks_from_its_reason_and_one_from_its_job(tab, answers):
    answer_busily(answers)
    tab.goto("/")

    expect(tab.get_by_text("the container used more than its limit of 512 MiB")).to_be_visible()
    address = tab.get_by_role("link", name="refund-check-0002").get_attribute("href")

    assert address == f"/jobs/team-a/{uid_of('refund-check-0002')}"


def test_a_change_is_shown_and_what_was_opened_stays_open(tab, answers):
    answer_busily(answers, failures=1)
    tab.goto("/")
    tab.locator("#cost summary").click()
    answer_busily(answers, failures=3)

    tab.evaluate("htmx.trigger('#main', 'refresh')")
    tab.get_by_role("link", name="refund-check-0002").wait_for()

    assert tab.locator("#cost details").get_attribute("open") is not None
