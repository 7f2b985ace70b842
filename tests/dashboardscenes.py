"""What the pictures of the documentation show: an installation at one fixed minute, as REST would answer it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.dashboardjobs import (
    a_move,
    a_span,
    a_start,
    a_step,
    a_story,
    an_entry,
    an_object,
    answered,
)
from tests.dashboardjobs import at as seconds_after
from tests.dashboardobjects import a_job as a_queued_job
from tests.dashboardobjects import a_queue, serve_queue
from tests.dashboardsamples import a_page, answer_busily, failed, mixed, running

from agentjobs.api.recorded import RecordedSteps

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
"""When the pictures are taken."""
_BACK = 6170
"""Seconds until the third start of the job: it waited that long for its provider."""
_ASKED = "Issue 1042: the refund of order 88-201 was paid twice. Find out why, and propose a fix on the issue."
_WHY = (
    "tool post_comment failed: PermissionError: 403 from the tracker: this token may not comment (triage/agent.py:41)"
)
_PLAN = """The refund was paid twice because **the webhook is retried while the first call is still open**:

1. `payments/refund.py` marks the order *after* it has called the bank.
2. The provider sends its webhook again after 10 s, and the bank takes 12 s.

I propose to mark the order first, and to name the payment by the webhook's id."""


def overview(answers):
    """Two days of an installation that is used."""

    def listed(request):
        if request.url.params.get_list("phase") == ["Running"]:
            return a_page(*(running(number, now=NOW) for number in range(6)))
        return a_page(*(failed(number, now=NOW) for number in range(4)))

    answer_busily(answers, now=NOW, list_of=listed)


def jobs(answers):
    """A page of jobs of all phases."""
    answer_busily(answers, now=NOW, list_of=lambda _request: a_page(*mixed(14, now=NOW), cursor="next"))


def failed_job(answers):
    """A job that lost its pod, waited for its provider for an hour and a half, and failed at a tool."""
    end = _BACK + 66
    starts = [
        a_start(
            1,
            41,
            103,
            verdict="Retry",
            reason="OOMKilled",
            message=_OOM,
            charged=True,
            cost_usd="0.0412",
            usage=_used(18_200, 610),
        ),
        a_start(
            2,
            133,
            171,
            attempt=2,
            verdict="Snooze",
            reason="ModelRateLimited",
            message=_LIMIT,
            cost_usd="0.0087",
            usage=_used(6_400, 120),
        ),
        a_start(
            3,
            _BACK,
            end,
            attempt=2,
            verdict="Fail",
            reason="ToolError",
            message=_WHY,
            charged=True,
            cost_usd="0.0533",
            usage=_used(31_000, 1_480),
        ),
    ]
    moves = [
        a_move(1, 0, "Queued", "WaitingForSlot", "all 4 slots of queue agents are taken"),
        a_move(2, 41, "Running"),
        a_move(3, 103, "Retrying", "WaitingForBackoff"),
        a_move(4, 133, "Running"),
        a_move(5, 171, "Retrying", "WaitingForModelLimit"),
        a_move(6, _BACK, "Running"),
        a_move(7, end, "Failed", "ToolError", _WHY),
    ]
    labels = {"team": "payments", "source": "tracker"}
    told = {"labels": labels, "template": "triage", "attempts": 2, "cost_usd": Decimal("0.1032")}
    story = a_story(
        *starts, moves=moves, phase="Failed", reason="ToolError", message=_WHY, finished=seconds_after(end), **told
    )
    status = {"starts": 3, "attempts": 2, "completionTime": "2026-11-20T13:43:56Z", "conditions": _failed_because(_WHY)}
    seen = an_object("Failed", "ToolError", status=status, spec={"input": {"message": _ASKED}}, labels=labels)
    spans = [a_span(n, *times, start=start, kind=kind, name=name) for n, start, kind, name, *times in _STEPS]
    base = answered(answers, story, seen=seen, spans=spans, entries=_conversation())
    steps = [
        a_step(n, began, ended, start=start, kind=kind, name=name) for n, start, kind, name, began, ended in _STEPS
    ]
    answers[f"{base}/steps"] = RecordedSteps(items=steps, cursor=None)


_OOM = "the container used more than its limit of 512 MiB"
_LIMIT = "429 from the provider: try again in 6000 s"
_STEPS = [
    (1, 1, "model", "gemini-flash-latest", 47, 58),
    (2, 1, "tool", "read_issue", 58, 61),
    (3, 1, "model", "gemini-flash-latest", 61, 80),
    (4, 1, "tool", "search_code", 80, 103),
    (5, 2, "tool", "search_code", 139, 158),
    (6, 2, "model", "gemini-flash-latest", 158, 171),
    (7, 3, "model", "gemini-flash-latest", _BACK + 6, _BACK + 31),
    (8, 3, "model", "gemini-flash-latest", _BACK + 33, _BACK + 58),
    (9, 3, "tool", "post_comment", _BACK + 58, _BACK + 64),
]


def _used(tokens_in, tokens_out):
    return {"inputTokens": tokens_in, "outputTokens": tokens_out}


def _failed_because(why):
    failed_ = {"type": "Failed", "status": "True", "reason": "ToolError", "message": why}
    accepted = {"type": "Accepted", "status": "True", "reason": "Resolved", "message": ""}
    return [one | {"lastTransitionTime": "2026-11-20T13:43:56Z"} for one in (accepted, failed_)]


def _conversation():
    def model(seq, seconds, name, args, used, start=3):
        call = {"name": name, "callId": f"c{seq}", "args": args}
        data = {"model": "gemini-flash-latest", "toolCalls": [call]} | used
        return an_entry(seq, "model", data, start=start, seconds=seconds)

    few, many = ({"inputTokens": 5_200, "outputTokens": 88}, {"inputTokens": 21_400, "outputTokens": 410})
    found = {"files": ["payments/refund.py", "payments/webhook.py"], "lines": 14}
    return [
        an_entry(1, "started", {"attempt": 1, "start": 1, "adk": "2.13.0"}, start=1, seconds=45),
        model(2, 58, "read_issue", {"number": 1042}, few, start=1),
        an_entry(3, "tool", {"name": "read_issue", "result": {"title": "Paid twice"}}, start=1, seconds=61),
        model(4, 80, "search_code", {"words": "refund webhook"}, few, start=1),
        an_entry(1, "started", {"attempt": 2, "start": 3, "adk": "2.13.0"}, start=3, seconds=_BACK + 4),
        an_entry(2, "resumed", {"fromStep": 7, "replayed": 5}, start=3, seconds=_BACK + 5),
        an_entry(3, "tool", {"name": "search_code", "result": found}, start=3, seconds=_BACK + 31),
        an_entry(4, "text", {"text": _PLAN, "final": False}, start=3, seconds=_BACK + 57),
        model(5, _BACK + 58, "post_comment", {"issue": 1042, "body": "The refund was paid twice …"}, many),
        an_entry(6, "tool", {"name": "post_comment", "result": {"error": "403"}}, start=3, seconds=_BACK + 64),
        an_entry(7, "error", {"code": "ToolError", "message": _WHY}, start=3, seconds=_BACK + 64),
    ]


def queue(answers):
    """A queue that is full, with a budget for the day."""
    budget = {"name": "day", "period": "Daily", "maxCostUSD": "20", "onExceeded": "Hold"}
    spec = {"concurrency": {"max": 4, "perPartition": 2}, "strategy": "Fair", "budgets": [budget]}
    spend = [{"name": "day", "costUSD": "13.42", "resets": "2026-11-21T00:00:00Z"}]
    seen = a_queue(spec=spec, phases={"Running": 4, "Queued": 5}, max=4, slots={"used": 4}, used=4, spend=spend)
    mine = []
    for number in range(9):
        runs = number < 4
        created = NOW - timedelta(minutes=39 - 4 * number)
        mine.append(
            a_queued_job(
                f"{('triage', 'digest', 'review')[number % 3]}-{1042 + number}",
                phase="Running" if runs else "Queued",
                reason="Admitted" if runs else "WaitingForSlot",
                message="" if runs else "all 4 slots of queue agents are taken",
                partition_key=f"customer-{1 + number % 3}",
                created=created,
                changed=created + timedelta(minutes=2) if runs else created,
                cost_usd=Decimal("0.0213") * (4 - number) if runs else None,
                priority=0 if number < 8 else 5,
            )
        )
    serve_queue(answers, seen, *mine)
