"""Holds: one list, in the order in which a job meets them."""

from pathlib import Path

import pytest

from agentjobs.core.job import needs
from agentjobs.core.job.actions import Decision, NeedOrDecision, Suspend, Wait
from agentjobs.core.job.holds import HOLDS
from agentjobs.core.queues.admission import Refusal

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "holds.md"

# What each hold but the first two needs to apply. All of them at the same time: the first in the list decides.
KNOWN = {
    "references": {"references": frozenset({("texts", "a")}), "missing": ("ConfigMap texts does not exist",)},
    "queue": {"queue_known": False},
    "prices": {"unpriced": ("spec.agent.model: the price is not known",)},
    "sinks": {"unknown_sinks": ("chat",)},
    "acceptance": {"history_available": False},
    "slot": {"slot": Refusal("WaitingForSlot", "full")},
}


def first(seen) -> tuple[str, NeedOrDecision | None]:
    """The hold that applies first, and its answer."""
    answers = ((hold.__name__, hold(seen.observation, seen.now)) for hold in HOLDS)
    return next(((name, answer) for name, answer in answers if answer is not None), ("", None))


def test_the_page_lists_all_holds_in_order_with_their_messages():
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    listed = [(name.removeprefix("| "), words.removesuffix(" |")) for name, words in rows]

    assert listed == [(hold.__name__.replace("_", " "), " ".join((hold.__doc__ or "").split())) for hold in HOLDS]


def test_a_job_that_nothing_holds_back_starts(scene):
    assert first(scene().granted()) == ("", None)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (("references", "queue", "prices", "sinks", "acceptance", "slot"), "ReferenceNotFound"),
        (("queue", "prices", "sinks", "acceptance", "slot"), "QueueNotFound"),
        (("prices", "sinks", "acceptance", "slot"), "UnknownModelPrice"),
        (("sinks", "acceptance", "slot"), "SinkNotFound"),
        (("acceptance", "slot"), "HistoryUnavailable"),
        (("slot",), "WaitingForSlot"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_hold_that_applies_decides(scene, order, reason):
    seen = scene()
    for name in order:
        seen.knowing(**KNOWN[name])

    name, answer = first(seen)

    assert name == order[0]
    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Wait)
    assert answer.action.reason == reason


def test_a_job_created_suspended_is_accepted_before_it_is_suspended(scene):
    seen = scene(suspend=True).knowing(queue_known=False)
    assert first(seen)[0] == "queue"

    name, answer = first(seen.knowing(queue_known=True))

    assert name == "suspension_from_the_start"
    assert isinstance(answer, Decision)
    assert isinstance(answer.action, Suspend)
    assert answer.action.accept


def test_the_trial_on_the_api_server_precedes_reading_references(scene):
    seen = scene().knowing(references=frozenset({("texts", "a")}), pod_problems=None)
    assert first(seen) == ("broken_spec", needs.PodDryRun())

    assert first(seen.knowing(pod_problems=())) == ("references", needs.References())
