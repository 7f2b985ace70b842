"""Overview, list of jobs and what is done to many, in a browser, on a whole cluster that makes real jobs."""

from pathlib import Path

import pytest
import yaml
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import expect
from tests.browserpages import MILLISECONDS, follow

from agentjobs.dev.up import up
from devcluster.client import CONFIG_MAPS, Resource

ROOT = Path(__file__).parents[3]
AGENTJOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")

pytestmark = pytest.mark.alone("a cluster with a dashboard of its own")


@pytest.fixture(scope="module")
def whole(backend, forks, tmp_path_factory):
    """A cluster with a dashboard, and what calls it from this thread."""
    cluster = up(
        tmp_path_factory.mktemp("cluster"), apiserver=backend, working_folder=ROOT, forks=forks, dashboard=True
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(cluster) as running:
        yield running, portal


@pytest.fixture
def make(whole):
    """Makes the objects of an example."""
    running, portal = whole
    kinds = {"ConfigMap": CONFIG_MAPS, "AgentJob": AGENTJOBS}

    def made(text):
        for body in yaml.safe_load_all(text):
            portal.call(running.client.create, kinds[body["kind"]], running.place.namespace, body)

    return made


@pytest.fixture
def visit(browser, whole):
    """A page of the browser, signed in."""
    running, _ = whole
    context = browser.new_context(base_url=running.dashboard_url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    page.goto(running.sign_in_link())
    page.get_by_role("heading", name="Overview").wait_for()
    yield page
    context.close()


def test_a_job_that_fails_is_seen_and_run_again_once(visit, make):
    failing = (ROOT / "examples/hopeless.yaml").read_text()
    visit.goto("/")
    expect(visit.get_by_role("heading", name="Run your first job")).to_be_visible()

    make(failing)

    # The page follows by itself: what failed comes with its message.
    expect(visit.get_by_text("the model's provider answered 503").first).to_be_visible()
    follow(visit, visit.get_by_role("link", name="failed in 24h"))
    visit.get_by_label("hopeless", exact=True).check()
    follow(visit, visit.get_by_role("button", name="Run again…"))
    follow(visit, visit.get_by_role("button", name="Run it again"))
    expect(visit.get_by_role("heading", level=1)).to_have_text("1 run again")
    again = visit.locator(".bulk-list li a").last.inner_text()

    # Sent a second time, the form makes no second job.
    visit.reload()
    expect(visit.locator(".bulk-list li a").last).to_have_text(again)
    visit.goto("/jobs?text=hopeless")
    expect(visit.locator("#list tbody tr")).to_have_count(2)

    visit.goto(f"/jobs?name={again}")
    expect(visit.locator("#list .phase")).to_have_text("Failed")


def test_all_that_wait_are_cancelled(visit, make):
    later = (ROOT / "examples/hello.yaml").read_text().replace("name: hello", "name: later")
    make(later.replace("spec:\n", "spec:\n  startAfter: 1h\n", 1).replace("scripted/hello", "scripted/later"))
    visit.goto("/jobs?phase=Scheduled")
    expect(visit.locator("#list .phase")).to_have_text("Scheduled")

    visit.locator("#all-that-match summary").click()
    follow(visit, visit.get_by_role("button", name="Cancel all…"))
    follow(visit, visit.get_by_role("button", name="Cancel it"))
    visit.goto("/jobs?name=later")

    expect(visit.locator("#list .phase")).to_have_text("Cancelled")
