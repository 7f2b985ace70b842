"""The pages of models, of the installation and of actions."""

import pytest
from tests.dashboardobjects import (
    HOSTILE,
    NOON,
    SHOP,
    a_key,
    a_process,
    a_provider,
    an_action,
    an_installation,
    models_seen,
    serve_models,
)
from tests.dashboardpages import refusal

from agentjobs.api.recorded_models import CallsUnderWay, ClosedKey
from agentjobs.api.recorded_overview import RecordedActions


def asked(answers, path):
    return [dict(one.url.params) for one in answers.asked if one.url.path == path]


async def test_a_user_who_can_read_everything_sees_the_models_of_the_installation(answers, pages):
    serve_models(answers, models_seen(a_provider(a_key())))
    answers["/v1/namespaces"] = {"items": ["shop"], "everywhere": True}

    page = await pages.get("/models")

    assert (page.status_code, asked(answers, "/v1/models")) == (200, [{}])
    assert "<code>first</code>" in page.text


@pytest.mark.parametrize(("query", "namespace"), [("", "shop"), ("?namespace=bank&namespace=shop", "bank")])
async def test_other_users_see_the_models_of_one_of_their_namespaces(answers, pages, query, namespace):
    serve_models(answers, models_seen())

    page = await pages.get(f"/models{query}")

    assert asked(answers, "/v1/models") == [{"namespace": namespace}]
    assert f"for jobs of namespace <bdi>{namespace}</bdi>" in page.text


async def test_each_other_namespace_has_a_link_to_its_keys(answers, pages):
    serve_models(answers, models_seen())
    answers["/v1/namespaces"] = {"items": ["bank", "shop"], "everywhere": False}

    page = await pages.get("/models?by=model")

    assert asked(answers, "/v1/models") == [{"namespace": "bank"}]
    assert '<a href="/models?by=model&amp;namespace=shop"><bdi>shop</bdi></a>' in page.text


async def test_a_user_who_can_read_nothing_sees_no_models(answers, pages):
    answers["/v1/namespaces"] = {"items": [], "everywhere": False}

    assert (await pages.get("/models")).status_code == 403
    assert asked(answers, "/v1/models") == []


async def test_calls_in_progress_link_to_their_jobs(answers, pages):
    call = CallsUnderWay(namespace="shop", job="triage", model="m", calls=2, since=NOON)
    serve_models(answers, models_seen(under_way=[call]))

    assert 'href="/jobs/shop/triage"' in (await pages.get("/models")).text


async def test_the_page_of_the_installation_begins_with_its_problems(answers, pages):
    answers["/v1/installation"] = an_installation(a_process("gateway"), a_process("proxy"))
    answers["/v1/models"] = models_seen()

    page = (await pages.get("/installation")).text

    assert page.index("No operator was seen") < page.index("PostgreSQL 17.2")


async def test_a_user_who_cannot_see_the_installation_is_told_the_required_permission(answers, pages):
    answers["/v1/installation"] = refusal(403, "Forbidden")

    page = await pages.get("/installation")

    assert (page.status_code, "list AgentJobs in all namespaces" in page.text) == (403, True)


async def test_actions_link_to_their_objects(answers, pages):
    answers["/v1/namespaces"] = SHOP
    done = [an_action("AgentJob", "cancel", "triage", uid="u-1"), an_action("AgentQueue", "pause", "agents")]
    refused = an_action("AgentSchedule", "trigger", "brief", status=403, message="You may not.")
    answers["/v1/actions"] = RecordedActions(items=[*done, refused], cursor="next")

    page = (await pages.get("/actions?namespace=shop")).text

    for address in ("/jobs/shop/u-1", "/queues/shop/agents", "/schedules/shop/brief"):
        assert f'href="{address}"' in page
    assert 'href="/actions?namespace=shop&amp;cursor=next"' in page
    assert "refused</span> triggered schedule" in page


async def test_only_a_job_created_by_an_action_is_a_link(answers, pages):
    answers["/v1/namespaces"] = SHOP
    ran, odd = an_action("AgentTemplate", "run", "review", message="review-1"), "javascript:x"
    others = [
        an_action("AgentTemplate", "run", "review", message=odd),
        an_action("AgentJob", "cancel", "x", message="y"),
    ]
    answers["/v1/actions"] = RecordedActions(items=[ran, *others], cursor=None)

    page = (await pages.get("/actions")).text

    assert 'made <a href="/jobs/shop/review-1">' in page
    assert page.count("made <a") == 1


async def test_an_unknown_action_of_a_newer_version_is_shown_by_its_name(answers, pages):
    answers["/v1/namespaces"] = SHOP
    done = [an_action("Session", "archive", "u/1"), an_action("Session", "delete", "u/2")]
    answers["/v1/actions"] = RecordedActions(items=done, cursor=None)

    page = (await pages.get("/actions")).text

    assert "archive Session <bdi>u/1</bdi>" in page
    assert "deleted session <bdi>u/2</bdi>" in page
    assert "Older" not in page


async def test_hostile_texts_are_escaped(answers, pages):
    closed = [ClosedKey(model=HOSTILE, reason=HOSTILE, until=NOON.replace(year=2100))]
    seen = models_seen(a_provider(a_key(closed=closed)), aliases={HOSTILE: HOSTILE})
    serve_models(answers, seen)
    answers["/v1/installation"] = an_installation(a_process("operator", name=HOSTILE, version=HOSTILE))
    answers["/v1/actions"] = RecordedActions(items=[an_action("AgentJob", "x", "y", message=HOSTILE)], cursor=None)

    shown = "".join([(await pages.get(path)).text for path in ("/models", "/installation", "/actions")])

    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert "\u202e" not in shown


async def test_no_page_says_that_models_are_available_without_a_provider(answers, pages):
    serve_models(answers, models_seen())
    answers["/v1/installation"] = an_installation(
        *map(a_process, ("gateway", "proxy")), a_process("operator", leads=True)
    )

    page = await pages.get("/installation")

    assert "only scripted models can be called" in page.text
    assert "models can be called." not in page.text.replace("only scripted models can be called.", "")


async def test_a_month_without_calls_is_a_sentence_without_empty_charts(answers, pages):
    serve_models(answers, models_seen())

    page = await pages.get("/models")

    assert "No model was called" in page.text
    assert "<figure" not in page.text
