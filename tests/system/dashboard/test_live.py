"""Open pages in a browser: they follow what happens, and say when they cannot."""

import asyncio
import contextlib
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import APIRouter, Request
from playwright.sync_api import expect
from tests.dashboardpages import ADA, Answers, application, refusal, served

from agentjobs.dashboard.pages.dependencies import Renderer, UserRest
from agentjobs.problem import Problem
from devcluster.ports import free_port

HIDE = "(hidden) => Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true }) && null"
TELL_IT = "document.dispatchEvent(new Event('visibilitychange'))"

router = APIRouter()


@router.get("/ticking")
async def ticking(request: Request, rest: UserRest, pages: Renderer):
    """A page that follows changes, and shows the caller."""
    told = Problem(200, "Shown", (await rest.me()).name)
    return pages.render(request, "problem.html", problem=told, again=False, known="", jobs="", live="/v1/changes")


class Site:
    """The pages, with a stream of changes that a test writes."""

    def __init__(self, answers):
        self.answers = answers
        self.events = []
        self.status = 200
        self.opened = self.open = 0
        self.cut = False
        self.app = application(answers, ADA, router=router)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/v1/changes":
            await self.app(scope, receive, send)
            return
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        told = len(self.events)
        self.opened += 1
        self.open += 1
        await send({"type": "http.response.body", "body": b"retry: 100\n\n", "more_body": True})
        gone = asyncio.ensure_future(_gone(receive))
        while self.status == 200 and not self.cut and not gone.done():
            for event in self.events[told:]:
                body = f"event: {event}\ndata: {{}}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            told = len(self.events)
            await asyncio.sleep(0.02)
        self.cut = False
        gone.cancel()
        self.open -= 1
        await send({"type": "http.response.body", "body": b""})

    def pages(self):
        return len([one for one in self.answers.asked if one.url.path == "/v1/me"])


async def _gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


def named(name):
    return {"name": name, "groups": []}


@pytest.fixture
def answers():
    found = Answers()
    found["/v1/me"] = named("first")
    return found


@pytest.fixture
def site(answers):
    return Site(answers)


@pytest.fixture
def url(site):
    with served(site) as url:
        yield url
        site.status = 204


@pytest.fixture
def tab(browser, url, site):
    with contextlib.closing(browser.new_context(base_url=url)) as context:
        page = context.new_page()
        page.goto("/ticking")
        until(lambda: site.opened)
        yield page


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def shown(tab, text):
    return tab.locator("#main").get_by_text(text, exact=True)


def test_each_change_asks_for_the_page_once_however_many_there_were(tab, site, answers):
    for number in range(4):
        answers["/v1/me"] = named(f"number-{number}")
        site.events.append("change")
        shown(tab, f"number-{number}").wait_for()

    assert site.pages() == 1 + 4


def test_a_stream_that_ends_goes_on_with_the_next_and_asks_for_nothing(tab, site, answers):
    site.cut = True
    until(lambda: site.opened == 2)
    answers["/v1/me"] = named("second")
    site.events.append("change")
    shown(tab, "second").wait_for()

    assert site.pages() == 2


def test_a_page_whose_session_has_ended_goes_to_sign_in_as_a_whole(tab, site, answers):
    answers["/v1/me"] = refusal(401, "Unauthorized")
    site.events.append("change")

    tab.wait_for_url("**/sign-in?to=%2Fticking")
    expect(tab.locator("#main")).to_have_count(1)


@pytest.mark.parametrize(("status", "said"), [(403, "You may not do this"), (404, "Not found")])
def test_a_page_that_is_no_longer_for_them_says_so(tab, site, answers, status, said):
    answers["/v1/me"] = refusal(status, "Reason", "It is so.")
    site.events.append("change")

    shown(tab, said).wait_for()


@pytest.mark.parametrize("event", ["change", "away"])
def test_while_history_is_away_the_page_stays_and_says_so_until_it_is_back(tab, site, answers, event):
    answers["/v1/me"] = refusal(503, "Unavailable")
    site.events.append(event)
    tab.get_by_text("cannot be reached now").wait_for()
    kept = shown(tab, "first").is_visible()
    answers["/v1/me"] = named("second")

    shown(tab, "second").wait_for()
    assert kept
    expect(tab.locator("#note")).to_be_hidden()


def test_while_the_server_is_away_the_page_says_so_until_it_is_back(browser, site, answers):
    port = free_port()
    with contextlib.closing(browser.new_context()) as context:
        tab = context.new_page()
        with served(site, port=port) as url:
            tab.goto(f"{url}/ticking")
            until(lambda: site.opened)
            site.status = 503  # the stream ends, too: the server waits for it
        tab.get_by_text("cannot be reached now").wait_for()
        answers["/v1/me"], site.status = named("second"), 200
        with served(site, port=port):
            shown(tab, "second").wait_for()
            site.status = 204


def test_a_stream_that_is_refused_lets_the_page_say_why(tab, site, answers):
    answers["/v1/me"] = refusal(403, "Forbidden", "Not any more.")
    site.status = 403

    tab.get_by_text("Not any more.").wait_for()


def test_a_page_that_could_not_be_loaded_comes_by_itself_without_javascript(browser, url, answers):
    answers["/v1/me"] = refusal(503, "Unavailable")
    with contextlib.closing(browser.new_context(base_url=url, java_script_enabled=False)) as context:
        tab = context.new_page()
        tab.goto("/ticking")
        away = tab.get_by_text("tries again by itself").is_visible()
        answers["/v1/me"] = named("second")

        shown(tab, "second").wait_for()
        assert away


def test_a_page_that_nobody_looks_at_asks_when_somebody_does(tab, site, answers):
    tab.evaluate(HIDE, True)
    answers["/v1/me"] = named("second")
    site.events.append("change")
    tab.wait_for_timeout(300)
    asked = site.pages()
    tab.evaluate(HIDE, False)
    tab.evaluate(TELL_IT)

    shown(tab, "second").wait_for()
    assert (asked, site.pages()) == (1, 2)


def test_tabs_that_nobody_looks_at_take_no_connection_from_the_others(browser, url, site, answers):
    """Six connections are all that a browser has to a server, and a stream lasts."""
    with contextlib.closing(browser.new_context(base_url=url)) as context:
        for number in range(1, 9):
            tab = context.new_page()
            tab.goto("/ticking", timeout=5000)
            until(lambda number=number: site.opened == number)
            tab.evaluate(HIDE, True)
            tab.evaluate(TELL_IT)
        until(lambda: not site.open)

        answers["/v1/me"] = named("second")
        tab.evaluate(HIDE, False)
        tab.evaluate(TELL_IT)

        shown(tab, "second").wait_for()
        until(lambda: site.open == 1)


def test_times_go_on_and_go_by_the_servers_clock(tab):
    began = (datetime.now(UTC) - timedelta(hours=2, minutes=5)).isoformat()
    text = f'<time class="ago" datetime="{began}"></time>'
    tab.evaluate("text => document.querySelector('#main').insertAdjacentHTML('beforeend', text)", text)

    tab.get_by_text("2h 5m ago").wait_for()


def test_a_time_ahead_comes_nearer_and_passes(tab):
    tab.clock.install()
    tab.reload()
    text = '<time class="ahead" datetime="{}"></time>'
    at = datetime.fromisoformat(tab.evaluate("document.documentElement.dataset.now")) + timedelta(hours=1)
    tab.evaluate(
        "text => document.querySelector('#main').insertAdjacentHTML('beforeend', text)", text.format(at.isoformat())
    )

    tab.clock.run_for(1000)
    assert tab.locator("time.ahead").text_content().startswith("in 59m 5")
    tab.clock.fast_forward(2 * 3600 * 1000)
    tab.clock.run_for(1000)
    assert re.fullmatch(r"1h \d+s ago", tab.locator("time.ahead").text_content())


@pytest.mark.parametrize(("attribute", "passed"), [("data-polled", 16), ('data-polled="60"', 61)])
def test_a_page_of_what_the_stream_does_not_report_is_requested_again_without_a_change(tab, site, attribute, passed):
    tab.clock.install()
    tab.reload()
    until(lambda: site.opened > 1)
    tab.evaluate(f"document.body.insertAdjacentHTML('beforeend', '<p {attribute}></p>')")
    before = site.pages()
    site.events.append("change")
    until(lambda: site.pages() > before)
    before = site.pages()

    tab.clock.fast_forward(passed * 1000)

    until(lambda: site.pages() > before)
