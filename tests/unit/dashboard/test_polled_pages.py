"""Pages of what the stream of changes does not report are requested again from time to time."""

import pytest
from tests.dashboardobjects import (
    PAGES,
    SHOP,
    a_process,
    a_queue,
    a_schedule,
    a_template,
    an_installation,
    models_seen,
    serve_models,
)
from tests.dashboardsamples import a_page, answer_busily

from agentjobs.api.recorded_overview import OpenCounts, QueueList, RecordedActions, ScheduleList, TemplateList


@pytest.fixture(autouse=True)
def _objects(answers):
    answers["/v1/namespaces"] = SHOP
    answers["/v1/counts"] = OpenCounts(items=[])
    answers["/v1/agentjobs"] = a_page()
    serve_models(answers, models_seen())
    answers["/v1/installation"] = an_installation(a_process("operator"))
    answers["/v1/actions"] = RecordedActions(items=[], cursor=None)
    for kind, seen, listed in (
        ("queues", a_queue(), QueueList),
        ("schedules", a_schedule(), ScheduleList),
        ("templates", a_template(), TemplateList),
    ):
        answers[f"/v1/namespaces/shop/{kind}"] = listed(items=[seen])
        answers[f"/v1/namespaces/shop/{kind}/{seen.name}"] = seen


@pytest.mark.parametrize("path", sorted({*PAGES} - {"/queues/shop/agents/drain"}))
async def test_a_page_of_objects_processes_or_actions_is_updated_by_changes_and_by_polling(pages, path):
    page = (await pages.get(path)).text

    assert 'sse-connect="/v1/changes' in page
    assert " data-live data-polled>" in page


async def test_numbers_of_the_overview_age_without_a_change_so_it_is_polled_slowly(pages, answers):
    answer_busily(answers)

    assert ' data-live data-polled="60">' in (await pages.get("/")).text


async def test_a_list_of_jobs_is_not_polled(pages):
    page = (await pages.get("/jobs")).text

    assert " data-live>" in page
    assert "data-polled" not in page
