"""How the options of `history` become a filter, and how a long list is read."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentjobs.api.job_filter import EVERY_JOB, NAMES, JobFilter, JobOrder
from agentjobs.cli import history
from agentjobs.cli.app import program
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
        ({"ended-since": "4h", "ended-until": "2026-11-29T12:00:00Z"}, JobFilter(ended_since=EIGHT, ended_until=NOW)),
        ({"min-cost": "0.5", "order": "cost"}, JobFilter(min_cost=Decimal("0.5"), order=JobOrder.COST)),
        ({"max-cost": "2"}, JobFilter(max_cost=Decimal(2))),
        ({"name": ["hello", "flaky"]}, JobFilter(name=("hello", "flaky"))),
        ({"text": "no luck"}, JobFilter(text="no luck")),
    ],
    ids=["nothing", "alternatives", "labels", "times", "ends", "cost", "highest cost", "names", "text"],
)
def test_options_become_a_filter(given, chosen):
    assert read(given, now=NOW) == chosen


@pytest.mark.parametrize(
    "given",
    [
        {"phase": ["Failde"]},
        {"reason": ["tool error"]},
        {"since": "yesterday"},
        {"until": "1200-01-01T00:00:00Z"},
        {"ended-since": "yesterday"},
        {"ended-until": "1200-01-01T00:00:00Z"},
        {"min-cost": "much"},
        {"max-cost": "-1"},
        {"order": "random"},
        {"selector": "team!=docs"},
        {"selector": "team=docs=x"},
        {"selector": ",".join(f"label-{number}" for number in range(21))},
        {"text": "--"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_an_invalid_value_is_refused_by_its_option(given):
    with pytest.raises(Failure, match=f"--{next(iter(given))}: ") as refused:
        read(given, now=NOW)

    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"since": "1h", "until": "4h"}, "^--until: 2026-11-29T08:00:00Z .* 2026-11-29T11:00:00Z"),
        ({"ended-since": "1h", "ended-until": "1h"}, "^--ended-until: 2026-11-29T11:00:00Z .* 2026-11-29T11:00:00Z"),
        ({"min-cost": "2", "max-cost": "1.5"}, "^--max-cost: 1.5 .* 2;"),
    ],
    ids=["created", "ended", "cost"],
)
def test_limits_that_no_job_can_match_are_refused_with_both_values(given, values):
    with pytest.raises(Failure, match=values) as refused:
        read(given, now=NOW)

    assert refused.value.code == 2


def test_a_duration_that_is_too_long_is_refused_as_too_long():
    with pytest.raises(Failure, match=r"^--since: .*366d"):
        read({"since": "99999999d"}, now=NOW)


def test_history_has_an_option_for_each_filter():
    verb = program().commands["history"]
    options = {option for parameter in verb.params for option in parameter.opts}

    assert {f"--{name.replace('_', '-')}" for name in NAMES.values()} - options == {"--label"}
    assert "--selector" in options


def test_the_option_name_is_a_filter_and_the_argument_is_one_job():
    words = ["history", "--name", "hello", "--name", "flaky"]
    context = program().make_context("agentjobs", words)
    name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])

    given = command.make_context(name, rest, parent=context).params

    assert (given["name"], given["names"]) == (None, ["hello", "flaky"])


def test_a_misspelt_reason_gets_a_suggestion():
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
def test_pages_are_read_until_the_limit_is_reached(limit, count, more, pages):
    gateway = Gateway()

    jobs, others = history._listed(gateway, "/v1/agentjobs", JobFilter(phase=("Failed", "Deleted")), limit)

    assert ([job["name"] for job in jobs], others) == ([f"job-{n}" for n in range(count)], more)
    assert [asked["limit"] for asked in gateway.asked] == pages
    assert {tuple(asked["phase"]) for asked in gateway.asked} == {("Failed", "Deleted")}


def test_the_wide_list_has_the_cost_of_each_job():
    job = {
        "name": "hello",
        "phase": "Succeeded",
        "reason": "ResultAccepted",
        "attempts": 1,
        "created": "2026-11-29T08:00:00Z",
        "finished": "2026-11-29T08:00:05Z",
        "deleted": None,
        "starts": 1,
        "uid": "u1",
    }

    head, priced, free = history._list(
        [{**job, "costUSD": "0.6000"}, {**job, "costUSD": None}], wide=True, everywhere=False
    ).splitlines()

    assert head.split()[-3:] == ["COST", "SCHEDULE", "UID"]
    assert ("$0.60" in priced, "$" in free) == (True, False)
