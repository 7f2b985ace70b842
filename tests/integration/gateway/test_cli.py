"""The command line against the embedded API server and a real gateway."""

import asyncio
import json
import signal
import sys

import pytest
import yaml

HELLO = """
apiVersion: v1
kind: ConfigMap
metadata: {name: script}
data: {hello: "- text: hi"}
---
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: hello}
spec:
  agent: {model: scripted/script/hello, inline: {instruction: Be brief.}}
  input: {message: Say hello.}
"""


@pytest.fixture
def hello(tmp_path):
    path = tmp_path / "hello.yaml"
    path.write_text(HELLO)
    return path


@pytest.fixture
def jobs(cluster):
    """Path of the jobs."""
    return f"/apis/agentjobs.dev/v1alpha1/namespaces/{cluster.namespace}/agentjobs"


@pytest.fixture
def finish(cluster, jobs):
    """Write the end of a job into its status, as the operator does."""

    async def build(name, kind, message=""):
        now = "2026-11-21T09:00:00Z"
        conditions = [
            {"type": type_, "status": "True", "reason": kind, "message": message, "lastTransitionTime": now}
            for type_ in ("Finished", kind)
        ]
        phase = {"Complete": "Succeeded"}.get(kind, kind)
        answer = await cluster.http.patch(
            f"{jobs}/{name}/status",
            json={"status": {"phase": phase, "conditions": conditions}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, answer.text

    return build


async def test_apply_creates_keeps_or_changes_an_object(cli, cluster, hello, jobs):
    first = await cli("apply", "-f", str(hello))
    second = await cli("apply", "-f", str(hello))
    hello.write_text(HELLO + "  priority: 3\n")
    third = await cli("apply", "-f", str(hello))
    hello.write_text(HELLO)
    await cli("apply", "-f", str(hello))

    job = (await cluster.http.get(f"{jobs}/hello")).json()
    assert first == (0, "configmap/script created\nagentjob.agentjobs.dev/hello created\n", "")
    assert second[1] == "configmap/script unchanged\nagentjob.agentjobs.dev/hello unchanged\n"
    assert third[1] == "configmap/script unchanged\nagentjob.agentjobs.dev/hello configured\n"
    assert "priority" not in job["spec"]


async def test_apply_reports_every_invalid_object_and_continues(cli, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        HELLO.replace("priority", "x").replace("input:", "inptu:")
        + "---\napiVersion: v1\nkind: Unicorn\nmetadata: {name: u}\n"
        + "---\napiVersion: agentjobs.dev/v1alpha1\nkind: AgentJb\nmetadata: {name: j}\n"
        + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: after}\n"
    )

    code, out, err = await cli("apply", "-f", str(path))

    assert code == 1
    assert out == "configmap/script created\nconfigmap/after created\n"
    assert "bad.yaml, document 2, AgentJob 'hello': " in err
    assert "inptu" in err
    assert "does not serve kind 'Unicorn'" in err
    assert "'AgentJb' of 'agentjobs.dev/v1alpha1'; did you mean AgentJob?" in err


async def test_get_prints_the_columns_of_the_kind(cli, cluster, hello):
    empty = await cli("get")
    await cli("apply", "-f", str(hello))
    plain, wide, everywhere = await cli("get"), await cli("get", "hello", "-o", "wide"), await cli("get", "-A")

    assert empty == (0, "", f"No AgentJobs in namespace {cluster.namespace}.\n")
    assert plain[1].split()[:2] == ["NAME", "PHASE"]
    assert plain[1].splitlines()[1].startswith("hello ")
    assert len(wide[1].splitlines()[0].split()) > len(plain[1].splitlines()[0].split())
    # On a cluster that others share, their namespaces stand there as well.
    assert any(line.split()[:2] == [cluster.namespace, "hello"] for line in everywhere[1].splitlines()[1:])


async def test_get_prints_objects_as_yaml_or_json(cli, hello):
    await cli("apply", "-f", str(hello))

    one, all_of_them = await cli("get", "hello", "-o", "yaml"), await cli("get", "-o", "json")
    names = await cli("get", "hello", "-o", "name"), await cli("get", "-o", "name")

    assert "message: Say hello." in one[1]
    assert "managedFields" not in one[1]
    assert [item["kind"] for item in json.loads(all_of_them[1])["items"]] == ["AgentJob"]
    assert [name[1] for name in names] == ["agentjob.agentjobs.dev/hello\n"] * 2


@pytest.mark.parametrize("words", [("apply",), ("create",), ("run",)])
async def test_a_rejected_job_is_reported_with_all_problems_and_their_cures(cli, hello, words):
    hello.write_text(HELLO + "  priorty: 3\n  timeouts: {attempt: 5}\n")

    code, _, err = await cli(*words, "-f", str(hello))

    assert code == 1
    assert all(word in err for word in ("spec.priorty", "did you mean priority?", "spec.timeouts.attempt: 5 "))


async def test_a_rejection_that_our_rules_do_not_explain_has_the_servers_words(cli, hello):
    await cli("apply", "-f", str(hello))
    hello.write_text(HELLO.replace("Be brief.", "Be long."))

    code, _, err = await cli("apply", "-f", str(hello))

    assert (code, "immutable" in err or "cannot" in err) == (1, True)


async def test_jobs_are_cancelled_and_deleted(cli, cluster, hello, jobs):
    await cli("apply", "-f", str(hello))
    cancelled = await cli("cancel", "hello")
    job = (await cluster.http.get(f"{jobs}/hello")).json()
    deleted, again = await cli("delete", "hello"), await cli("delete", "hello")

    assert (cancelled[0], job["spec"]["cancel"]) == (0, True)
    assert deleted[:2] == (0, 'agentjob.agentjobs.dev "hello" deleted\n')
    assert again[0] == 1
    assert "not found" in again[2]
    assert (await cli("delete", "hello", "--ignore-not-found"))[0] == 0


async def test_commands_print_names_or_objects_for_programs(cli, hello):
    await cli("apply", "-f", str(hello))
    suspended, one = await cli("suspend", "hello", "-o", "name"), await cli("resume", "hello", "-o", "json")
    listed = await cli("cancel", "--all", "-o", "json")
    again, gone = await cli("rerun", "hello", "--name", "b", "-o", "name"), await cli("delete", "b", "-o", "name")
    nothing = await cli("delete", "b", "-o", "name", "--ignore-not-found")

    assert suspended[:2] == (0, "agentjob.agentjobs.dev/hello\n")
    assert json.loads(one[1])["spec"]["suspend"] is False
    assert [item["spec"]["cancel"] for item in json.loads(listed[1])] == [True]
    assert again[1] == gone[1] == "agentjob.agentjobs.dev/b\n"
    assert nothing[:2] == (0, "")


@pytest.mark.parametrize(
    ("before", "words"),
    [
        pytest.param([], "is not suspended", id="never-suspended"),
        pytest.param(["suspend"], "resumed", id="suspend-requested"),
        pytest.param(["suspend", "resume"], "is not suspended", id="already-resumed"),
    ],
)
async def test_resume_says_whether_the_job_was_suspended(cli, hello, before, words):
    await cli("apply", "-f", str(hello))
    for verb in before:
        await cli(verb, "hello")

    assert await cli("resume", "hello") == (0, f"agentjob.agentjobs.dev/hello {words}\n", "")


async def test_a_suspended_job_is_resumed(cli, cluster, hello, jobs):
    await cli("apply", "-f", str(hello))
    now = "2026-11-21T09:00:00Z"
    rule = {"type": "Suspended", "status": "True", "reason": "Rule", "message": "", "lastTransitionTime": now}
    await cluster.http.patch(
        f"{jobs}/hello/status",
        json={"status": {"phase": "Suspended", "conditions": [rule]}},
        headers={"Content-Type": "application/merge-patch+json"},
    )

    assert (await cli("resume", "hello"))[1] == "agentjob.agentjobs.dev/hello resumed\n"


async def test_a_job_can_be_rerun_with_changes(cli, hello):
    await cli("apply", "-f", str(hello))
    code, out, _ = await cli("rerun", "hello", "--name", "b", "--message", "ho", "--max-attempts", "1", "-o", "json")
    refused, (_, shown, _) = await cli("rerun", "hello", "-p", "depth=deep"), await cli("show", "b")

    made = json.loads(out)
    labels = made["metadata"]["labels"]
    assert (code, made["spec"]["input"]["message"], made["spec"]["retry"]["maxAttempts"]) == (0, "ho", 1)
    assert labels["agentjobs.dev/rerun-changes"] == "input.message_retry.maxAttempts"
    assert f"hello (uid {labels['agentjobs.dev/rerun-of-uid']}), changed: input.message, retry.maxAttempts" in shown
    assert (refused[0], "spec.parameters.depth" in refused[2]) == (1, True)


async def test_commands_on_an_ended_job_report_that_it_has_ended(cli, hello, finish):
    await cli("apply", "-f", str(hello))
    under_way = await cli("suspend", "hello")
    await finish("hello", "Complete")

    told = [await cli(verb, "hello") for verb in ("cancel", "suspend", "resume")]

    assert under_way == (0, "agentjob.agentjobs.dev/hello suspend requested\n", "")
    assert [(code, out, "has already ended as Succeeded" in err) for code, out, err in told] == [(1, "", True)] * 3


@pytest.mark.parametrize("verb", ["suspend", "resume"])
async def test_a_job_that_is_being_cancelled_is_neither_suspended_nor_resumed(cli, cluster, hello, jobs, verb):
    await cli("apply", "-f", str(hello))
    await cli("cancel", "hello")
    before = (await cluster.http.get(f"{jobs}/hello")).json()

    code, out, err = await cli(verb, "hello")

    assert (code, out) == (1, "")
    assert "being cancelled" in err
    assert (await cluster.http.get(f"{jobs}/hello")).json()["metadata"] == before["metadata"]


async def test_cancelling_a_cancelled_job_succeeds(cli, cluster, hello, finish, jobs):
    await cli("apply", "-f", str(hello))
    await finish("hello", "Cancelled")
    before = (await cluster.http.get(f"{jobs}/hello")).json()["metadata"]

    cancelled = await cli("cancel", "hello")

    assert cancelled[:2] == (0, "agentjob.agentjobs.dev/hello was already cancelled\n")
    assert (await cluster.http.get(f"{jobs}/hello")).json()["metadata"] == before


async def test_commands_accept_several_jobs_labels_and_files(cli, cluster, tmp_path, hello):
    for name in ("a", "b"):
        labelled = tmp_path / f"{name}.yaml"
        labelled.write_text(HELLO.replace("name: hello", f"name: {name}, labels: {{team: docs}}"))
        await cli("apply", "-f", str(labelled))
    await cli("apply", "-f", str(hello))
    got, cancelled = await cli("get", "a", "nope", "b", "-o", "name"), await cli("cancel", "-l", "team=docs")
    deleted, rest = await cli("delete", "agentjob/a", "agentjob.agentjobs.dev/b"), await cli("get", "-o", "name")
    of_a_file, none = await cli("delete", "-f", str(hello)), await cli("delete", "--all")

    assert got[:2] == (1, "agentjob.agentjobs.dev/a\nagentjob.agentjobs.dev/b\n")
    assert f'"nope" not found in namespace {cluster.namespace}; `agentjobs get -A`' in got[2]
    assert cancelled[1].splitlines() == [f"agentjob.agentjobs.dev/{name} cancel requested" for name in "ab"]
    assert (deleted[0], rest[1]) == (0, "agentjob.agentjobs.dev/hello\n")
    assert of_a_file[1] == 'configmap "script" deleted\nagentjob.agentjobs.dev "hello" deleted\n'
    assert none == (0, "", "No AgentJobs found.\n")


@pytest.mark.parametrize("words", ["get", "show", "logs", "logs -f", "wait", "cancel", "rerun", "delete"])
async def test_verbs_name_the_namespace_of_a_missing_job(cli, cluster, words):
    code, _, err = await cli(*words.split(), "nope")

    assert code == 1
    assert f'"nope" not found in namespace {cluster.namespace}; ' in err


async def test_each_create_with_a_generated_name_makes_a_new_job(cli, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text(HELLO.partition("---\n")[2].replace("name: hello", "generateName: hello-", 1))
    first, second, applied = [await cli(*words, "-f", str(file)) for words in (("create",), ("create",), ("apply",))]

    assert (first[0], second[0], first[1] == second[1]) == (0, 0, False)
    assert first[1].startswith("agentjob.agentjobs.dev/hello-")
    assert (applied[0], "use `agentjobs create -f`" in applied[2]) == (2, True)


@pytest.mark.parametrize(
    ("ended", "wanted", "code", "words"),
    [
        pytest.param("Complete", [], 0, "condition met", id="succeeded"),
        pytest.param("Failed", ["--for=condition=Finished"], 0, "condition met", id="any-end"),
        pytest.param(
            "Failed", [], 1, "hello ended as Failed, so it will never reach condition=Complete: no luck", id="failed"
        ),
        pytest.param("Cancelled", [], 1, "ended as Cancelled", id="cancelled"),
    ],
)
async def test_the_exit_code_of_wait_says_how_the_job_ended(cli, hello, finish, ended, wanted, code, words):
    await cli("apply", "-f", str(hello))
    waiting = asyncio.create_task(cli("wait", "hello", "--timeout=30s", *wanted))
    await asyncio.sleep(0.2)
    await finish("hello", ended, "no luck")

    got, out, err = await waiting

    assert got == code
    assert words in out + err


async def test_wait_exits_with_124_when_its_time_is_up(cli, hello):
    await cli("apply", "-f", str(hello))

    code, _, err = await cli("wait", "hello", "--timeout=100ms")

    assert code == 124
    assert "within 100ms" in err


async def test_waiting_for_no_job_is_no_success(cli):
    assert await cli("wait", "-l", "team=misspelled") == (1, "", "No AgentJobs found.\n")


async def test_wait_reports_a_missing_and_a_deleted_job(cli, cluster, hello, jobs):
    absent = await cli("wait", "nobody", "--timeout=5s")
    await cli("apply", "-f", str(hello))
    waiting = asyncio.create_task(cli("wait", "hello", "--timeout=30s"))
    await asyncio.sleep(0.2)
    await cluster.http.delete(f"{jobs}/hello")

    assert absent[0] == 1
    assert (await waiting)[0] == 1


@pytest.mark.alone("its runner's pod has no job, and a cluster's garbage collector deletes it")
async def test_history_and_result_come_from_the_gateway(cli, story, cluster, http):
    await story.begin()
    as_runner = {"Authorization": f"Bearer {await cluster.add_runner('hello', 1, 'u1')}"}
    await http.get("/v1/attempt", headers=as_runner)
    early = await cli("result", "hello")
    result = {"text": "hi\nthere", "structured": None, "usage": {}}
    document = {"verdict": "Succeed", "reason": "Succeeded", "message": "", "delaySeconds": None, "result": result}
    await http.put("/v1/attempt/result", headers=as_runner, json=document)
    await story.end()

    # By its uid: what was asked of its name a moment ago is answered as it was.
    listed, told, raw = await cli("history"), await cli("history", "u1"), await cli("history", "u1", "-o", "json")
    found = await cli("history", "--phase", "Succeeded", "--since", "7d", "-l", "team=docs", "--all", "-o", "name")
    nothing = await cli("history", "--phase", "Failed", "--order", "ended", "--text", "hello")
    wrong = await cli("history", "--since", "yesterday")
    text, whole = await cli("result", "hello"), await cli("result", "hello", "-o", "json")
    several = await cli("result", "hello", "nope", "hello")
    shown = await cli("show", "hello", "nope", "-o", "json")
    # The job has no object, and ended long ago.
    waited = await cli("wait", "hello")

    assert early[0] == 1
    assert "has no result" in early[2]
    assert listed[1].splitlines()[1].split()[:3] == ["hello", "Succeeded", "Succeeded"]
    assert "START" in told[1]
    assert "Running" in told[1]
    assert json.loads(raw[1])["job"]["uid"] == "u1"
    assert (found[:2], nothing[:2], wrong[0]) == ((0, ""), (0, ""), 2)
    assert "No matching jobs in the history" in nothing[2]
    assert "--since" in wrong[2]
    assert (text[1], json.loads(whole[1])) == ("hi\nthere\n", result)
    assert several[:2] == (1, "==> hello <==\nhi\nthere\n\n==> hello <==\nhi\nthere\n")
    assert (shown[0], len(json.loads(shown[1]))) == (1, 1)
    assert waited[:2] == (1, "")
    assert "Succeeded" in waited[2]
    assert "nope" in several[2]
    assert "nope" in shown[2]


def a_step(n, **more):
    frame = {"key": f"k{n}", "kind": "tool", "agent": "writer", "name": f"tool_{n}", "request": {}, "usage": {}}
    return {**frame, "began": f"2026-11-21T09:00:0{n}Z", "ended": f"2026-11-21T09:00:0{n}.5Z", "body": n, **more}


@pytest.mark.alone("its runner's pod has no job, and a cluster's garbage collector deletes it")
async def test_show_names_the_start_of_each_step_and_where_later_starts_continued(cli, story, cluster, http):
    recorded = {1: [a_step(1), a_step(2), a_step(3, ended=None, body=None)], 2: [a_step(4)]}
    for start, steps in recorded.items():
        await story.begin(start=start)
        as_runner = {"Authorization": f"Bearer {await cluster.add_runner('hello', start, 'u1')}"}
        await http.get("/v1/attempt", headers=as_runner)
        body = {"run": 1, "void": [], "steps": steps}
        assert (await http.post("/v1/attempt/steps", headers=as_runner, json=body)).status_code == 200

    page, short = await cli("show", "hello", "--steps"), await cli("show", "hello")
    told, one = (
        await cli("show", "hello", "--steps", "-o", "json"),
        await cli("show", "hello", "--steps", "--start", "2"),
    )
    unknown = await cli("show", "hello", "--steps", "--start", "9")
    gave, raw = await cli("show", "hello", "--step", "2"), await cli("show", "hello", "--step", "2", "-o", "json")
    missing, both = await cli("show", "hello", "--step", "9"), await cli("show", "hello", "--step", "2", "--steps")

    assert [step["state"] for step in json.loads(told[1])["steps"]] == [
        "replayed",
        "replayed",
        "interrupted",
        "recorded",
    ]
    for said in (page[1], short[1]):
        assert "start 2 continued at step 4 (2 replayed)" in said
        assert "tool_3" in said
    assert ("tool_4" in one[1], "tool_1" in one[1]) == (True, False)
    # The object is gone, and was never ended: that is said in the words of the dashboard.
    assert "In short:  " in short[1]
    assert all(word in short[1] for word in ("STEPS", "1-3"))
    assert (unknown[0], "has no start 9" in unknown[2]) == (2, True)
    assert (json.loads(raw[1])["body"], "tool_2" in gave[1], gave[1].splitlines()[-1]) == (2, True, "2")
    assert (missing[0], "no step 9" in missing[2], both[0]) == (1, True, 2)


@pytest.mark.stops_the_server
async def test_a_refused_connection_names_the_address(cli, apiserver, hello):
    url = apiserver.url
    unknown = await cli("history", "--gateway", "http://127.0.0.1:1")
    await apiserver.stop()

    code, _, err = await cli("get")

    assert code == 1
    assert f"cannot connect to {url}" in err
    assert "cannot connect to the gateway at http://127.0.0.1:1" in unknown[2]


async def test_a_missing_gateway_address_is_an_error_that_names_the_option(cli, apiserver):
    code, _, err = await cli("history", "--kubeconfig", str(apiserver.kubeconfig))

    assert code == 2
    assert "--gateway URL" in err


@pytest.mark.stops_the_server
async def test_watch_prints_each_change_and_goes_on_without_a_server_until_ctrl_c(
    cli, cluster, apiserver, hello, jobs, kubeconfig
):
    await cli("apply", "-f", str(hello))
    watching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentjobs.cli", "get", "-w", "--kubeconfig", str(kubeconfig)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Tests that run in a shell's background inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    async with asyncio.timeout(60):
        before = [await watching.stdout.readline() for _ in range(2)]
        await cluster.http.patch(
            f"{jobs}/hello/status",
            json={"status": {"phase": "Running"}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        after = await watching.stdout.readline()
        await apiserver.stop()
        notice = await watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        await watching.communicate()

    assert [line.decode().split()[:2] for line in (before[0], after)] == [["NAME", "PHASE"], ["hello", "Running"]]
    assert "cannot connect" in notice.decode()
    assert watching.returncode == 130


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        pytest.param('echo \'{{"status": {{"token": "{token}"}}}}\'', 0, "items", id="token"),
        pytest.param("echo nonsense", 1, "printed no ExecCredential", id="garbage"),
        pytest.param("exit 3", 1, "exec plugin", id="fails"),
        pytest.param(None, 1, "was not found. Ask the platform team.", id="missing"),
    ],
)
async def test_credentials_of_an_exec_plugin_are_used(cli, apiserver, kubeconfig, script, code, words):
    config = yaml.safe_load(kubeconfig.read_text())
    plugin = kubeconfig.parent / "plugin"
    if script:
        plugin.write_text("#!/bin/sh\n" + script.format(token=apiserver.token) + "\n")
        plugin.chmod(0o755)
    entry = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "installHint": "Ask the platform team.",
    }
    config["users"][0]["user"] = {"exec": entry}
    kubeconfig.write_text(yaml.safe_dump(config))

    got, out, err = await cli("get", "-o", "json")

    assert got == code
    assert words in out + err
