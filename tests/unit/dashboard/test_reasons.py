"""The page of reasons."""

import pytest

from agentjobs.api.error_classes import CLASSES
from agentjobs.contract import Verdict


async def test_a_reason_is_explained(pages):
    page = await pages.get("/reasons/WaitingForSlot")

    assert page.status_code == 200
    assert "All slots of the queue" in page.text


async def test_an_unknown_reason_is_not_found(pages):
    page = await pages.get("/reasons/<script>alert(1)</script>")

    assert page.status_code == 404
    assert "<script>alert" not in page.text


async def test_a_user_who_is_not_signed_in_signs_in_and_returns_to_the_page(strangers):
    page = await strangers.get("/reasons/Failed")

    assert page.status_code == 303
    assert page.headers["location"] == "/sign-in?to=%2Freasons%2FFailed"


@pytest.mark.parametrize("word", [*CLASSES, *Verdict])
async def test_every_class_of_errors_and_every_verdict_is_explained(pages, word):
    assert (await pages.get(f"/reasons/{word}")).status_code == 200


async def test_a_reason_with_a_solution_shows_it(pages):
    page = await pages.get("/reasons/OOMKilled")

    assert "what to do" in page.text
    assert "runtime.resources.limits.memory" in page.text
