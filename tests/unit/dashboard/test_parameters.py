"""Pages refuse query parameters that they do not have, as the list of jobs and REST do."""

import re

import pytest
from tests.dashboardpages import refusal

PAGES = ["/", "/queues", "/schedules", "/templates", "/models", "/installation", "/actions"]
OBJECTS = ["/queues/shop/agents", "/schedules/shop/nightly", "/templates/shop/invoice"]


@pytest.mark.parametrize("path", [*PAGES, *OBJECTS])
async def test_a_misspelled_parameter_is_named_and_causes_no_request(pages, answers, path):
    page = await pages.get(f"{path}?namespce=shop")

    assert page.status_code == 422
    assert "no parameter namespce" in page.text
    assert answers.asked == []


async def test_the_link_without_the_unknown_parameter_keeps_the_others_but_not_the_place(pages):
    page = await pages.get("/queues?fase=Failed&namespace=a&page=2&namespace=b")

    assert 'href="/queues?namespace=a&amp;namespace=b">Leave it out' in page.text


async def test_hostile_names_of_parameters_are_text(pages):
    page = await pages.get("/?<script>alert(1)</script>=1&javascript:alert(1)=2")

    assert "<script>alert" not in page.text
    assert not re.search(r'href="[^"]*alert', page.text)


@pytest.mark.parametrize("path", ["/", "/models"])
async def test_an_unknown_value_is_named_with_the_possible_ones_and_causes_no_request(pages, answers, path):
    page = await pages.get(f"{path}?by=<b>tenant</b>&namespace=shop")

    assert page.status_code == 422
    assert "queue, model, partition, got &lt;b&gt;tenant" in page.text
    assert f'href="{path}?namespace=shop">Leave it out' in page.text
    assert answers.asked == []


@pytest.mark.parametrize("query", ["by=", "range=7d&by=model", "namespace=shop", "rnage="])
async def test_known_and_empty_parameters_are_accepted(pages, answers, query):
    answers["/v1/namespaces"] = refusal(500, "Seen")

    assert (await pages.get(f"/?{query}")).status_code == 500


async def test_a_person_without_a_session_signs_in_first(strangers):
    page = await strangers.get("/queues?namespce=shop")

    assert (page.status_code, page.headers["Location"]) == (303, "/sign-in?to=%2Fqueues%3Fnamespce%3Dshop")
