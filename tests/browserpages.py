"""What tests of pages in a browser do and check: follow a link or form, read the address, look for barriers."""

import httpx
from axe_playwright_python.sync_playwright import Axe

MILLISECONDS = 60_000
"""The longest wait for a page, and for what it shows."""


def follow(tab, control, *, key=None):
    """Click a link or button, or press a key on it, and wait until the page to which it leads is loaded.

    Playwright's own click returns before that, so what is read next could still be the previous page.
    """
    with tab.expect_navigation():
        control.press(key) if key else control.click()


def query_of(tab):
    """The parameters of a page's address, in their order."""
    return httpx.URL(tab.url).params.multi_items()


def violations(tab):
    """What axe objects to on a page: its rules, each with the beginning of the first element."""
    return [(found["id"], found["nodes"][0]["html"][:120]) for found in Axe().run(tab).response["violations"]]
