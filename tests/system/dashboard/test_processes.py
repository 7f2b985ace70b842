"""The dashboard of a whole development cluster in a browser, and what its pages say while parts of it are
unavailable."""

import asyncio
import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect
from tests.browserpages import MILLISECONDS

from agentjobs.dev.up import up
from devcluster.client import CONFIG_MAPS, Resource

pytestmark = pytest.mark.xdist_group("dashboard")
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
AWAY = "cannot be reached now"
ROOT = Path(__file__).parents[3]


class Running:
    """A cluster on a loop of its own: the browser's driver and asyncio do not share a thread."""

    def __init__(self, folder):
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = contextlib.AsyncExitStack()
        self.cluster = None

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    def __enter__(self):
        self._thread.start()
        self.cluster = self.do(self._stack.enter_async_context(up(self._folder, dashboard=True)))
        return self

    def __exit__(self, *_):
        self.do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, name):
        """Run the example under a name."""
        script, job = yaml.safe_load_all((ROOT / "examples/hello.yaml").read_text())
        script["metadata"]["name"] = job["metadata"]["name"] = name
        job["spec"]["agent"]["model"] = f"scripted/{name}/script"
        self.do(self.cluster.client.create(CONFIG_MAPS, "default", script))
        self.do(self.cluster.client.create(AGENTJOBS, "default", job))


@pytest.fixture(scope="module")
def running(browser, tmp_path_factory):
    with Running(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


@pytest.fixture
def tab(browser, running):
    with contextlib.closing(browser.new_context(base_url=running.cluster.dashboard_url)) as context:
        page = context.new_page()
        page.goto(running.cluster.sign_in_link())
        page.wait_for_url(f"{running.cluster.dashboard_url}/")
        page.goto("/jobs")
        yield page


def seen(tab, text):
    tab.locator("#main").get_by_text(text, exact=True).first.wait_for(timeout=MILLISECONDS)


def test_a_job_appears_on_an_open_page_by_itself(tab, running):
    running.submit("appearing")

    seen(tab, "appearing")


def test_while_postgresql_is_away_an_open_page_says_so_and_recovers(tab, running):
    os.kill(running.cluster.postgres.pid, signal.SIGKILL)
    tab.locator("#note", has_text=AWAY).wait_for(timeout=MILLISECONDS)
    running.do(running.cluster.restart_postgres())
    running.submit("after-postgres")

    seen(tab, "after-postgres")
    expect(tab.locator("#note")).to_be_hidden()


def test_a_dashboard_that_was_killed_comes_back_with_its_sessions(tab, running):
    part = running.cluster.parts["dashboard"]
    running.do(part.end(signal.SIGKILL))
    tab.locator("#note", has_text=AWAY).wait_for(timeout=MILLISECONDS)
    running._loop.call_soon_threadsafe(part.start)
    running.submit("after-the-dashboard")

    seen(tab, "after-the-dashboard")
