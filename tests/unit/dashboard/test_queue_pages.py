"""The pages of queues."""

import json
import re
from datetime import timedelta

import pytest
from tests.dashboardobjects import HOSTILE, NOON, a_job, a_queue, condition, serve_queue, serve_queues
from tests.dashboardpages import SIGNED, refusal

from agentjobs.api.recorded_overview import ActionDone, OpenCounts, QueueList

PAGE = "/queues/shop/agents"
REST = "/v1/namespaces/shop/queues/agents"
HOUR = timedelta(hours=1)


def done(action):
    return ActionDone(namespace="shop", kind="AgentQueue", name="agents", action=action)


async def test_queues_of_all_readable_namespaces_are_listed(answers, pages):
    serve_queues(answers, a_queue(phases={"Queued": 4}), a_queue("slow"))

    page = await pages.get("/queues")

    assert 'href="/queues/shop/slow"' in page.text
    assert 'href="/jobs?namespace=shop&amp;queue=agents&amp;phase=Queued"' in page.text


async def test_a_queue_of_a_namespace_without_jobs_is_listed_with_one_request(answers, pages):
    serve_queues(answers)
    answers["/v1/queues"] = QueueList(items=[a_queue("new", namespace="empty")])

    page = await pages.get("/queues")

    assert 'href="/queues/empty/new"' in page.text
    assert 'href="/queues/shop/agents"' in page.text
    assert len([one for one in answers.asked if one.url.path.endswith("/queues")]) == 1


async def test_queues_whose_jobs_the_user_cannot_list_are_not_shown_as_empty(answers, pages):
    serve_queues(answers)
    answers["/v1/queues"] = QueueList(items=[a_queue("new", namespace="secret")])

    page = await pages.get("/queues")

    assert 'href="/queues/secret/new"' in page.text
    assert 'href="/queues/secret/agents"' not in page.text


async def test_a_list_of_all_namespaces_that_is_cut_off_says_so(answers, pages):
    serve_queues(answers)
    answers["/v1/queues"] = QueueList(items=[a_queue("new")], truncated=True)

    page = await pages.get("/queues")

    assert "Choose namespaces" in page.text
    assert 'type="text" name="namespace"' in page.text
    assert 'href="/queues/shop/scheduled"' not in page.text


async def test_more_than_fifty_namespaces_are_truncated_with_a_note(answers, pages):
    names = [f"n{number:03}" for number in range(60)]
    answers["/v1/namespaces"] = {"items": names, "everywhere": True}
    answers["/v1/counts"] = OpenCounts(items=[])
    answers.by_path |= {f"/v1/namespaces/{name}/queues": QueueList(items=[]) for name in names}

    page = await pages.get("/queues")

    assert "10 more namespaces" in page.text
    assert len([one for one in answers.asked if one.url.path.endswith("/queues")]) == 1 + 50


async def test_without_readable_namespaces_no_counts_are_missing(answers, pages):
    answers["/v1/namespaces"] = {"items": [], "everywhere": True}
    answers["/v1/counts"] = OpenCounts(items=[])

    page = await pages.get("/queues")

    assert "No queues" in page.text
    assert "Not all jobs" not in page.text


async def test_an_empty_list_says_which_namespaces_were_searched(answers, pages):
    answers["/v1/namespaces"] = {"items": [], "everywhere": False}
    answers["/v1/counts"] = OpenCounts(items=[])

    page = await pages.get("/queues")

    assert "Only namespaces" in page.text


async def test_a_namespace_that_became_unreadable_is_left_out(answers, pages):
    serve_queues(answers, a_queue())
    answers["/v1/namespaces"] = {"items": ["gone", "shop"], "everywhere": False}
    answers["/v1/namespaces/gone/queues"] = refusal(403, "Forbidden")

    assert 'href="/queues/shop/agents"' in (await pages.get("/queues")).text
    assert (await pages.get("/queues?namespace=gone")).status_code == 403


async def test_a_queue_shows_the_priority_of_waiting_jobs(answers, pages):
    serve_queue(answers, a_queue(), a_job("first", priority=0), a_job("not-accepted", phase="Pending"))

    page = (await pages.get(PAGE)).text

    assert re.findall(r'<td class="num">(\d*)</td>', page) == ["0", ""]


async def test_waiting_jobs_are_listed_in_the_order_of_their_starts(answers, pages):
    old, urgent = a_job("old", priority=3, created=NOON - HOUR), a_job("urgent", priority=0)
    serve_queue(answers, a_queue(), old, urgent)

    page = (await pages.get(PAGE)).text

    assert page.index(">urgent<") < page.index(">old<")
    assert "In the order of starts" in page


async def test_a_queue_shows_running_waiting_and_failed_jobs(answers, pages):
    runs, waits = a_job("runs", phase="Running", reason=""), a_job("waits", reason="WaitingForRate")
    serve_queue(answers, a_queue(), runs, waits, a_job("broke", phase="Failed", reason="AgentError"))

    page = (await pages.get(PAGE)).text

    places = [
        page.index(text) for text in ("Running jobs", ">runs<", "Waiting jobs", ">waits<", "Recent failures", ">broke<")
    ]
    assert places == sorted(places)
    assert 'href="/reasons/WaitingForRate"' in page


@pytest.mark.parametrize("phase", ["Running", "Queued"])
async def test_jobs_of_a_queue_are_listed_oldest_first(answers, pages, phase):
    young, old = (a_job(name, phase=phase, created=NOON - age) for name, age in (("young", HOUR), ("old", 2 * HOUR)))
    serve_queue(answers, a_queue(), young, old)

    page = (await pages.get(PAGE)).text

    assert page.index(">old<") < page.index(">young<")


@pytest.mark.parametrize("action", ["pause", "drain", "resume"])
async def test_an_action_is_sent_once_and_its_result_is_shown(answers, pages, action):
    serve_queue(answers, a_queue())
    answers["POST", f"{REST}/{action}"] = done(action)

    page = await pages.post(f"{PAGE}/{action}", data=SIGNED, follow_redirects=True)

    assert page.request.url.query == f"done={action}".encode()
    assert 'class="notice ok"' in page.text
    assert len([one for one in answers.asked if one.method == "POST"]) == 1


async def test_the_limit_is_changed_to_the_entered_value(answers, pages):
    answers["POST", f"{REST}/scale"] = done("scale")

    page = await pages.post(f"{PAGE}/scale", data=SIGNED | {"max": "20"})

    assert page.headers["location"] == f"{PAGE}?done=scale"
    assert json.loads(answers.asked[-1].content) == {"max": 20}


async def test_a_browser_does_not_cut_a_limit_to_an_allowed_one(answers, pages):
    serve_queue(answers, a_queue())

    page = (await pages.get(PAGE)).text

    assert int(re.search(r'name="max"[^>]* maxlength="(\d+)"', page)[1]) > len("1000000")


@pytest.mark.parametrize("typed", ["-1", "100001", "many", "", "٣", "1e3"])
async def test_an_invalid_limit_is_refused_at_its_field(answers, pages, typed):
    serve_queue(answers, a_queue())

    page = await pages.post(f"{PAGE}/scale", data=SIGNED | {"max": typed})

    assert page.status_code == 422
    assert 'id="max-wrong"' in page.text
    assert f'value="{typed}"' in page.text
    assert not [one for one in answers.asked if one.method == "POST"]


async def test_a_refused_action_is_reported_on_the_page(answers, pages):
    serve_queue(answers, a_queue())
    answers["POST", f"{REST}/pause"] = refusal(403, "Forbidden", "You may not patch agentqueues.")

    page = await pages.post(f"{PAGE}/pause", data=SIGNED)

    assert (page.status_code, "You may not patch agentqueues." in page.text) == (403, True)


async def test_a_drain_requires_a_confirmation_with_the_number_of_jobs(answers, pages):
    serve_queue(answers, a_queue(spec=False, phases={"Running": 3}))

    page = (await pages.get(f"{PAGE}/drain")).text

    assert "3 jobs will stop" in page
    assert "is created" in page
    assert f'method="post" action="{PAGE}/drain"' in page


async def test_a_text_in_the_address_is_not_shown_as_a_notice(answers, pages):
    serve_queue(answers, a_queue())

    page = await pages.get(PAGE, params={"done": "Your password is needed"})

    assert "Your password" not in page.text
    assert "notice ok" not in page.text


async def test_hostile_texts_are_escaped(answers, pages):
    said = [condition("Open", "False", "BudgetExceeded", HOSTILE)]
    serve_queue(answers, a_queue(conditions=said), a_job("x", message=HOSTILE * 1000, partition_key=HOSTILE))

    page = (await pages.get(PAGE)).text

    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert len(page) < 60_000


async def test_an_incomplete_list_says_so(answers, pages):
    serve_queues(answers, a_queue())
    answers["/v1/namespaces/shop/queues"] = QueueList(items=[a_queue()], truncated=True)
    answers["/v1/counts"] = OpenCounts(items=[], more=True)

    page = (await pages.get("/queues")).text

    assert "only the first 1 " in page
    assert "Not all jobs" in page


async def test_queues_are_shown_even_if_jobs_cannot_be_counted(answers, pages):
    serve_queues(answers, a_queue("slow"))
    answers["/v1/counts"] = refusal(503, "Unavailable")

    page = await pages.get("/queues")

    assert (page.status_code, 'href="/queues/shop/slow"' in page.text) == (200, True)
    assert "Not all jobs" in page.text


async def test_jobs_of_all_namespaces_are_counted_by_one_request(answers, pages):
    names = [f"n{number}" for number in range(20)]
    answers["/v1/namespaces"] = {"items": names, "everywhere": True}
    answers["/v1/counts"] = OpenCounts(items=[])
    answers.by_path |= {f"/v1/namespaces/{name}/queues": QueueList(items=[]) for name in names}

    await pages.get("/queues")

    assert sum(one.url.path == "/v1/counts" for one in answers.asked) == 1
    assert {one.url.params.get("count") for one in answers.asked if one.url.path.startswith("/v1/namespaces/n")} == {
        "false"
    }


async def test_changing_a_queue_of_the_installation_reports_its_new_object(answers, pages):
    serve_queue(answers, a_queue(spec=False))
    answers["POST", f"{REST}/pause"] = done("pause").model_copy(update={"message": "Its AgentQueue was made."})

    page = await pages.post(f"{PAGE}/pause", data=SIGNED, follow_redirects=True)

    assert "An AgentQueue was created" in page.text


async def test_a_long_list_has_numbered_pages_that_keep_the_namespace(answers, pages):
    serve_queues(answers, *(a_queue(f"queue-{number:03}") for number in range(98)))

    first = (await pages.get("/queues?namespace=shop")).text
    last = (await pages.get("/queues?namespace=shop&page=3")).text

    assert first.count('href="/queues/shop/') == 40
    assert "1 to 40 of 100" in first
    assert 'rel="next" href="/queues?namespace=shop&amp;page=2"' in first
    assert (last.count('href="/queues/shop/'), 'rel="next"' in last) == (20, False)
    assert 'rel="prev" href="/queues?namespace=shop&amp;page=2"' in last


@pytest.mark.parametrize(("asked", "shown"), [("0", "1 to 40"), ("x", "1 to 40"), ("9", "41 to 52"), ("-1", "1 to 40")])
async def test_a_page_number_that_does_not_exist_shows_the_nearest_page(answers, pages, asked, shown):
    serve_queues(answers, *(a_queue(f"queue-{number:03}") for number in range(50)))

    assert f"{shown} of 52" in (await pages.get(f"/queues?page={asked}")).text


UNSEEN = {"observedGeneration": 0, "conditions": []}


async def test_counts_of_jobs_that_the_user_cannot_list_are_unknown_and_not_0(answers, pages):
    serve_queues(answers)
    answers["/v1/queues"] = QueueList(items=[a_queue("new", namespace="secret", **UNSEEN)])

    page = (await pages.get("/queues")).text

    row = page[page.index('href="/queues/secret/new"') :]
    assert re.findall(r'class="(?:num|soft)">(unknown)<', row[: row.index("</tr>")]) == ["unknown", "unknown"]


async def test_the_page_of_a_queue_whose_jobs_the_user_cannot_list_says_so(answers, pages):
    answers[REST] = a_queue(**UNSEEN).model_copy(update={"counted": False})
    answers["/v1/agentjobs"] = refusal(403, "Forbidden")

    page = await pages.get(PAGE)

    assert page.status_code == 200
    assert page.text.count("may not list the jobs of this namespace") == 3
    assert "unknown: you may not" in page.text
    assert "No job is running." not in page.text
    assert "whose number is unknown" in (await pages.get(f"{PAGE}/drain")).text
