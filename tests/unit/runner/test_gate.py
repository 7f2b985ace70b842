"""The gate: which steps may begin, and when a closed gate is reported."""

import asyncio
import threading

import pytest

from agentjobs_runner.gate import AllSet, Gate
from agentjobs_runner.steps import StepKey


def step(name):
    return StepKey("", name, 1)


@pytest.fixture
def recorded():
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def reports():
    return []


@pytest.fixture
def gate(recorded, reports):
    return Gate(recorded, lambda: reports.append("boundary"), lambda: reports.append("progress"))


async def held(gate, key):
    task = asyncio.create_task(gate.enter(key))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def cancel(*tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_open_gate_lets_every_step_begin(gate, reports):
    await gate.enter(step("model"))
    gate.leave(step("model"))

    assert "boundary" not in reports


async def test_the_end_of_a_step_and_a_part_of_its_answer_are_progress(gate, reports):
    await gate.enter(step("model"))
    gate.note_progress()
    gate.leave(step("model"))

    assert reports == ["progress", "progress"]


async def test_running_steps_have_names(gate):
    await gate.enter(step("tool:1"), "tool search")
    await gate.enter(step("tool:2"), "tool fetch")
    gate.leave(step("tool:1"))

    assert gate.running == "tool fetch"


async def test_a_closed_gate_holds_the_next_step_and_reports_it(gate, reports):
    gate.close()
    task = await held(gate, step("model"))

    assert (task.done(), reports) == (False, ["boundary"])
    await cancel(task)


async def test_a_running_step_can_finish_before_the_boundary_is_reported(gate, reports):
    await gate.enter(step("tool 1"))
    gate.close()
    task = await held(gate, step("tool 2"))
    assert reports == []

    gate.leave(step("tool 1"))

    assert reports == ["progress", "boundary"]
    await cancel(task)


async def test_without_a_step_at_the_gate_nothing_is_reported(gate, reports):
    await gate.enter(step("tool"))
    gate.close()
    gate.leave(step("tool"))

    assert "boundary" not in reports


async def test_a_step_waits_for_an_unavailable_gateway(gate, recorded):
    recorded.clear()
    task = await held(gate, step("model"))
    assert not task.done()

    recorded.set()

    await asyncio.wait_for(task, 2)


async def test_a_step_that_waits_for_the_gateway_is_held_when_the_gate_closes(gate, recorded, reports):
    recorded.clear()
    task = await held(gate, step("model"))
    gate.close()
    await asyncio.sleep(0.1)

    assert (task.done(), reports) == (False, ["boundary"])
    await cancel(task)


async def test_a_tool_that_waits_for_a_held_inner_step_does_not_count_as_running(gate, reports):
    await gate.enter(step("tool"))
    gate.close()
    assert "boundary" not in reports

    task = asyncio.create_task(gate.enter(step("model"), within=(step("tool"),)))
    await asyncio.sleep(0)

    assert reports == ["boundary"]
    await cancel(task)


def test_steps_begin_only_while_timeline_and_journal_are_available():
    timeline, journal = threading.Event(), threading.Event()
    seen = []
    for flag in (timeline, journal):
        seen.append(AllSet(timeline, journal).is_set())
        flag.set()

    assert (seen, AllSet(timeline, journal).is_set()) == ([False, False], True)


def test_work_that_cannot_wait_runs_while_the_gate_is_closed_and_delays_its_report(gate, reports):
    gate.close()
    gate.note("value", "step rate")
    running = gate.running
    gate.leave("value")

    assert (running, gate.running) == ("step rate", "")
    assert "boundary" not in reports
