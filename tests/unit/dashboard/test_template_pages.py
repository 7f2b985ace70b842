"""The pages of templates."""

import html
import json
import re

import pytest
import yaml
from tests.dashboardobjects import DEPTH, HOSTILE, REPOSITORY, SHOP, a_job, a_template, condition, serve_template
from tests.dashboardpages import SIGNED, refusal

from agentjobs.api.recorded_overview import ActionDone, TemplateList
from agentjobs.api.template.validation import validate_template

PAGE = "/templates/shop/review"
RUN = ("POST", "/v1/namespaces/shop/templates/review/run")
ONCE = "0123456789abcdef"


def made(request):
    name = json.loads(request.content)["name"]
    return ActionDone(namespace="shop", kind="AgentTemplate", name="review", action="run", made=name)


def orders(answers):
    return [json.loads(one.content) for one in answers.asked if one.method == "POST"]


async def test_without_templates_the_page_has_an_example_to_create(answers, pages):
    answers["/v1/namespaces"] = SHOP
    answers["/v1/namespaces/shop/templates"] = TemplateList(items=[])

    page = await pages.get("/templates?namespace=shop")

    shown = html.unescape(re.search(r"<pre.*?>kubectl apply -n shop -f - .*?\n(.*)END</pre>", page.text, re.DOTALL)[1])
    assert validate_template(yaml.safe_load(shown)) == []
    assert "No templates in shop" in page.text


async def test_a_namespace_without_jobs_is_listed_for_administrators_and_can_be_named_by_others(answers, pages):
    answers["/v1/namespaces"] = {"items": [], "everywhere": False}
    refused = (await pages.get("/templates")).text
    answers["/v1/templates"] = TemplateList(items=[a_template(namespace="empty")])
    allowed = (await pages.get("/templates")).text

    assert 'href="/templates/empty/review"' in allowed
    assert 'type="checkbox" name="namespace" value="empty"' in allowed
    assert ("Enter any other under Namespace" in refused, 'type="text" name="namespace"' in refused) == (True, True)


async def test_templates_are_listed_with_their_agents(answers, pages):
    answers["/v1/namespaces"] = SHOP
    answers["/v1/namespaces/shop/templates"] = TemplateList(items=[a_template(parameters=[REPOSITORY])])

    page = (await pages.get("/templates?namespace=shop")).text

    assert 'href="/templates/shop/review"' in page
    assert "The agent reviewer with gemini-flash-latest" in page


async def test_a_template_shows_its_form_its_locked_fields_and_its_jobs(answers, pages):
    serve_template(answers, a_template(parameters=[REPOSITORY, DEPTH], locked=["isolation"]), a_job("review-1"))

    page = (await pages.get(PAGE)).text

    assert '<option value="quick" selected>' in page
    assert 'name="p.repository" required' in page
    assert "<code>isolation</code>" in page
    assert ">review-1<" in page


async def test_a_run_creates_a_job_once_and_redirects_to_it(answers, pages):
    serve_template(answers, a_template(parameters=[REPOSITORY, DEPTH]))
    answers[RUN] = made
    sent = {"once": ONCE, "p.repository": "shop", "p.depth": "thorough"}

    first, again = [await pages.post(f"{PAGE}/run", data=SIGNED | sent) for _ in range(2)]

    assert [page.status_code for page in (first, again)] == [303, 303]
    one, other = orders(answers)
    assert one == other
    assert one["parameters"] == {"repository": "shop", "depth": "thorough"}
    assert first.headers["location"] == again.headers["location"] == f"/jobs/shop/{one['name']}"


async def test_a_problem_is_reported_at_its_field_and_no_job_is_requested(answers, pages):
    serve_template(answers, a_template(parameters=[REPOSITORY, DEPTH]))

    page = await pages.post(f"{PAGE}/run", data=SIGNED | {"once": ONCE, "p.repository": "", "p.depth": "thorough"})

    assert (page.status_code, orders(answers)) == (422, [])
    assert 'id="p-repository-wrong"' in page.text
    assert '<option value="thorough" selected>' in page.text


@pytest.mark.parametrize("status", [403, 409, 422, 503])
async def test_a_refusal_keeps_the_entered_values(answers, pages, status):
    serve_template(answers, a_template(parameters=[REPOSITORY]))
    answers[RUN] = refusal(status, "Refused", "It cannot be <b>so</b>.")

    page = await pages.post(f"{PAGE}/run", data=SIGNED | {"once": ONCE, "p.repository": "my shop"})

    assert (page.status_code, "my shop</textarea>" in page.text) == (status, True)
    assert "It cannot be &lt;b&gt;so&lt;/b&gt;." in page.text
    assert f'value="{ONCE}"' in page.text


async def test_an_invalid_template_has_no_form(answers, pages):
    serve_template(answers, a_template(conditions=[condition("Valid", "False", "InvalidSpec", "spec.queue: no")]))

    page = (await pages.get(PAGE)).text

    assert "spec.queue: no" in page
    assert 'action="/templates/shop/review/run"' not in page


async def test_hostile_texts_are_escaped(answers, pages):
    evil = {"name": "p", "description": HOSTILE, "default": f'"{HOSTILE}', "enum": [f'"{HOSTILE}', "</textarea>"]}
    text = {"name": "q", "default": "</textarea>" + HOSTILE * 50}
    serve_template(answers, a_template(parameters=[evil, text], description=HOSTILE, input={"message": HOSTILE}))

    page = (await pages.get(PAGE)).text

    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("</textarea>") == 1
