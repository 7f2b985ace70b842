"""The page of words, in a browser."""

from playwright.sync_api import expect
from tests.browserpages import violations


def test_words_are_readable_for_everybody(tab):
    tab.goto("/reasons/WaitingForSlot")

    expect(tab.get_by_role("heading", level=1)).to_have_text("WaitingForSlot")
    assert violations(tab) == []


def test_words_are_there_without_javascript(plain_tab):
    plain_tab.goto("/reasons")

    expect(plain_tab.get_by_text("Waits for a slot in its queue.")).to_be_visible()
