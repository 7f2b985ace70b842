"""The page of words, in a browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect


def test_words_are_readable_for_everybody(tab):
    tab.goto("/reasons/WaitingForSlot")

    found = Axe().run(tab)

    expect(tab.get_by_role("heading", level=1)).to_have_text("WaitingForSlot")
    assert [one["id"] for one in found.response["violations"]] == []


def test_words_are_there_without_javascript(plain_tab):
    plain_tab.goto("/reasons")

    expect(plain_tab.get_by_text("Waits for a slot in its queue.")).to_be_visible()
