"""What a person does in a day on the pages of a whole cluster: looks, follows, stops, runs again."""

import re

import pytest
from playwright.sync_api import expect
from tests.browserpages import MILLISECONDS, follow
from tests.dashboardcluster import whole_cluster

pytestmark = pytest.mark.xdist_group("whole-dashboard")


@pytest.fixture(scope="module")
def whole(browser, backend, forks, tmp_path_factory):
    with whole_cluster(tmp_path_factory.mktemp("cluster"), backend, forks) as running:
        yield running


@pytest.fixture
def tab(browser, whole):
    """A page of a browser that is signed in; what its console complains of fails the test."""
    context = browser.new_context(base_url=whole.cluster.dashboard_url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(whole.cluster.sign_in_link())
    page.get_by_role("heading", name="Overview").wait_for()
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def open_job(tab, whole):
    """Open the page of a job."""
    return lambda name, **query: tab.goto(
        f"/jobs/{whole.namespace}/{name}" + "".join(f"?{key}={value}" for key, value in query.items())
    )


def phase(tab, wanted):
    expect(tab.locator("h1 .phase")).to_have_text(wanted)


def told(tab, text):
    expect(tab.locator("#main")).to_contain_text(text)


def test_a_link_signs_in_once(browser, whole):
    link = whole.cluster.sign_in_link()
    for heading in ("Overview", "AgentJobs"):
        context = browser.new_context()
        page = context.new_page()
        page.goto(link)
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(heading))
        context.close()


def test_a_job_is_followed_to_its_end_without_a_reload(tab, whole, open_job):
    whole.job("followed", {"delay": "2s", "text": "Here is what I found."})
    open_job("followed")
    tab.evaluate("window.neverReloaded = true")

    phase(tab, "Succeeded")
    told(tab, "Here is what I found.")
    assert tab.evaluate("window.neverReloaded") is True


def test_a_running_job_is_cancelled_and_run_again_from_its_page(tab, whole, open_job):
    whole.job("stopped", {"delay": "10m", "text": "Too late."})
    open_job("stopped")
    told(tab, "start 1.")
    follow(tab, tab.get_by_role("link", name="Cancel…"))
    follow(tab, tab.get_by_role("button", name="Cancel the job"))
    phase(tab, "Cancelled")

    tab.get_by_placeholder("a new name").fill("stopped-again")
    follow(tab, tab.get_by_role("button", name="Run again"))

    expect(tab.get_by_role("heading", level=1)).to_contain_text("stopped-again")
    told(tab, "start 1.")
    follow(tab, tab.get_by_role("button", name="Suspend"))
    phase(tab, "Suspended")


def test_a_tools_call_of_a_later_start_leads_to_its_step_and_back(tab, whole, open_job):
    whole.example("resume.yaml")
    open_job("resume")
    phase(tab, "Succeeded")
    follow(tab, tab.get_by_role("link", name="Transcript", exact=True))
    tab.get_by_text("customer='Cleo'").click()
    follow(tab, tab.get_by_role("link", name="Its step").filter(visible=True))
    expect(tab.locator("tr:target + tr.opened")).to_contain_text("Arguments customer='Cleo'")

    follow(tab, tab.get_by_role("link", name="Its call in the transcript"))
    expect(tab.locator(".turn:target")).to_contain_text("customer='Cleo'")


def test_a_template_runs_by_its_form(tab, whole):
    whole.example("template.yaml")
    tab.goto(f"/templates/{whole.namespace}/review")
    tab.get_by_label("repository").fill("basket")
    tab.get_by_label("depth").select_option("thorough")
    follow(tab, tab.get_by_role("button", name="Run", exact=True))

    told(tab, "Review the last change of basket.")
    phase(tab, "Succeeded")


def test_a_schedule_is_triggered_and_suspended(tab, whole):
    whole.example("schedules/morning-brief.yaml")
    tab.goto(f"/schedules/{whole.namespace}/morning-brief")
    follow(tab, tab.get_by_role("button", name="Trigger now"))
    expect(tab.locator("table a", has_text="morning-brief-").first).to_be_visible()

    follow(tab, tab.get_by_role("button", name="Suspend"))
    expect(tab.get_by_role("button", name="Resume")).to_be_visible()


def test_a_queue_is_paused_and_resumed(tab, whole, open_job):
    queue = {"kind": "AgentQueue", "metadata": {"name": "slow"}, "spec": {"concurrency": {"max": 1}}}
    whole.make({"apiVersion": "agentjobs.dev/v1alpha1", **queue})
    tab.goto(f"/queues/{whole.namespace}/slow")
    follow(tab, tab.get_by_role("button", name="Pause"))
    expect(tab.get_by_role("button", name="Resume")).to_be_visible()
    whole.job("held", {"text": "At last."}, queue="slow")
    told(tab, "held")

    follow(tab, tab.get_by_role("button", name="Resume"))
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    open_job("held")
    phase(tab, "Succeeded")


def test_a_job_that_is_deleted_while_looked_at_stays_on_its_page(tab, whole, open_job):
    whole.job("vanishing", {"delay": "10m", "text": "Too late."})
    open_job("vanishing")
    told(tab, "start 1.")
    whole.delete("AgentJob", "vanishing")

    told(tab, "Its object was deleted from the cluster")
    expect(tab.get_by_role("button", name="Run again")).to_be_visible()


def test_what_one_tab_orders_another_shows(tab, whole, open_job):
    whole.job("shared", {"delay": "10m", "text": "Too late."})
    open_job("shared")
    told(tab, "start 1.")
    other = tab.context.new_page()
    other.goto(f"/jobs/{whole.namespace}/shared/cancel")
    follow(other, other.get_by_role("button", name="Cancel the job"))

    phase(tab, "Cancelled")
    expect(tab.get_by_role("link", name="Cancel…")).to_have_count(0)
