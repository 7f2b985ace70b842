"""The pictures of README and documentation.

`SCREENSHOTS=write` writes them to docs/images, where pillow is installed: it gives them a palette, which halves them.
Otherwise they are made in a temporary folder, so that they can always be made, and show what they are to show.
"""

import os
import struct
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from agentjobs.dashboard import rendering
from agentjobs.dashboard.pages import job, jobs, overview
from tests import dashboardscenes as scenes

IMAGES = Path(__file__).parents[3] / "docs" / "images"
WIDTH = 1280
MOST = 150_000
"""Bytes of a picture that a reader loads."""
JOB = "/jobs/docs/triage-7"
PICTURES = {
    "dashboard-overview": (scenes.overview, "/", 1160, "Newest failures"),
    "dashboard-jobs": (scenes.jobs, "/jobs", 860, "More filters"),
    "dashboard-failed-job": (scenes.failed_job, JOB, 880, "Where the time went"),
    "dashboard-transcript": (scenes.failed_job, f"{JOB}?show=transcript", 1060, "Input"),
    "dashboard-queue": (scenes.queue, "/queues/shop/agents", 1080, "Waiting jobs"),
}


class _Stopped(datetime):
    """A clock that stands at the minute of the pictures."""

    @classmethod
    def now(cls, tz=None):
        return scenes.NOW.astimezone(tz)


@pytest.fixture
def stopped(monkeypatch, tab):
    for module in (rendering, job, jobs, overview):
        monkeypatch.setattr(module, "datetime", _Stopped)
    tab.clock.set_fixed_time(scenes.NOW)
    return tab


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_the_documentation_can_be_made(stopped, answers, tmp_path, name):
    scene, address, height, shown = PICTURES[name]
    scene(answers)
    stopped.set_viewport_size({"width": WIDTH, "height": height})
    stopped.goto(address)
    expect(stopped.get_by_text(shown, exact=True).first).to_be_visible()

    made = tmp_path / f"{name}.png"
    stopped.screenshot(path=made, animations="disabled")
    if os.environ.get("SCREENSHOTS") == "write":
        with_palette(made, IMAGES / made.name)

    assert size_of(made) == (WIDTH, height)
    assert 20_000 < made.stat().st_size < 2 * MOST


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_same_each_time(stopped, answers, name):
    scene, address, _, _ = PICTURES[name]
    scene(answers)

    first, second = (stopped.goto(address) and stopped.locator("#main").inner_text() for _ in range(2))

    assert first == second


def test_the_documentation_has_each_picture_and_no_other():
    assert sorted(IMAGES.glob("*.png")) == [IMAGES / f"{name}.png" for name in sorted(PICTURES)]
    assert [size_of(IMAGES / f"{name}.png") for name in PICTURES] == [(WIDTH, one[2]) for one in PICTURES.values()]
    assert max(one.stat().st_size for one in IMAGES.glob("*.png")) <= MOST


def with_palette(picture, to):
    from PIL import Image

    with Image.open(picture) as whole:
        whole.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE).save(
            to, optimize=True
        )


def size_of(picture):
    """Width and height, as the head of a PNG has them."""
    return struct.unpack(">II", picture.read_bytes()[16:24])
