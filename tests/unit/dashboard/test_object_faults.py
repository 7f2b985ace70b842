"""Pages of objects during outages, and for missing and forbidden objects."""

import httpx
import pytest
from tests.dashboardobjects import PAGES
from tests.dashboardpages import SIGNED, refusal

ACTIONS = ["/queues/shop/agents/pause", "/schedules/shop/brief/trigger", "/templates/shop/review/run"]


class _Everywhere(dict):
    """The same answer to whatever is asked."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def get(self, _path, _default=None):
        return self.answer


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (refusal(503, "Unavailable", "PostgreSQL is away."), 503, "PostgreSQL is away."),
        (httpx.ConnectError("refused"), 503, "AgentJobs cannot be reached now."),
        (refusal(429, "TooManyRequests", "Ask again later."), 429, "Ask again later."),
        (httpx.Response(200, text="<html>"), 502, "cannot be read"),
    ],
    ids=["database", "no-gateway", "busy", "nonsense"],
)
async def test_a_page_names_the_unavailable_service_and_reloads(answers, pages, path, answer, status, said):
    answers.by_path = _Everywhere(answer)

    page = await pages.get(path)

    assert (page.status_code, said in page.text) == (status, True)
    assert "tries again by itself" in page.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_user_whose_session_ended_signs_in_and_returns_to_the_page(answers, pages, path):
    answers.by_path = _Everywhere(refusal(401, "Unauthorized"))

    page = await pages.get(path)

    assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/sign-in")


@pytest.mark.parametrize("path", ACTIONS)
async def test_an_action_on_a_deleted_object_says_so(answers, pages, path):
    answers.by_path = _Everywhere(refusal(404, "NotFound", "There is no such object."))

    page = await pages.post(path, data=SIGNED)

    assert (page.status_code, "There is no such object." in page.text) == (404, True)


@pytest.mark.parametrize(
    ("path", "parameter"),
    [("/queues/shop/old", "queue"), ("/schedules/shop/old", "schedule"), ("/templates/shop/old", "template")],
)
async def test_the_page_of_a_deleted_object_links_to_its_jobs(answers, pages, path, parameter):
    answers.by_path = _Everywhere(refusal(404, "NotFound", "There is no such object."))

    page = await pages.get(path)

    assert page.status_code == 404
    assert f'href="/jobs?namespace=shop&amp;{parameter}=old"' in page.text


@pytest.mark.parametrize("path", ["/jobs/shop/old", "/schedules/shop", "/nowhere/shop/old"])
async def test_other_pages_that_are_not_found_link_to_no_jobs(answers, pages, path):
    page = await pages.get(path)

    assert (page.status_code, "Its jobs" in page.text) == (404, False)


@pytest.mark.parametrize("path", PAGES + ACTIONS)
async def test_pages_and_actions_require_a_sign_in(answers, strangers, path):
    page = await strangers.request("POST" if path in ACTIONS else "GET", path, data=SIGNED if path in ACTIONS else None)

    assert page.status_code == 303
    assert answers.asked == []
