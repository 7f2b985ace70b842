"""What is done to one job from its page."""

import json

import httpx
import pytest
from tests.dashboardjobs import BASE, UID, a_failed_job, a_start, a_story, an_object, answered
from tests.dashboardpages import SIGNED, refusal

PAGE = "/jobs/docs/triage-7"


@pytest.mark.parametrize(
    ("phase", "reason", "offered", "not_offered"),
    [
        ("Running", "", ["cancel", "suspend"], ["resume", "rerun"]),
        ("Suspended", "Requested", ["resume", "cancel"], ["suspend", "rerun"]),
        ("Failed", "ModelAuth", ["rerun"], ["cancel", "suspend", "resume"]),
    ],
)
async def test_only_possible_actions_are_offered(pages, answers, phase, reason, offered, not_offered):
    said = {"Suspended": "Suspended", "Failed": "Failed", "Running": "Admitted"}[phase]
    condition = {"type": said, "status": "True", "reason": reason, "lastTransitionTime": "2026-11-20T12:00:00Z"}
    answered(answers, a_story(a_start()), seen=an_object(phase, reason, status={"conditions": [condition]}))
    page = await pages.get(PAGE)

    assert all(f'"{PAGE}/{order}"' in page.text for order in offered)
    assert not any(f'"{PAGE}/{order}"' in page.text for order in not_offered)


async def post(pages, order, **form):
    return await pages.post(f"{PAGE}/{order}", data={**SIGNED, **form})


@pytest.mark.parametrize("order", ["cancel", "suspend", "resume"])
async def test_an_action_is_sent_and_reported_on_the_page(pages, answers, order):
    answered(answers, a_story(a_start()), seen=an_object("Running"))
    done = {"namespace": "docs", "kind": "AgentJob", "name": "triage-7", "action": order}
    answers[f"{BASE}/triage-7/{order}"] = done
    page = await post(pages, order)

    assert (page.status_code, page.headers["location"]) == (303, f"{PAGE}?done={order}")
    assert "The job was " in (await pages.get(page.headers["location"])).text


async def test_an_action_without_effect_is_not_reported_as_done(pages, answers):
    answered(answers, a_story(a_start()), seen=an_object("Running"))
    done = {"namespace": "docs", "kind": "AgentJob", "name": "triage-7", "action": "suspend", "message": "It ends."}
    answers[f"{BASE}/triage-7/suspend"] = done
    page = await pages.get((await post(pages, "suspend")).headers["location"])

    assert "This had no effect" in page.text
    assert "The job was suspended" not in page.text


async def test_a_rerun_redirects_to_the_new_job(pages, answers):
    answered(answers, a_story(a_start()), seen=an_object("Failed"))
    done = {"namespace": "docs", "kind": "AgentJob", "name": "triage-7", "action": "rerun", "made": "triage-8"}
    answers[f"{BASE}/{UID}/rerun"] = done
    page = await post(pages, "rerun", name="triage-8", uid=UID)

    assert (page.status_code, page.headers["location"]) == (303, "/jobs/docs/triage-8?done=rerun")
    assert json.loads(answers.asked[-1].content) == {"name": "triage-8"}


async def test_a_rerun_sent_twice_creates_one_job(pages, answers):
    answers[f"{BASE}/triage-7/rerun"] = lambda request: httpx.Response(409, json={})
    for _ in range(2):
        await post(pages, "rerun", once="0a1b2c3d", uid="' OR 1=1")

    assert [json.loads(one.content) for one in answers.asked] == [{"name": "triage-7-0a1b2c3d"}] * 2


async def test_the_form_acts_on_the_job_that_was_shown(pages, answers):
    a_failed_job(answers)

    assert f'name="uid" value="{UID}"' in (await pages.get(PAGE)).text


async def test_a_refused_action_is_reported_with_the_reason(pages, answers):
    answers[f"{BASE}/triage-7/cancel"] = refusal(403, "Forbidden", "ada may not patch agentjobs")
    page = await post(pages, "cancel")

    assert page.status_code == 403
    assert "ada may not patch agentjobs" in page.text


async def test_other_actions_are_not_found(pages, answers):
    assert (await post(pages, "delete")).status_code == 404
    assert answers.asked == []


async def test_cancelling_requires_a_confirmation(pages, answers):
    answered(answers, seen=an_object("Running"))
    page = await pages.get(f"{PAGE}/cancel")

    assert f'<form method="post" action="{PAGE}/cancel">' in page.text
    assert [request.method for request in answers.asked] == ["GET", "GET"]


async def test_the_result_of_an_action_is_not_in_the_address(pages, answers):
    a_failed_job(answers)

    assert "Call us" not in (await pages.get(PAGE, params={"done": "Call us"})).text
