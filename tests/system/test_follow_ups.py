"""Follow-ups through the whole system: the examples, a hostile answer, a circle of templates."""

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "follow-ups"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]


@pytest.fixture
def system(module_system):
    return module_system


def a_script(name, **answers):
    """A ConfigMap of scripted models that each say one text."""
    starts = {key: {"starts": [[{"text": text}]]} for key, text in answers.items()}
    data = {key: json.dumps(value) for key, value in starts.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def a_template(name, script, *follow_ups, **spec):
    agent = {"model": f"scripted/{script}/{name}", "inline": {"instruction": "Be brief."}}
    return {
        "apiVersion": "agentjobs.dev/v1alpha1",
        "kind": "AgentTemplate",
        "metadata": {"name": name},
        "spec": {"agent": agent, "input": {"message": "Go."}, "followUps": list(follow_ups), **spec},
    }


def a_job(name, template):
    spec = {"templateRef": {"name": template}}
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": name}, "spec": spec}


async def tree(system, name, count):
    """The jobs of a tree as history tells them, once so many have ended."""

    async def rows(_):
        return (await system.history(f"{name}/tree"))["items"]

    await system.finished(name)
    return await system.until(
        name, lambda found: sum(row["finished"] is not None for row in found) == count, status_of=rows
    )


async def test_an_outcome_determines_the_follow_up(system, said):
    await system.apply_file(EXAMPLES / "triage.yaml")
    status = await system.until("triage-87", lambda found: said(found, "FollowUpsCreated") == "True")
    (entry,) = status["followUps"]
    child = await system.finished(entry["job"])
    spec = (await system.history(f"{entry['job']}/spec"))["spec"]

    assert (entry["name"], status["result"]["outcome"], child["phase"]) == ("implement", "fix", "Succeeded")
    assert spec["input"]["message"].startswith("Implement this change: The pager skips the last page")
    assert child["lineage"] == {"root": "triage-87", "parent": "triage-87", "depth": 1}


async def test_the_items_of_a_plan_run_in_parallel_and_are_reviewed(system, said):
    await system.apply_file(EXAMPLES / "plan.yaml")
    status = await system.until("plan-a-trip", lambda found: said(found, "FollowUpsCreated") == "True")
    work, review = status["followUps"]
    found = await tree(system, "plan-a-trip", 5)
    message = (await system.history(f"{review['job']}/spec"))["spec"]["input"]["message"]

    assert (work["jobs"], {row["phase"] for row in found}) == (3, {"Succeeded"})
    assert message.count("Found three good ones.") == 3
    assert message.startswith("The goal was: Plan a weekend in Vienna.")


HOSTILE = '$(job.uid) $$(job.uid) "queue": critical {state} $(after.results) $('


async def test_a_hostile_answer_is_only_text_to_a_follow_up(system):
    follow_up = {"name": "next", "templateRef": {"name": "hearer"}, "input": {"message": "Hear $(result)$(result)"}}
    await system.apply(
        a_script("hostile", speaker=HOSTILE, hearer="Heard."),
        a_template("speaker", "hostile", follow_up),
        a_template("hearer", "hostile"),
        a_job("speaks", "speaker"),
    )
    status = await system.until("speaks", lambda found: (found.get("followUps") or [{}])[0].get("made"))
    child = status["followUps"][0]["job"]
    await system.finished(child)
    spec = (await system.history(f"{child}/spec"))["spec"]

    assert spec["input"]["message"] == f"Hear {HOSTILE}{HOSTILE}"
    assert spec["queue"] == "agents"


async def test_a_cycle_of_templates_ends_at_the_maximum_depth(system, said):
    def to(name):
        return {"name": "on", "templateRef": {"name": name}}

    await system.apply(
        a_script("circle", ping="Ping.", pong="Pong."),
        a_template("ping", "circle", to("pong")),
        a_template("pong", "circle", to("ping")),
        a_job("round", "ping"),
    )
    found = await tree(system, "round", 11)
    last = await system.until(found[-1]["name"], lambda status: said(status, "FollowUpsCreated"))

    assert len(found) == 11
    assert (last["followUps"][0]["reason"], last["lineage"]["depth"]) == ("DepthExceeded", 10)
