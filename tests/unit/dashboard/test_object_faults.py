"""What the pages of objects say while something is away, gone or not allowed."""

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
async def test_a_page_says_what_is_away_and_tries_again(answers, pages, path, answer, status, said):
    answers.by_path = _Everywhere(answer)

    page = await pages.get(path)

    assert (page.status_code, said in page.text) == (status, True)
    assert "tries again by itself" in page.text


@pytest.mark.parametrize("path", PAGES)
async def test_who_is_no_longer_known_signs_in_and_comes_back(answers, pages, path):
    answers.by_path = _Everywhere(refusal(401, "Unauthorized"))

    page = await pages.get(path)

    assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/sign-in")


@pytest.mark.parametrize("path", ACTIONS)
async def test_an_action_on_what_is_gone_says_so(answers, pages, path):
    answers.by_path = _Everywhere(refusal(404, "NotFound", "There is no such object."))

    page = await pages.post(path, data=SIGNED)

    assert (page.status_code, "There is no such object." in page.text) == (404, True)


@pytest.mark.parametrize("path", PAGES + ACTIONS)
async def test_nobody_sees_or_does_anything_without_signing_in(answers, strangers, path):
    page = await strangers.request("POST" if path in ACTIONS else "GET", path, data=SIGNED if path in ACTIONS else None)

    assert page.status_code == 303
    assert answers.asked == []
