"""How much a browser loads for a page, decoded: at most 150 kB with an empty cache."""

import httpx
import pytest
from tests.dashboardjobs import a_span, a_start, a_story, an_object, answered, at
from tests.dashboardobjects import SHOP, a_queue, a_schedule, a_template, serve_queues

from agentjobs.api.recorded_overview import ScheduleList, TemplateList
from agentjobs.dashboard.rendering import FOLDER

MOST = 150_000
FILES = sum(file.stat().st_size for file in (FOLDER / "static").rglob("*") if file.suffix in (".js", ".css", ".svg"))
BUDGET = {"name": "day", "period": "Daily", "maxCostUSD": "20"}


@pytest.mark.parametrize("kind", ["queues", "schedules", "templates"])
async def test_a_list_of_a_hundred_jobs_is_small(answers, pages, kind):
    names = [f"an-object-of-many-{number:03}" for number in range(100)]
    phases = {"Running": 4, "Queued": 1234, "Retrying": 3}
    serve_queues(answers, *(a_queue(name, spec={"budgets": [BUDGET]}, phases=phases) for name in names))
    answers["/v1/namespaces"] = SHOP
    answers["/v1/namespaces/shop/schedules"] = ScheduleList(items=[a_schedule(name) for name in names])
    answers["/v1/namespaces/shop/templates"] = TemplateList(items=[a_template(name) for name in names])

    page = await pages.get(f"/{kind}")

    assert len(page.content) + FILES <= MOST
    assert page.text.count("an-object-of-many-") >= 40


async def test_the_page_of_a_job_with_forty_starts_and_five_thousand_steps_is_small(answers, pages):
    starts = [
        a_start(n, 500.0 * n, 500.0 * n + 490, verdict="Retry", reason="ToolError", message="it failed again " * 12)
        for n in range(1, 41)
    ]
    spans = [
        a_span(n, 500.0 + 4 * n, 503.0 + 4 * n, start=1 + (n - 1) // 125, kind="model" if n % 2 else "tool")
        for n in range(1, 5001)
    ]
    answered(answers, a_story(*starts, finished=at(20_500)), seen=an_object("Failed", "ToolError"), spans=spans)

    page = await pages.get("/jobs/docs/triage-7")

    assert len(page.content) + FILES <= MOST


@pytest.mark.parametrize(
    "line", ["x", "<a href='&'>" * 200, "\N{GRINNING FACE}" * 3000], ids=["short", "escaped", "wide"]
)
async def test_a_log_of_many_lines_is_light(answers, pages, line):
    text = "\n".join(f"2026-11-20T12:{n // 60:02}:{n % 60:02}.123456789Z {line}" for n in range(500))
    answered(answers, a_story(a_start()), seen=an_object(), logs=httpx.Response(200, text=text))

    page = await pages.get("/jobs/docs/triage-7?show=logs")

    assert len(page.content) + FILES <= MOST
    assert "Earlier lines" in page.text
