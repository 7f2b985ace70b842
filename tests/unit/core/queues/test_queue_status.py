"""The status of a queue, and the precedence of its reasons."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentjobs.api.conditions import find_condition
from agentjobs.core.queues.model import parse_queue
from agentjobs.core.queues.policy import Backlog, ExceededBudget, QueuePolicy, Rate, Stop
from agentjobs.core.queues.status import QueueView, status_of

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=15)
WHOLE, SHARE = ExceededBudget("day", LATER), ExceededBudget("day", LATER, "ann")
RATE = Rate(1, timedelta(minutes=1))


def a_queue(**spec):
    meta = {"namespace": "default", "name": "fast", "uid": "u", "resourceVersion": "1", "generation": 3}
    return parse_queue({"metadata": meta, "spec": spec})


def said(kind, policy=None, *, queue=None, known=True, **view):
    seen = QueueView(queue or a_queue(), policy or QueuePolicy(10), known, **view)
    condition = find_condition(status_of(seen, NOW).conditions, kind)
    return condition.status, condition.reason


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (QueuePolicy(10), ("True", "Open")),
        (QueuePolicy(0), ("False", "NoSlots")),
        (QueuePolicy(10, stopped=Stop.HOLD), ("False", "Held")),
        (QueuePolicy(10, stopped=Stop.HOLD_AND_DRAIN), ("False", "Drained")),
        (QueuePolicy(10, exceeded=(WHOLE,)), ("False", "BudgetExceeded")),
        (QueuePolicy(10, exceeded=(SHARE,)), ("True", "Open")),
        (QueuePolicy(0, stopped=Stop.HOLD, exceeded=(WHOLE,)), ("False", "Held")),
    ],
    ids=["open", "no-slots", "held", "drained", "budget", "a-share", "all-of-it"],
)
def test_a_queue_has_a_condition_whether_it_starts_jobs(policy, told):
    assert said("Open", policy) == told


@pytest.mark.parametrize(("known", "holds"), [(True, "True"), (False, "False")], ids=["last-legal", "none"])
def test_an_invalid_spec_is_reported_and_the_last_valid_one_applies(known, holds):
    broken = a_queue(rateLimit={"starts": 0, "period": "1m"})

    assert said("Open", queue=broken, known=known) == (holds, "InvalidSpec")


@pytest.mark.parametrize(
    ("policy", "view", "told"),
    [
        (QueuePolicy(10), {"waiting": 50}, ("False", "NotLimited")),
        (QueuePolicy(10, rate=RATE), {"rate_reached": True}, ("True", "RateLimit")),
        (QueuePolicy(10, exceeded=(SHARE,)), {}, ("True", "BudgetExceeded")),
        (QueuePolicy(10, exceeded=(WHOLE,), rate=RATE), {"rate_reached": True}, ("True", "BudgetExceeded")),
        (QueuePolicy(10, backlog=Backlog(5)), {"waiting": 5}, ("False", "NotLimited")),
        (QueuePolicy(10, backlog=Backlog(5)), {"waiting": 6}, ("True", "BacklogFull")),
        (QueuePolicy(10, backlog=Backlog(5, rejects=True)), {"waiting": 5}, ("True", "BacklogFull")),
    ],
    ids=["slots-alone", "rate", "a-share", "budget-first", "backlog-at-max", "backlog-over", "backlog-rejects"],
)
def test_a_queue_names_its_limits_besides_slots(policy, view, told):
    assert said("Limited", policy, **view) == told


def test_counts_are_in_the_status_and_an_equal_status_is_not_written():
    view = QueueView(a_queue(), QueuePolicy(10), True, running=1, waiting=2, scheduled=3, suspended=4, oldest=NOW)
    status = status_of(view, NOW)
    raw = status.to_dict()

    assert [raw[name] for name in ("running", "waiting", "scheduled", "suspended")] == [1, 2, 3, 4]
    assert (raw["oldestWaitingTime"], raw["observedGeneration"]) == ("2026-11-21T09:00:00Z", 3)
    again = replace(view, queue=replace(view.queue, status=status, raw_status=raw))
    assert status_of(again, LATER).patch_from(raw) == {}
