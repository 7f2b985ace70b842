"""The page of signing in, for everybody who has to read it."""

import httpx
import pytest
from tests.browserpages import violations
from tests.dashboardpages import Answers, served, site

from agentjobs.dashboard.sign_in.links import Links
from agentjobs.dashboard.sign_in.oidc import Client, Provider
from agentjobs.dashboard.sign_in.ways import Ways

CLIENT = Client("http://i", "c", None, "http://r", (), "sub", "", None, "", "Example Login", keeps_token=False)


@pytest.fixture(scope="module")
def entrance(tmp_path_factory):
    """Address of a dashboard with every way that has something on the page."""
    ways = Ways(oidc=Provider(CLIENT, httpx.AsyncClient()), links=Links(tmp_path_factory.mktemp("links")))
    with served(site(Answers(), ways)) as url:
        yield url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_signing_in_is_usable_for_everybody(browser, entrance, scheme, width):
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        tab = context.new_page()
        tab.goto(f"{entrance}/sign-in")

        assert violations(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_of_signing_in_needs_no_mouse(browser, entrance):
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto(f"{entrance}/sign-in?to=/queues")
        reached = []
        for _ in range(4):
            tab.keyboard.press("Tab")
            reached.append(tab.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))

    assert reached == ["Skip to the content", "Sign in with Example Login", "token", "Sign in"]
