"""The list of jobs over answers of REST."""

import re
from datetime import timedelta

import pytest
from tests.dashboardpages import refusal
from tests.dashboardsamples import HOSTILE, a_job, a_page, answer_busily, failed, mixed, uid_of

from agentjobs.dashboard.pages.jobs import LISTED
from agentjobs.dashboard.views.job_filters import PHASES
from agentjobs.dashboard.views.jobs import VIEWS, rows


@pytest.fixture
def listed(answers):
    """Sets which jobs REST lists."""

    def given(*jobs, cursor=None):
        answer_busily(answers, list_of=lambda request: a_page(*jobs, cursor=cursor))

    given()
    return given


def asked_of(answers):
    return next(request.url.params for request in answers.asked if request.url.path == "/v1/agentjobs")


async def test_a_job_is_listed_with_its_outcome(pages, listed):
    listed(failed(2))

    page = await pages.get("/jobs")

    assert page.status_code == 200
    assert f'href="/jobs/team-a/{uid_of("refund-check-0002")}"' in page.text
    assert "512 MiB" in page.text
    assert 'href="/reasons/OOMKilled"' in page.text


async def test_the_list_requests_the_filters_of_its_url(pages, answers, listed):
    await pages.get("/jobs?namespace=team-a&phase=Failed&phase=Cancelled&queue=a,b&minCost=1&order=cost&cursor=xyz")

    asked = asked_of(answers)
    assert asked.get_list("phase") == ["Failed", "Cancelled"]
    assert (asked["queue"], asked["minCost"], asked["order"], asked["cursor"]) == ("a,b", "1", "cost", "xyz")
    assert asked.get_list("namespace") == ["team-a"]


async def test_the_form_redirects_to_an_address_that_can_be_bookmarked(pages, listed):
    answer = await pages.get("/jobs?form=1&namespace=team-a&text=&in.queue=a%2C+b&within=7d")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/jobs?namespace=team-a&queue=a&queue=b&within=7d"


async def test_the_next_page_keeps_the_filter(pages, listed):
    listed(*mixed(3), cursor="c/2")

    page = await pages.get("/jobs?phase=Failed&cursor=c1")

    assert 'href="/jobs?phase=Failed&amp;cursor=c%2F2"' in page.text
    assert 'href="/jobs?phase=Failed">First page' in page.text


async def test_an_invalid_value_is_reported_at_its_field_and_causes_no_request(pages, answers, listed):
    page = await pages.get("/jobs?minCost=abc&queue=default")

    assert page.status_code == 200
    assert re.search(r'value="abc"[^>]*aria-invalid="true" aria-describedby="wrong-minCost"', page.text)
    assert "/v1/agentjobs" not in [request.url.path for request in answers.asked]


async def test_an_unknown_parameter_is_named_and_causes_no_request(pages, answers, listed):
    page = await pages.get("/jobs?fase=Failed&queue=default&cursor=c1")

    assert "no filter <code>fase</code>" in page.text
    assert 'href="/jobs?queue=default">Leave it out' in page.text
    assert "No job matches" not in page.text
    assert "/v1/agentjobs" not in [request.url.path for request in answers.asked]


async def test_a_refusal_by_rest_is_shown_on_the_page(pages, answers, listed):
    answers["/v1/agentjobs"] = refusal(400, "BadRequest", "cursor: this is no cursor of this list")

    page = await pages.get("/jobs?phase=Failed&cursor=stolen")

    assert page.status_code == 200
    assert "this is no cursor of this list" in page.text
    assert 'href="/jobs?phase=Failed">First page' in page.text


async def test_an_empty_list_suggests_filters_to_remove(pages, listed):
    page = await pages.get("/jobs?phase=Failed&queue=none")

    assert "No job matches" in page.text
    assert 'href="/jobs?phase=Failed">without queue:' in page.text
    assert "history.retention" in page.text


async def test_an_empty_list_of_some_namespaces_says_whose_jobs_it_has(pages, answers, listed):
    listed()
    answers["/v1/namespaces"] = {"items": [], "everywhere": False}

    page = await pages.get("/jobs")

    assert "whose jobs you may list" in page.text
    assert "first job" not in page.text


async def test_lost_permissions_are_reported(pages, answers, listed):
    answers["/v1/agentjobs"] = refusal(403, "Forbidden", "You may not list AgentJobs in team-a.")

    page = await pages.get("/jobs?namespace=team-a")

    assert page.status_code == 403
    assert "You may not list AgentJobs in team-a." in page.text


async def test_a_page_requests_as_many_jobs_as_it_shows(pages, answers, listed):
    await pages.get("/jobs")

    assert asked_of(answers)["limit"] == str(LISTED)


async def test_a_page_of_jobs_with_long_messages_and_all_that_it_loads_weighs_less_than_150_kb(pages, listed):
    listed(*(job.model_copy(update={"message": "long message " * 90}) for job in mixed(LISTED)), cursor="next")

    page = await pages.get("/jobs")
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
    files = [(await pages.get(one)).content for one in loaded]

    assert len(files) == 7
    assert len(page.content) + sum(map(len, files)) <= 150_000


async def test_lines_of_a_page_are_not_indented(pages, listed):
    listed(*mixed(3))

    assert not re.search(r"^[ \t]", (await pages.get("/jobs")).text, re.MULTILINE)


async def test_hostile_texts_are_escaped(pages, listed):
    texts = dict.fromkeys(("reason", "message", "queue", "template", "model", "outcome", "namespace"), HOSTILE)
    listed(a_job(phase="Failed", **texts))

    page = await pages.get("/jobs", params={"text": "<script>alert(3)", "queue": "\u202e<b>", "label": "a=<i>"})

    # What was typed stands in its field as it is; everywhere else marks of direction are visible.
    seen = re.sub(r'value="[^"]*"', "", page.text)
    assert not re.search(r"<script>alert|<img src=x|<b>|<i>|\u202e|\x07", seen)


async def test_the_list_is_live_for_its_namespaces(pages, listed):
    page = await pages.get("/jobs?namespace=a&namespace=b")

    assert 'sse-connect="/v1/changes?namespace=a&amp;namespace=b"' in page.text


def test_views_use_known_phases():
    assert {value for _, words in VIEWS for name, value in words if name == "phase"} <= set(PHASES)


def test_a_job_without_a_start_has_no_duration_and_a_running_job_has_the_current_one(listed):
    now = a_job().created
    queued, runs = a_job(phase="Queued", now=now), a_job(phase="Running", age=timedelta(hours=2), now=now)

    assert [row.took for row in rows([queued, runs], now)] == [None, timedelta(hours=2)]


def test_forms_contain_the_uid_of_a_job():
    job = a_job("x")

    assert rows([job], job.created)[0].token == f"team-a/x/{uid_of('x')}"


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("", "Jobs"),
        ("?phase=Suspended", "Suspended: Jobs"),
        ("?phase=Failed&text=refund", "Jobs: Failed, refund"),
    ],
)
async def test_lists_have_different_titles(pages, listed, query, title):
    page = await pages.get(f"/jobs{query}")

    assert f"<title>{title} · AgentJobs</title>" in page.text
