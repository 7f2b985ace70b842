"""Real jobs that attack with all that is text, on every page of a whole cluster: no script runs, nothing loads."""

import pytest
from playwright.sync_api import expect
from tests.browserpages import MILLISECONDS
from tests.dashboardcluster import whole_cluster
from tests.system.dashboard.hostile_agent import ATTACK

pytestmark = pytest.mark.xdist_group("hostile-dashboard")
FOREIGN = "main script, main iframe, main svg svg, main a[href^='javascript'], main img:not([src^='/static/'])"
REF = "tests.system.dashboard.hostile_agent"
ONE_LINE = ATTACK.replace("\x1b", "")
TABS = ["overview", "transcript", "steps&step=1", "logs", "result", "models", "events", "related", "yaml"]
PAGES = [
    "/?",
    "/jobs?",
    "/queues?",
    "/queues/{namespace}/hostile?",
    "/schedules?",
    "/schedules/{namespace}/hostile?",
    "/templates?",
    "/templates/{namespace}/hostile?",
    "/models?",
    "/installation?",
    "/actions?",
    *[f"/jobs/{{namespace}}/{job}?show={tab}" for job in ("attacks", "fails") for tab in TABS],
]


def objects():
    """A template, a schedule, and two jobs; what in them is free text attacks."""
    spec = {
        "agent": {"model": "scripted/attacks/script", "module": {"ref": f"{REF}:succeeding"}},
        "input": {"message": ATTACK.replace("\x1b", "")},
        "partitionKey": ONE_LINE[:200],
        "session": {"appName": "shop", "userId": ONE_LINE[:100]},
        "queue": "hostile",
        "retry": {"maxAttempts": 1},
    }
    parameters = [{"name": "text", "description": ONE_LINE[:400], "default": ONE_LINE, "enum": [ONE_LINE, "</option>"]}]
    failing = spec | {"agent": spec["agent"] | {"module": {"ref": f"{REF}:failing"}}}
    template = spec | {"description": ONE_LINE[:200], "parameters": parameters}
    every = {"schedule": "@yearly", "jobTemplate": {"spec": spec}}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "attacks"}, "data": {"script": "starts: [[]]"}}
    for kind, name, body in [
        ("AgentQueue", "hostile", {"concurrency": {"max": 2}}),
        ("AgentTemplate", "hostile", template),
        ("AgentSchedule", "hostile", every),
        ("AgentJob", "attacks", spec),
        ("AgentJob", "fails", failing),
    ]:
        metadata = {"name": name, "labels": {"team": "x"}, "annotations": {"example.com/note": ATTACK}}
        yield {"apiVersion": "agentjobs.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": body}


@pytest.fixture(scope="module")
def whole(browser, backend, forks, tmp_path_factory):
    with whole_cluster(tmp_path_factory.mktemp("cluster"), backend, forks) as running:
        running.make(*objects())
        yield running


@pytest.fixture(scope="module")
def signed_in(browser, whole):
    """A browser that is signed in, after both jobs have ended."""
    context = browser.new_context(base_url=whole.cluster.dashboard_url)
    context.set_default_timeout(MILLISECONDS)
    page = context.new_page()
    page.goto(whole.cluster.sign_in_link())
    page.get_by_role("heading", name="Overview").wait_for()
    for job, phase in (("attacks", "Succeeded"), ("fails", "Failed")):
        page.goto(f"/jobs/{whole.namespace}/{job}")
        expect(page.locator("h1 .phase")).to_have_text(phase)
    page.close()
    yield context
    context.close()


@pytest.mark.parametrize("address", PAGES)
def test_nothing_runs_and_nothing_is_loaded_from_elsewhere(signed_in, whole, address):
    page = signed_in.new_page()
    complaints, hosts = [], set()
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(address.format(namespace=whole.namespace), wait_until="load")
    for details in page.locator("main details").all():
        details.evaluate("element => { element.open = true }")

    assert page.evaluate("window.__hacked") is None
    assert (complaints, hosts) == ([], {whole.cluster.dashboard_url.split("/")[2]})
    expect(page.locator(FOREIGN)).to_have_count(0)
    text = page.locator("main").inner_text()
    assert [sign for sign in ("\u202e", "\x1b", "1337") if sign in text] == []
    page.close()


def test_the_hostile_words_are_there_to_be_read(signed_in, whole):
    page = signed_in.new_page()
    page.goto(f"/jobs/{whole.namespace}/fails")

    expect(page.locator("#main")).to_contain_text("<script>window.__hacked = 1</script>")
    page.close()


def test_an_artifact_is_a_file_to_save_and_no_page(signed_in, whole):
    page = signed_in.new_page()
    page.goto(f"/jobs/{whole.namespace}/attacks?show=result")
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save artifact <img src=x").click()

    assert saving.value.path().read_text() == ATTACK
    page.close()
