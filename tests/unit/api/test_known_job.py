"""One job, as its object and history together tell of it."""

from tests.dashboardjobs import NOW, a_start, a_story, an_object, at

from agentjobs.api.explain import Order
from agentjobs.api.known_job import Known, explained
from agentjobs.api.recorded import StepSpan


def test_a_deleted_job_is_described_from_history_and_can_only_be_rerun():
    known = Known("triage-7", "docs", a_story(phase="Deleted", reason="", finished=None), None)
    told = explained(known, [], NOW)

    assert (known.phase, told.orders) == ("Deleted", (Order.RERUN,))
    assert "deleted before it ended" in told.sentence


def test_a_job_is_described_from_its_object_while_history_is_unavailable():
    known = Known("triage-7", "docs", None, an_object("Running"), no_history="away")

    assert explained(known, [], NOW).sentence.startswith("Running")


def test_the_activity_of_a_running_job_is_truncated():
    known = Known("triage-7", "docs", a_story(a_start(ended=None), phase="Running"), an_object("Running"))
    open_step = StepSpan(n=7, start=1, kind="tool", name="x" * 5_000, began=at(3), ended=None)
    told = explained(known, [open_step], at(9)).sentence

    assert "step 7, calling tool xxx" in told
    assert len(told) < 200
