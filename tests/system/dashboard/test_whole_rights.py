"""What a page that is open says when rights, token, session or a part of the cluster go, and how it recovers."""

import os
import signal

import pytest
from playwright.sync_api import expect
from tests.browserpages import MILLISECONDS, follow
from tests.dashboardcluster import KINDS, whole_cluster

pytestmark = pytest.mark.xdist_group("rights-dashboard")
READS = [{"apiGroups": ["agentjobs.dev"], "resources": ["agentjobs"], "verbs": ["get", "list", "watch"]}]
AWAY = "cannot be reached now"


@pytest.fixture(scope="module")
def whole(browser, backend, forks, tmp_path_factory):
    with whole_cluster(tmp_path_factory.mktemp("cluster"), backend, forks) as running:
        running.job("seen", {"delay": "10m", "text": "Too late."})
        yield running


@pytest.fixture
def visit(browser, whole):
    """Sign in with a token, or as the administrator; return the page."""
    contexts = []

    def signed_in(token=None):
        contexts.append(context := browser.new_context(base_url=whole.cluster.dashboard_url))
        context.set_default_timeout(MILLISECONDS)
        page = context.new_page()
        page.goto("/sign-in" if token else whole.cluster.sign_in_link())
        if token:
            page.get_by_label("Token").fill(token)
            follow(page, page.get_by_role("button", name="Sign in"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        return page

    yield signed_in
    for context in contexts:
        context.close()


def address(whole, name="seen"):
    return f"/jobs/{whole.namespace}/{name}"


def shown(page, text):
    expect(page.locator("body")).to_contain_text(text)


def test_who_may_only_read_sees_the_job_and_stops_nothing(whole, visit):
    page = visit(whole.person("reader", *READS))
    page.goto(address(whole) + "/cancel")
    follow(page, page.get_by_role("button", name="Cancel the job"))

    shown(page, "may not")
    page.goto(address(whole))
    assert "Cancelled" not in page.locator("h1").inner_text()


def test_a_namespace_that_may_not_be_read_does_not_exist(whole, visit):
    page = visit(whole.person("stranger"))

    assert page.goto(address(whole)).status in (403, 404)
    assert page.goto("/jobs").status == 200
    assert "seen" not in page.locator("main").inner_text()


def test_an_open_page_goes_when_its_right_is_taken_away(whole, visit):
    page = visit(whole.person("dismissed", *READS))
    page.goto(address(whole))
    whole.delete("RoleBinding", "dismissed")

    expect(page.locator("h1")).not_to_contain_text("seen", timeout=2 * MILLISECONDS)


def test_a_token_that_is_no_longer_valid_leads_to_signing_in(whole, visit):
    page = visit(whole.person("gone", *READS))
    page.goto(address(whole))
    whole.delete("ServiceAccount", "gone")

    page.wait_for_url("**/sign-in?*", timeout=2 * MILLISECONDS)


def test_signing_out_in_one_tab_ends_what_the_other_may(whole, visit):
    page = visit()
    other = page.context.new_page()
    other.goto(address(whole) + "/cancel")
    follow(page, page.get_by_role("button", name="Sign out"))
    shown(page, "You have signed out")
    follow(other, other.get_by_role("button", name="Cancel the job"))

    shown(other, "Sign in")
    job = whole.call(whole.cluster.client.get, KINDS["AgentJob"], whole.namespace, "seen")
    assert job["spec"].get("cancel", False) is False


def test_a_form_with_a_forged_token_is_refused(whole, visit):
    page = visit()
    page.goto(address(whole) + "/cancel")
    page.locator("main input[name=csrf]").evaluate("element => { element.value = 'forged' }")
    with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
        page.get_by_role("button", name="Cancel the job").click()

    shown(page, "another session")
    assert posted.value.status == 403


def test_while_postgresql_is_away_the_page_of_a_job_is_made_of_its_object(whole, visit):
    page = visit()
    page.goto(address(whole))
    os.kill(whole.cluster.postgres.pid, signal.SIGKILL)
    shown(page, "History cannot be read now")
    expect(page.locator("h1")).to_contain_text("seen")

    whole.call(whole.cluster.restart_postgres)
    expect(page.locator("body")).not_to_contain_text("History cannot be read now")


def test_while_the_api_server_is_away_the_page_of_a_job_is_made_of_history(whole, visit, backend):
    if backend != "embedded":
        pytest.skip("a cluster of others is not stopped for a test")
    page = visit()
    page.goto(address(whole))
    whole.call(whole.cluster.server.stop)
    page.goto(address(whole))
    shown(page, "The cluster cannot be read now")

    whole.call(whole.cluster.server.start)
    expect(page.locator("body")).not_to_contain_text("cannot be read now")
