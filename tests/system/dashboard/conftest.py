"""A real browser on the dashboard's pages: Debian's Chromium, which Playwright drives.

Where there is no browser these tests are skipped, and `.ci/run` says so.
"""

import os
import shutil

import pytest
from tests.browserpages import MILLISECONDS
from tests.dashboardpages import ADA, Answers, application, served

CHROMIUM = os.environ.get("AGENTJOBS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


# Playwright holds the thread's event loop while it runs, so tests of other modules could have none.
@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install the package chromium, or name one with AGENTJOBS_CHROMIUM")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def site(answers):
    """Address of the pages, where Ada is signed in."""
    with served(application(answers, ADA)) as url:
        yield url


@pytest.fixture
def tab(browser, site):
    """A page of the browser; what its console complains of fails the test."""
    context = browser.new_context(base_url=site, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    complaints = []
    # Nothing changes here but by the test; the page listens still.
    page.route("**/v1/changes*", lambda route: None)
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def plain_tab(browser, site):
    """A page of a browser that runs no JavaScript."""
    context = browser.new_context(base_url=site, java_script_enabled=False, viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()
