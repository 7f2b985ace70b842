"""The overview over answers of REST."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from tests.dashboardpages import refusal
from tests.dashboardsamples import HOSTILE, a_page, answer_busily, answer_with_nothing, counts, failed, uid_of

from agentjobs.api import conditions
from agentjobs.api.causes import HOLDS, SUSPENSIONS
from agentjobs.api.conditions import DescribedEnum
from agentjobs.api.recorded_overview import Activity, ActivitySlice, OpenCounts, OpenJobs, UsagePoint, UsageSeries
from agentjobs.dashboard.rendering import FOLDER
from agentjobs.dashboard.views.overview import MOST_KEYS, totals, used, waiting, window
from agentjobs.dashboard.views.time_axis import SPANS, slices

NOW = datetime(2026, 11, 29, 19, 24, 31, tzinfo=UTC)
PASSING = {"Resolved", "Admitted", "Suspended", "Finished", "Resumed"}
"""Reasons for which nothing is waited for: the job goes on by itself, or has ended."""


def asked_of(answers, path):
    return [request.url.params for request in answers.asked if request.url.path == path]


def no_activity():
    return Activity(since=NOW, until=NOW, seconds=60, slices=[], failures=[])


def test_jobs_that_wait_for_the_same_reason_are_one_row_with_the_oldest():
    first = next(one for one in waiting(counts(NOW), ["team-a"]) if one.reason == "WaitingForSlot")

    assert (first.jobs, first.queues) == (160, ("default", "reports"))
    assert first.since == NOW - timedelta(minutes=37)
    assert first.address == "/jobs?namespace=team-a&phase=Queued&reason=WaitingForSlot&order=oldest"


def test_the_most_frequent_wait_is_first_and_running_jobs_are_not_waiting():
    rows = waiting(counts(NOW), [])

    assert [row.jobs for row in rows] == sorted((row.jobs for row in rows), reverse=True)
    assert "Running" not in {row.phase for row in rows}


def test_suspended_jobs_are_not_counted_as_waiting():
    found = totals(counts(NOW), no_activity())

    assert (found.running, found.suspended) == (31, 2)
    assert found.waiting == 148 + 12 + 31 + 5 + 64 + 1


@pytest.mark.parametrize(
    ("succeeded", "failed_", "share"), [(0, 0, ""), (1, 1, "50%"), (5, 0, "100%"), (9999, 1, "99.9%"), (0, 3, "0%")]
)
def test_a_share_of_nearly_all_is_not_shown_as_100_percent(succeeded, failed_, share):
    begin = ActivitySlice(begin=NOW, succeeded=succeeded, failed=failed_)
    happened = no_activity().model_copy(update={"slices": [begin]})

    assert totals(OpenCounts(items=[]), happened).success == share


def test_wait_messages_are_shown_without_code_marks():
    items = [
        OpenJobs(namespace="a", queue="q", phase="Pending", reason=reason, jobs=1, since=NOW)
        for words in vars(conditions).values()
        if isinstance(words, type) and issubclass(words, DescribedEnum) and words is not DescribedEnum
        for reason in words
    ]

    found = waiting(OpenCounts(items=items), [])

    assert all(row.meaning for row in found)
    assert "`" not in "".join(row.meaning for row in found)


@pytest.mark.parametrize("reason", sorted({*HOLDS, *SUSPENSIONS} - PASSING))
def test_wait_messages_equal_those_of_the_jobs_pages(reason):
    phase, cause = ("Queued", HOLDS[reason]) if reason in HOLDS else ("Suspended", SUSPENSIONS[reason])
    jobs = OpenJobs(namespace="a", queue="q", phase=phase, reason=reason, jobs=1, since=NOW)

    (found,) = waiting(OpenCounts(items=[jobs]), [])

    assert found.meaning.endswith(cause.cure.replace("`", "") or ".")
    assert "{queue}" not in found.meaning


def test_two_views_within_a_slice_make_the_same_request():
    spans = [window(SPANS["24h"], NOW), window(SPANS["24h"], NOW + timedelta(minutes=20))]

    assert spans[0] == spans[1]
    assert spans[0][1] >= NOW


@pytest.mark.parametrize("word", SPANS)
def test_the_requested_time_range_consists_of_whole_slices(word):
    since, until = window(SPANS[word], NOW)
    shown = slices(since, until)

    assert (shown.first, shown.end) == (since, until)


def test_the_most_expensive_series_are_separate_and_the_rest_is_one():
    keys = [f"queue-{number}" for number in range(8)]
    point = {"begin": NOW, "calls": 1, "input_tokens": 10, "output_tokens": 1, "cost_usd": Decimal(1)}
    items = [UsagePoint(key=key, **point) for key in keys]
    series = UsageSeries(
        since=NOW - timedelta(hours=1),
        until=NOW,
        seconds=60,
        by="queue",
        items=items,
        keys=keys,
        others=[UsagePoint(key="", **point)],
    )

    found = used(series)

    assert [layer.name for layer in found.cost.layers] == [*keys[:MOST_KEYS], "others"]
    assert (found.calls, found.total_tokens, found.total_cost) == (9, 99, Decimal(9))


async def test_the_page_shows_what_failed_with_its_message(pages, answers):
    answer_busily(answers)

    page = await pages.get("/")

    assert page.status_code == 200
    assert "512 MiB" in page.text
    assert f'href="/jobs/team-a/{uid_of("triage-invoices-0000")}"' in page.text
    assert len(page.content) <= 60_000


async def test_the_page_requests_the_range_and_the_namespaces_of_its_url(pages, answers):
    answer_busily(answers)

    await pages.get("/?range=7d&namespace=team-a&namespace=team-b&by=model")

    (asked,) = asked_of(answers, "/v1/activity")
    since, until = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
    assert until - since == timedelta(days=7)
    assert asked.get_list("namespace") == ["team-a", "team-b"]
    assert asked_of(answers, "/v1/usage/series")[0]["by"] == "model"


async def test_the_page_is_live_for_the_namespaces_of_its_url(pages, answers):
    answer_busily(answers)

    page = await pages.get("/?namespace=team-b")

    assert 'sse-connect="/v1/changes?namespace=team-b"' in page.text


async def test_links_to_other_ranges_keep_the_other_parameters(pages, answers):
    answer_busily(answers)

    page = await pages.get("/?namespace=team-a&by=model")

    assert 'href="/?namespace=team-a&amp;by=model&amp;range=7d"' in page.text


async def test_an_unknown_range_is_reported_and_the_default_is_shown(pages, answers):
    answer_busily(answers)

    page = await pages.get("/?range=<b>2y</b>")

    assert page.status_code == 200
    assert "“&lt;b&gt;2y&lt;/b&gt;” is not a range" in page.text
    assert "failed in 24h" in page.text


async def test_without_jobs_the_page_explains_how_to_create_one(pages, answers):
    answer_with_nothing(answers)

    page = await pages.get("/")

    assert "Run your first job" in page.text
    assert "kubectl apply" in page.text


async def test_users_who_may_not_list_all_jobs_are_not_told_that_there_are_none(pages, answers):
    answer_with_nothing(answers)
    answers["/v1/namespaces"] = {"items": [], "everywhere": False}

    page = await pages.get("/")

    assert "No jobs that you may list" in page.text
    assert "There are no jobs yet" not in page.text


async def test_the_first_job_on_the_page_is_a_tested_example():
    example = Path(__file__).parents[3] / "examples/hello.yaml"

    assert list(yaml.safe_load_all((FOLDER / "templates/first_job.yaml").read_text())) == list(
        yaml.safe_load_all(example.read_text())
    )


async def test_an_installation_with_only_old_jobs_is_not_shown_as_new(pages, answers):
    answer_with_nothing(answers)
    answers["/v1/agentjobs"] = a_page(failed(age=timedelta(days=80)))

    page = await pages.get("/")

    assert "Run your first job" not in page.text
    assert "No job waits." in page.text


async def test_the_page_of_a_namespace_without_jobs_links_to_all_namespaces(pages, answers):
    answer_with_nothing(answers, namespaces=["team-a"])

    page = await pages.get("/?namespace=team-a")

    assert "No jobs here yet" in page.text


async def test_hostile_texts_are_escaped(pages, answers):
    answer_busily(answers)
    answers["/v1/agentjobs"] = a_page(failed(message=HOSTILE, reason=HOSTILE, queue=HOSTILE, namespace=HOSTILE))
    answers["/v1/counts"] = OpenCounts(
        items=[OpenJobs(namespace="a", queue=HOSTILE, phase="Queued", reason=HOSTILE, jobs=1, since=NOW)]
    )

    page = await pages.get("/")

    assert not re.search(r"<script>alert|<img src=x|\u202e|\x07", page.text)
    assert "x" * 400 not in re.sub(r"(href|value)=\S*", "", page.text)


async def test_an_unavailable_database_is_reported(pages, answers):
    answer_busily(answers)
    answers["/v1/counts"] = refusal(503, "Unavailable", "The database cannot be reached.")

    page = await pages.get("/")

    assert page.status_code == 503
    assert "The database cannot be reached." in page.text
    assert "tries again by itself" in page.text
