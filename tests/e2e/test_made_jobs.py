"""Jobs of templates, follow-ups and triggers on a real cluster, and the notifications of a receiver."""

import json
import secrets
from pathlib import Path

import pytest

from .outside import SINK, TEMPLATE

FOLLOW_UPS = Path(__file__).parents[2] / "examples" / "follow-ups" / "triage.yaml"
QUICK = {"starts": [[{"text": "Done."}]]}
FLAKY = {"starts": [[{"error": {"status": 503, "message": "Later."}}], [{"text": "Now."}]]}
# Another in each session: an installation that stays knows the calls of the one before.
OPENED = {
    "action": "opened",
    "issue": {"number": secrets.randbelow(10**6), "title": "The $(job.uid) is $(params.number)"},
}


def a_template(name, **spec):
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentTemplate", "metadata": {"name": name}, "spec": spec}


def a_job_of(template, name, **spec):
    body = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": name}}
    return body | {"spec": {"templateRef": {"name": template}, **spec}}


def test_the_work_of_a_job_is_merged_from_its_template_and_its_own_spec(apply, jobs, provider, condition):
    review = a_template(
        "review",
        parameters=[{"name": "of", "required": True}, {"name": "depth", "default": "quick"}],
        locked=["isolation"],
        agent={"model": "gemini-2.5-flash", "inline": {"instruction": "This is a $(params.depth) review."}},
        input={"message": "Review $(params.of) of the template."},
    )
    apply(a_job_of("review", "early", parameters={"of": "the shop", "depth": "thorough"}))
    jobs.until("early", lambda status: condition(status, "Accepted", "reason") == "TemplateNotFound", "it waits")
    apply(review, a_job_of("review", "shut-out", parameters={"of": "x"}, isolation={"profile": "Baseline"}))
    ends = [jobs.finished(name) for name in ("early", "shut-out")]
    asked = [one["body"] for one in provider.seen() if "Review the shop of the template." in one["body"]]

    assert ends[0]["phase"] == "Succeeded"
    assert [("This is a thorough review." in body) for body in asked] == [True]
    assert (ends[1]["phase"], condition(ends[1], "Failed", "reason")) == ("Failed", "LockedField")


def test_a_triage_is_followed_by_one_implementation(apply, jobs, kubectl, release, namespace, wait_for):
    apply(FOLLOW_UPS)
    parent = jobs.finished("triage-87")
    labels = "agentjobs.dev/parent=triage-87"
    (child,) = wait_for(lambda: kubectl.list("agentjobs", namespace, labels=labels), "the job that follows")
    end = jobs.finished(child["metadata"]["name"])
    told = release.agentjobs("tree", "triage-87", "-n", namespace)

    assert (parent["phase"], end["phase"]) == ("Succeeded", "Succeeded")
    assert child["metadata"]["labels"]["agentjobs.dev/follow-up"] == "implement"
    assert (end["lineage"]["root"], end["lineage"]["parent"]) == ("triage-87", "triage-87")
    assert child["metadata"]["name"] in told


@pytest.fixture
def triage(apply_to, a_job, outside):
    """The template that signed calls make jobs of, where they do."""
    script, _ = a_job("triage", QUICK)
    spec = {
        "parameters": [{"name": "number", "required": True}, {"name": "title"}],
        "agent": {"model": "scripted/triage/script", "inline": {"instruction": "Be brief."}},
        "input": {"message": "Issue $(params.number): $(params.title)"},
    }
    apply_to(outside.jobs, script, a_template(TEMPLATE, **spec))


def names_in(kubectl, namespace):
    return {job["metadata"]["name"] for job in kubectl.list("agentjobs", namespace)}


def test_a_signed_trigger_creates_one_job_in_the_namespace_that_the_chart_allows(
    release, kubectl, outside, triage, namespace
):
    before = names_in(kubectl, outside.jobs)
    first, again = outside.call(OPENED), outside.call(OPENED)
    closed = outside.call({**OPENED, "action": "closed"})
    refused = outside.call(OPENED, namespace=namespace), outside.call(OPENED, secret="x" * 32)
    name = first[1]["job"]
    done = ("wait", f"agentjob/{name}", "--for=condition=Complete", "--timeout=240s")
    kubectl(*done, namespace=outside.jobs, seconds=250)
    told = json.loads(release.agentjobs("history", name, "-n", outside.jobs, "-o", "json"))

    assert [first[0], again[0], closed[0], *(status for status, _ in refused)] == [201, 200, 200, 401, 401]
    assert again[1]["job"] == name
    assert told["job"]["phase"] == "Succeeded"
    assert names_in(kubectl, outside.jobs) - before == {name}
    assert names_in(kubectl, namespace) == set()


@pytest.mark.parametrize("verb", ["create", "get", "list", "patch", "delete"])
def test_the_gateway_can_create_jobs_only_in_the_triggers_namespace(release, kubectl, outside, namespace, verb):
    account = f"--as=system:serviceaccount:{release.namespace}:{release.name}-gateway"

    def may(place):
        return kubectl.may(verb, "agentjobs", account, namespace=place)

    assert (may(outside.jobs), may(namespace)) == (verb in ("create", "get"), False)


def test_a_trigger_with_a_token_has_the_permissions_of_the_token(kubectl, release, outside, triage, namespace):
    kubectl("create", "serviceaccount", "reporter", namespace=namespace)
    role = f"--clusterrole={release.name}-submitter"
    kubectl("create", "rolebinding", "reporter", role, f"--serviceaccount={namespace}:reporter", namespace=namespace)
    token = kubectl("create", "token", "reporter", namespace=namespace).strip()
    body = {"parameters": {"number": "8"}, "idempotencyKey": "eight"}

    allowed, denied = (outside.call_as(token, body, namespace=place) for place in (namespace, outside.jobs))
    assert (allowed[0], denied[0]) == (201, 403), (allowed, denied)
    assert names_in(kubectl, namespace) == {allowed[1]["job"]}


def test_a_receiver_gets_signed_notifications_in_order(release, apply, a_job, jobs, outside, namespace, wait_for):
    events = ["Started", "Retrying", "Succeeded", "Failed"]
    retry = {"maxAttempts": 2, "backoff": {"initial": "1s", "factor": 1, "jitterPercent": 0}}
    wishes = {"retry": retry, "steps": {"llm": {"maxAttempts": 1}}, "notifications": [{"sink": SINK, "events": events}]}
    apply(*a_job("told", FLAKY, **wishes))
    jobs.finished("told")
    wanted = ["started", "retrying", "started", "succeeded"]
    wait_for(lambda: len(outside.told(f"{namespace}/told")) >= len(wanted), "the receiver is told")
    listed = release.agentjobs("notifications", "list", "--job", "told", "-n", namespace, "-o", "json")

    assert outside.told(f"{namespace}/told") == wanted
    assert outside.key.removeprefix("whsec_") not in listed
