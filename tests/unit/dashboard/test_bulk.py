"""Actions on many jobs: the requests to REST, and the result for each job."""

import asyncio
import json
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dashboardpages import refusal
from tests.dashboardsamples import a_page, answer_busily, failed, running, uid_of

from agentjobs.api.conditions import OVER
from agentjobs.api.job.spec import MAX_JOB_NAME
from agentjobs.api.job_filter import PHASES
from agentjobs.api.recorded_overview import ActionDone
from agentjobs.dashboard.pages.fan_out import AT_ONCE
from agentjobs.dashboard.rest import Rest
from agentjobs.dashboard.views.bulk import MAX_JOBS, Target, name_again, target_of, targets

TOKEN = "0123456789abcdef" * 2
names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True)


@pytest.fixture
def known(answers):
    """Sets the jobs that REST knows; each action is done, unless it is refused by the job's name."""

    def given(*jobs, refused=None, cursor=None):
        answer_busily(answers, list_of=lambda request: a_page(*jobs, cursor=cursor))
        for job in jobs:
            for action in ("cancel", "rerun"):
                path = f"/v1/namespaces/{job.namespace}/agentjobs/{job.uid}/{action}"
                answers["POST", path] = (refused or {}).get(job.name) or done(job, action)

    return given


def done(job, action):
    def answer(request):
        made = json.loads(request.content).get("name")
        said = ActionDone(namespace=job.namespace, kind="AgentJob", name=job.name, action=action, made=made)
        return httpx.Response(200, json=said.model_dump(by_alias=True))

    return answer


def posted(answers):
    return [(one.url.path, json.loads(one.content)) for one in answers.asked if one.method == "POST"]


async def sent(pages, path, **fields):
    return await pages.post(path, data={"csrf": "csrf-of-ada", **fields})


async def test_the_page_says_what_will_happen_before_it_is_confirmed(pages, answers, known):
    runs, ended = running(1), failed(2)
    known(runs, ended)

    answer = await sent(
        pages, "/bulk", action="cancel", job=[target_of(runs).token, target_of(ended).token], list_query="phase=Failed"
    )

    assert "Cancel 1 job?" in answer.text
    assert "it has ended already" in answer.text
    assert 'href="/jobs?phase=Failed">Back without changes' in answer.text
    assert posted(answers) == []


async def test_running_jobs_are_not_rerun(pages, known):
    known(running(1))

    answer = await sent(pages, "/bulk", action="rerun", job=[target_of(running(1)).token])

    assert "it has not ended" in answer.text
    assert "/bulk/run" not in answer.text


async def test_a_deleted_or_unreadable_job_is_reported(pages, known):
    known()

    answer = await sent(pages, "/bulk", action="cancel", job=["secret/other/uid-1"])

    assert "not found" in answer.text


async def test_another_job_of_the_same_name_is_not_affected(pages, known):
    known(running(1, uid="newer-uid"))

    answer = await sent(pages, "/bulk", action="cancel", job=[target_of(running(1)).token])

    assert "not found" in answer.text


async def test_an_empty_selection_is_reported(pages, known):
    known()

    assert "No jobs were selected." in (await sent(pages, "/bulk", action="cancel")).text


def asked_lists(answers):
    return [one.url.params for one in answers.asked if one.url.path == "/v1/agentjobs"]


@pytest.mark.parametrize(
    ("action", "phases"),
    [
        ("cancel-all", [phase for phase in PHASES if phase not in OVER]),
        ("rerun-all", [*sorted(OVER, key=PHASES.index)]),
    ],
)
async def test_a_selection_of_all_matches_contains_only_jobs_that_the_action_changes(
    pages, answers, known, action, phases
):
    known(running(1))

    await sent(pages, "/bulk", action=action, list_query="namespace=team-a&queue=agents&order=oldest")

    (asked,) = asked_lists(answers)
    assert asked.get_list("phase") == phases
    assert (asked["namespace"], asked["queue"], asked["order"]) == ("team-a", "agents", "oldest")


async def test_a_selection_of_all_matches_keeps_the_phases_of_the_list(pages, answers, known):
    known(running(1))

    await sent(pages, "/bulk", action="cancel-all", list_query="phase=Running&phase=Failed")

    assert asked_lists(answers)[0].get_list("phase") == ["Running"]


async def test_a_list_of_ended_jobs_has_none_to_cancel(pages, answers, known):
    known(failed(1))

    answer = await sent(pages, "/bulk", action="cancel-all", list_query="phase=Failed")

    assert "have ended" in answer.text
    assert asked_lists(answers) == []


@pytest.fixture
def long_list(answers, known):
    """Lets REST list these jobs page by page, as it does: a cursor is where the next page begins."""

    def given(*jobs):
        known(*jobs)

        def listed(request):
            begin, limit = int(request.url.params.get("cursor", "0")), int(request.url.params["limit"])
            return a_page(
                *jobs[begin : begin + limit], cursor=str(begin + limit) if begin + limit < len(jobs) else None
            )

        answers["/v1/agentjobs"] = listed

    return given


def hidden(page, name):
    return re.findall(f'<input type="hidden" name="{name}" value="([^"]*)">', page.text)


async def followed(pages, action, list_query):
    """Act on all that match, page after page; return how many jobs were on each page, and the pages that asked."""
    acted, asking = [], [await sent(pages, "/bulk", action=f"{action}-all", list_query=list_query)]
    while jobs := hidden(asking[-1], "job"):
        acted.append(len(jobs))
        values = {name: hidden(asking[-1], name) for name in ("token", "list_query", "cursor", "before")}
        done = await sent(pages, "/bulk/run", action=action, job=jobs, **values)
        if "Continue with the next jobs" not in done.text:
            break
        values = {name: hidden(done, name) for name in ("list_query", "cursor", "before")}
        asking.append(await sent(pages, "/bulk", action=f"{action}-all", **values))
    return acted, asking


@pytest.mark.parametrize(("action", "job"), [("cancel", running), ("rerun", failed)])
async def test_all_pages_of_a_long_list_are_processed_one_after_the_other(pages, answers, long_list, action, job):
    long_list(*(job(number) for number in range(450)))

    acted, asking = await followed(pages, action, "queue=agents")

    assert acted == [200, 200, 50]
    assert "250 other jobs" in asking[0].text
    assert "50 other jobs" in asking[1].text
    assert "other job" not in asking[2].text
    assert len({path for path, _ in posted(answers)}) == 450


async def test_remaining_jobs_are_counted_up_to_500(pages, long_list):
    long_list(*(running(number) for number in range(800)))

    assert "more than 500 other jobs" in (await sent(pages, "/bulk", action="cancel-all", list_query="")).text


async def test_jobs_created_since_the_first_page_are_left_out(pages, answers, long_list):
    long_list(*(failed(number) for number in range(250)))

    _, asking = await followed(pages, "rerun", "order=oldest")

    (before,) = hidden(asking[0], "before")
    assert ["until" in asked and asked["until"] for asked in asked_lists(answers)] == [False, False, before]


async def test_a_form_without_its_list_matches_no_job(pages, answers, known):
    known(running(1))

    answer = await sent(pages, "/bulk", action="cancel-all")

    assert (answer.status_code, "This form is invalid" in answer.text) == (400, True)
    assert asked_lists(answers) == []


@pytest.mark.parametrize("list_query", ["phase=Broken", "fase=Failed"])
async def test_an_invalid_list_matches_no_job(pages, answers, known, list_query):
    known(running(1))

    assert (await sent(pages, "/bulk", action="cancel-all", list_query=list_query)).status_code == 400
    assert asked_lists(answers) == []


async def test_an_invalid_time_is_refused(pages, known):
    known(running(1))

    assert (await sent(pages, "/bulk", action="cancel-all", list_query="", before="soon")).status_code == 400


async def test_many_names_are_looked_up_in_few_requests(pages, answers, known):
    jobs = [running(number) for number in range(45)]
    known(*jobs)

    answer = await sent(pages, "/bulk", action="cancel", job=[target_of(job).token for job in jobs])

    assert "Cancel 45 jobs?" in answer.text
    assert [request.url.path for request in answers.asked].count("/v1/agentjobs") == 3


async def test_more_than_200_jobs_in_a_form_are_refused(pages, answers, known):
    answer = await sent(pages, "/bulk", action="cancel", job=[f"a/b/c{number}" for number in range(MAX_JOBS + 1)])

    assert answer.status_code == 400
    assert answers.asked == []


async def test_the_action_on_each_job_uses_its_uid_and_is_reported(pages, answers, known):
    runs, lost = running(1), running(2)
    known(runs, lost, refused={lost.name: refusal(403, "Forbidden", "ada may not patch agentjobs")})

    answer = await sent(
        pages, "/bulk/run", action="cancel", token=TOKEN, job=[target_of(runs).token, target_of(lost).token]
    )

    assert f"/v1/namespaces/team-a/agentjobs/{runs.uid}/cancel" in [path for path, _ in posted(answers)]
    assert "1 cancelled, 1 not" in answer.text
    assert "ada may not patch agentjobs" in answer.text


async def test_a_form_sent_twice_requests_the_same_new_job(pages, answers, known):
    known(failed(0))

    for _ in range(2):
        answer = await sent(pages, "/bulk/run", action="rerun", token=TOKEN, job=[target_of(failed(0)).token])

    (_, first), (_, second) = posted(answers)
    assert first["name"] == second["name"] != failed(0).name
    assert f'href="/jobs/team-a/{first["name"]}"' in answer.text


async def test_a_job_that_the_form_already_created_counts_as_done(pages, known):
    known(failed(0), refused={failed(0).name: refusal(409, "AlreadyExists", "there is one")})

    answer = await sent(pages, "/bulk/run", action="rerun", token=TOKEN, job=[target_of(failed(0)).token])

    assert "1 run again" in answer.text
    assert "already created" in answer.text


async def test_a_rate_limited_action_is_retried(pages, answers, known):
    known(running(1))
    told = [refusal(429, "TooManyRequests", **{"Retry-After": "0"}), done(running(1), "cancel")]

    def answer_in_turn(request):
        now = told.pop(0)
        return now(request) if callable(now) else now

    answers["POST", f"/v1/namespaces/team-a/agentjobs/{uid_of('research-0001')}/cancel"] = answer_in_turn

    answer = await sent(pages, "/bulk/run", action="cancel", token=TOKEN, job=[target_of(running(1)).token])

    assert "1 cancelled" in answer.text
    assert told == []


async def test_only_a_few_requests_are_in_progress_at_a_time(pages, answers, known, monkeypatch):
    jobs, under_way, most = [running(number) for number in range(30)], [0], [0]
    known(*jobs)

    async def act(self, kind, namespace, name, action, body=None):
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        await asyncio.sleep(0)
        under_way[0] -= 1
        return ActionDone(namespace=namespace, kind="AgentJob", name=name, action=action)

    # Answers of REST are functions here, and would never overlap.
    monkeypatch.setattr(Rest, "act", act)
    answer = await sent(pages, "/bulk/run", action="cancel", token=TOKEN, job=[target_of(job).token for job in jobs])

    assert "30 cancelled" in answer.text
    assert most == [AT_ONCE]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"action": "delete", "token": TOKEN, "job": "a/b/c"}, id="another-action"),
        pytest.param({"action": "cancel", "token": "short", "job": "a/b/c"}, id="no-token"),
        pytest.param({"action": "cancel", "token": TOKEN, "job": "../../x/y"}, id="no-job"),
    ],
)
async def test_an_invalid_form_has_no_effect(pages, answers, fields):
    answer = await sent(pages, "/bulk/run", **fields)

    assert answer.status_code == 400
    assert answers.asked == []


async def test_a_user_whose_session_ended_meanwhile_signs_in_again(pages, known):
    known(running(1), refused={running(1).name: refusal(401, "Unauthorized")})

    answer = await sent(pages, "/bulk/run", action="cancel", token=TOKEN, job=[target_of(running(1)).token])

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


async def test_reloading_the_address_of_a_form_redirects_to_the_list(pages):
    assert (await pages.get("/bulk/run")).headers["location"] == "/jobs"


async def test_each_form_has_its_own_token(pages, known):
    known(failed(0))
    forms = [(await sent(pages, "/bulk", action="rerun", job=[target_of(failed(0)).token])).text for _ in range(2)]

    first, second = (re.search('name="token" value="([0-9a-f]{32})"', form)[1] for form in forms)

    assert first != second


@given(names, st.uuids())
def test_the_name_of_a_rerun_is_valid_in_kubernetes(name, uid):
    made = name_again(Target("team-a", name, str(uid)), TOKEN)

    assert len(made) <= MAX_JOB_NAME
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", made)
    assert made != name_again(Target("team-b", name, str(uid)), TOKEN)


@pytest.mark.parametrize("value", ["", "a/b", "a/b/c/d", "A/b/c", "a/../c", "a/b/<script>", "a/b/c\n"])
def test_invalid_targets_are_left_out(value):
    assert targets([value, "a/b/c"]) == (Target("a", "b", "c"),)


def test_a_job_selected_twice_gets_the_action_once():
    assert len(targets(["a/b/c", "a/b/c"])) == 1


@pytest.mark.parametrize("place", ["/bulk", "/bulk/run"])
@pytest.mark.parametrize(
    ("list_query", "status"), [("namespace=a&" * 500, 200), ("a=b&" * 5000, 400)], ids=["many", "too-many"]
)
async def test_a_form_of_a_list_with_a_long_address_is_read_or_refused(
    pages, answers, known, place, list_query, status
):
    known(running(1))

    answer = await sent(
        pages, place, action="cancel", job=[target_of(running(1)).token], token=TOKEN, list_query=list_query
    )

    assert answer.status_code == status
    assert len(posted(answers)) == (place == "/bulk/run" and status == 200)


async def test_the_navigation_marks_jobs_as_the_current_page(pages, known):
    known(running(1))

    answer = await sent(pages, "/bulk", action="cancel", job=[target_of(running(1)).token])

    assert re.search(r'href="/jobs" aria-current="page">Jobs', answer.text)
