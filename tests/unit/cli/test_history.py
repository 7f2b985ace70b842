"""How the options of `history` become a filter, and how a long list is read."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentjobs.api.job_filter import EVERY_JOB, JobFilter, JobOrder
from agentjobs.cli import history
from agentjobs.cli.failures import Failure
from agentjobs.cli.history_filters import misspelt, read

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
EIGHT = datetime(2026, 11, 29, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({}, EVERY_JOB),
        (
            {"phase": ["Failed", "Deleted"], "queue": ["agents"]},
            JobFilter(phase=("Failed", "Deleted"), queue=("agents",)),
        ),
        ({"selector": "team=docs, stage,x==y"}, JobFilter(label=("team=docs", "stage", "x=y"))),
        ({"since": "4h", "until": "2026-11-29T12:00:00Z"}, JobFilter(since=EIGHT, until=NOW)),
        ({"min-cost": "0.5", "order": "cost"}, JobFilter(min_cost=Decimal("0.5"), order=JobOrder.COST)),
        ({"text": "no luck"}, JobFilter(text="no luck")),
    ],
    ids=["nothing", "alternatives", "labels", "times", "cost", "text"],
)
def test_options_say_a_filter(given, chosen):
    assert read(given, now=NOW) == chosen


@pytest.mark.parametrize(
    "given",
    [
        {"phase": ["Failde"]},
        {"reason": ["tool error"]},
        {"since": "yesterday"},
        {"min-cost": "much"},
        {"order": "random"},
        {"selector": "team!=docs"},
        {"text": "--"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_cannot_be_meant_is_refused_by_its_option(given):
    with pytest.raises(Failure, match=f"--{next(iter(given))}: ") as refused:
        read(given, now=NOW)

    assert refused.value.code == 2


def test_a_reason_that_is_nearly_ours_gets_a_hint():
    assert list(misspelt(["ToolErorr", "ToolError", "OutOfStock"])) == ["--reason=ToolErorr: did you mean ToolError?"]


class Gateway:
    """Answers pages of a list of 1,200 jobs."""

    def __init__(self):
        self.asked = []

    def perform(self, send):
        self.asked.append(dict(send.params))
        begin, limit = int(send.params.get("cursor", "0")), int(send.params["limit"])
        items = [{"name": f"job-{n}"} for n in range(begin, min(1200, begin + limit))]
        return {"items": items, "cursor": str(begin + limit) if begin + limit < 1200 else None}


@pytest.mark.parametrize(
    ("limit", "count", "more", "pages"),
    [(50, 50, True, ["50"]), (700, 700, True, ["500", "200"]), (None, 1200, False, ["500", "500", "500"])],
    ids=["a page", "beyond a page", "all"],
)
def test_pages_are_read_until_there_are_enough(limit, count, more, pages):
    gateway = Gateway()

    jobs, others = history._listed(gateway, "/v1/agentjobs", JobFilter(phase=("Failed", "Deleted")), limit)

    assert ([job["name"] for job in jobs], others) == ([f"job-{n}" for n in range(count)], more)
    assert [asked["limit"] for asked in gateway.asked] == pages
    assert {tuple(asked["phase"]) for asked in gateway.asked} == {("Failed", "Deleted")}
