"""Templates for application developers, against a whole cluster: the client, `run --template`, and what validates."""

import asyncio
import json

import pytest

from agentjobs.cli.app import run
from agentjobs.errors import AlreadyExists, Invalid

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shared-cluster")]

TEMPLATE = """
apiVersion: agentjobs.dev/v1alpha1
kind: AgentTemplate
metadata: {name: NAME}
spec:
  description: Says hello.
  parameters:
    - {name: who, required: true, description: Whom to greet.}
    - {name: tone, default: warm, enum: [warm, dry]}
  locked: [isolation]
  agent: {model: scripted/answers/quick, inline: {instruction: Be $(params.tone).}}
  input: {message: Greet $(params.who).}
"""


@pytest.fixture
def cli(capfd, cluster, monkeypatch):
    """Run a command line in a thread and return its exit code, output and errors."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def left(arguments):
        try:
            run(arguments)
        except SystemExit as ended:
            return ended.code or 0

    async def build(*arguments):
        code = await asyncio.to_thread(left, list(arguments))
        out, err = capfd.readouterr()
        return code, out, err

    return build


@pytest.fixture
async def template(cli, name, tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("NAME", name))
    assert (await cli("apply", "-f", str(path)))[0] == 0
    return name


async def test_a_job_is_run_by_the_name_of_its_template_and_its_parameters(jobs, cli, template):
    job = await jobs.run(template, {"who": "Bo"}, name=template)
    ended = await jobs.wait(template, timeout=110)

    assert (ended.succeeded, ended.status.resolved.template) == (True, template)
    assert (await jobs.run(template, {"who": "Bo"}, name=template)).uid == job.uid
    with pytest.raises(AlreadyExists, match="parameters"):
        await jobs.run(template, {"who": "Di"}, name=template)
    code, out, _ = await cli("run", "--template", template, "-p", "who=Bo", "-p", "tone=dry", "--json")
    assert (code, json.loads(out)["result"]["text"]) == (0, "Hello!")
    told = await ended_in_history(jobs, template)
    assert [(one.template, one.phase) for one in told] == [(template, "Succeeded")] * 2
    assert template in (await cli("history", "--template", template))[1]
    assert f"{template}, generation 1" in (await cli("show", template))[1]


async def ended_in_history(jobs, template):
    """The jobs of a template, once all have ended in history, which follows the objects."""
    async with asyncio.timeout(60):
        while True:
            told = [one async for one in jobs.history(template=template)]
            if all(one.finished for one in told):
                return told
            await asyncio.sleep(0.05)


async def test_a_rerun_of_a_job_with_a_template_has_the_accepted_work(jobs, cli, template, tmp_path):
    await jobs.run(template, {"who": "$(params.tone)"}, name=template)
    assert (await jobs.wait(template, timeout=110)).succeeded
    path = tmp_path / "edited.yaml"
    path.write_text(
        TEMPLATE.replace("NAME", template).replace("[isolation]", "[isolation, input, agent, retry, queue]")
    )
    await cli("apply", "-f", str(path))

    again = await jobs.rerun(template)
    assert (await jobs.wait(again.name, timeout=110)).succeeded
    assert again.spec["input"]["message"] == "Greet $$(params.tone)."


async def test_a_rerun_with_another_parameter_is_found_by_its_origin(jobs, cli, template):
    await jobs.run(template, {"who": "Bo", "tone": "dry"}, name=template)
    again = await jobs.rerun(template, parameters={"who": "Di"}, max_attempts=1)
    ended = await jobs.wait(again.name, timeout=110)

    assert (ended.succeeded, ended.status.resolved.template) == (True, template)
    assert again.spec["parameters"] == {"who": "Di", "tone": "dry"}
    code, out, _ = await cli("history", "-l", f"agentjobs.dev/rerun-of={template}", "-o", "name")
    assert (code, again.name in out) == (0, True)
    with pytest.raises(Invalid, match="is not allowed"):
        await jobs.rerun(template, parameters={"tone": "loud"})


async def test_errors_of_a_job_are_reported_before_and_after_submission(cli, template):
    code, _, err = await cli("template", "validate", template, "-p", "tone=loud")
    assert (code, "parameters.who: is required" in err, 'use one of "warm", "dry"' in err) == (1, True, True)

    code, _, err = await cli("run", "--template", template, "--name", template, "-p", "who=a", "-p", "what=b")
    assert (code, f"is not a parameter of template {template}" in err) == (78, True)


async def test_templates_are_listed_and_shown_and_their_jobs_printed(cli, template):
    code, out, _ = await cli("template", "show", template)
    assert (code, "Greet" in out, "Whom to greet." in out, "isolation" in out) == (0, False, True, True)

    code, out, _ = await cli("template", "list", template)
    assert (code, template in out) == (0, True)

    code, out, _ = await cli("template", "validate", template, "-p", "who=Bo")
    assert (code, f'message: "Greet $(params.who)."  # template {template}' in out) == (0, True)
    assert (await cli("template", "validate", "no-such", "-p", "who=Bo"))[0] == 1


async def test_shell_completion_offers_templates_and_parameters(cli, template, monkeypatch):
    for typed, wanted in (
        (f"agentjobs run --template {template[:-1]}", template),
        (f"agentjobs run --template {template} -p wh", "who="),
        (f"agentjobs run --template {template} -p tone", "tone=warm"),
    ):
        words = typed.split()
        monkeypatch.setenv("_AGENTJOBS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        _, out, _ = await cli()
        assert wanted in out


async def test_a_job_waits_for_a_missing_template_and_recovers(jobs, cli, name, tmp_path):
    await jobs.run(name, {"who": "Bo"}, name=name)
    async for job in jobs.watch(name, timeout=60):
        if job.reason == "TemplateNotFound":
            break
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("NAME", name))
    await cli("apply", "-f", str(path))

    assert (await jobs.wait(name, timeout=110)).succeeded
