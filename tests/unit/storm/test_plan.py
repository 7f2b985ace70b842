"""A storm is drawn before it begins."""

import pytest
from tests.storm.plan import REST, draw
from tests.storm.sabotage import Saboteur
from tests.storm.shapes import SCHEDULES, SHAPES, is_scheduled, kind_of, manifest, schedule


@pytest.mark.parametrize("backend", ["embedded", "envtest"])
def test_the_same_seed_creates_the_same_storm(backend):
    assert draw(7, 600, backend) == draw(7, 600, backend)
    assert draw(7, 600, backend) != draw(8, 600, backend)


def test_the_plan_of_users_is_the_same_for_every_api_server():
    assert draw(7, 600, "embedded").wishes == draw(7, 600, "envtest").wishes


def test_ten_minutes_have_two_thousand_jobs_of_every_kind():
    wishes = draw(1, 600, "embedded").wishes

    assert len(wishes) == pytest.approx(2040, rel=0.1)
    assert {kind_of(wish.name) for wish in wishes} == set(SHAPES)


@pytest.mark.parametrize("seed", range(20))
def test_faults_do_not_overlap_and_end_before_the_calm_phase(seed):
    plan = draw(seed, 300, "embedded")
    mended: dict[str, float] = {}
    for fault in plan.faults:
        assert fault.at >= mended.get(fault.target, 0) - 0.01
        mended[fault.target] = fault.at + fault.seconds + REST

    assert max(fault.at + fault.seconds for fault in plan.faults) <= plan.calm_at + 0.01


@pytest.mark.parametrize("backend", ["embedded", "envtest"])
def test_every_fault_has_an_implementation(backend):
    kinds = {fault.kind for seed in range(5) for fault in draw(seed, 600, backend).faults}

    assert len(kinds) > 12
    assert all(hasattr(Saboteur, "_" + kind.replace("-", "_")) for kind in kinds)


def test_every_planned_job_can_be_built():
    bodies = {wish.name: manifest(wish) for wish in draw(3, 60, "embedded").wishes}

    assert all(body["metadata"]["name"] == name for name, body in bodies.items())


def test_every_schedule_creates_its_own_simulated_jobs():
    bodies = [schedule(name) for name in SCHEDULES]

    assert all(is_scheduled(f"{body['metadata']['name']}-29000000") for body in bodies)
    assert not any(is_scheduled(wish.name) for wish in draw(3, 60, "embedded").wishes)
