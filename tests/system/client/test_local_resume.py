"""`run --local` is killed, and the same command with --resume continues at the next step."""

import json
import socket
import struct
import subprocess
import sys
import threading

import psutil
import pytest

from agentjobs.cli.local_gateway import Server

TOOLS = """
import os
def look(place: str) -> str:
    with open("looked", "a") as file:
        print(place, file=file)
    return f"seen by start {os.environ['AGENTJOBS_START']}"
"""
CALL = "toolCalls: [{name: look, args: {place: PLACE}}]"
JOB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: tour}
data:
  script: |
    starts:
      - - toolCalls: [{name: look, args: {place: here}}]
        - SECOND
      - - toolCalls: [{name: look, args: {place: there}}]
        - exit: SIGKILL
      - - text: Seen all.
---
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: tour}
spec:
  agent: {model: scripted/tour/script, inline: {instruction: Be brief., tools: [{name: "tour_tools:look"}]}}
  input: {message: Go.}
"""
RESET = struct.pack("ii", 1, 0)
PROGRAM = "from agentjobs.cli import main; main()"


@pytest.fixture
def tour(tmp_path):
    """Runs the job in a folder of its own; `second` is what the model does after its first tool."""
    (tmp_path / "tour_tools.py").write_text(TOOLS)

    def begin(*more, second="exit: SIGKILL", spec=""):
        (tmp_path / "job.yaml").write_text(JOB.replace("SECOND", second) + spec)
        arguments = ["run", "-f", "job.yaml", "--local", *more]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(*more, **changed):
        child = begin(*more, **changed)
        out, err = child.communicate(timeout=120)
        return child.returncode, out, err

    run.begin = begin
    run.folder = tmp_path
    return run


ARTIFACTS = """
from google.adk.tools.tool_context import ToolContext
from google.genai import types
async def look(place: str, tool_context: ToolContext) -> str:
    if place == "here":
        await tool_context.save_artifact("note", types.Part.from_bytes(data=b"seen", mime_type="text/plain"))
    print("NOTE", place, (await tool_context.load_artifact("note")).inline_data.data, flush=True)
    return "noted"
"""


def looked(tour):
    return (tour.folder / "looked").read_text().split()


def test_each_step_runs_once_even_if_a_local_run_is_killed_repeatedly(tour):
    ends = [tour(*more) for more in ([], ["--resume"], ["--resume"])]

    assert [(code, out) for code, out, _ in ends] == [(70, ""), (70, ""), (0, "Seen all.\n")]
    assert looked(tour) == ["here", "there"]
    assert "2 steps recorded" in ends[0][2]


def test_an_ended_run_prints_its_answer_again_and_runs_nothing(tour):
    for more in ([], ["--resume"], ["--resume"]):
        tour(*more)

    code, out, err = tour("--resume", "--json")

    assert (code, json.loads(out)["result"]["text"], "attempt.started" in err) == (0, "Seen all.", False)


def test_without_resume_a_new_run_begins_and_the_previous_one_can_still_be_continued(tour):
    tour()
    _, _, err = tour()
    kept = ".agentjobs/tour.previous.sqlite"
    code, _, _ = tour("--resume", "--journal", kept)

    assert kept in err
    assert (code, looked(tour)) == (70, ["here", "here", "there"])


def test_a_later_start_has_the_artifacts_of_the_previous_one(tour):
    (tour.folder / "tour_tools.py").write_text(ARTIFACTS)

    _, second = tour(), tour("--resume")

    assert "NOTE there b'seen'" in second[2]


def test_a_job_without_recorded_steps_cannot_be_resumed(tour):
    first, second = (tour(*more, spec="  steps: {checkpoint: None}\n") for more in ([], ["--resume"]))

    assert (first[0], "recorded" in first[2]) == (70, False)
    assert (second[0], "steps.checkpoint" in second[2]) == (2, True)


def test_a_connection_broken_by_the_runners_exit_is_not_printed_as_an_error(capfd):
    with Server({}, None, "token") as server:
        with socket.create_connection(server.server_address) as runner:
            runner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            server.handle_request()
        for thread in threading.enumerate():
            if "process_request" in thread.name:
                thread.join(10)

    assert capfd.readouterr().err == ""


def test_a_killed_command_line_leaves_no_processes_and_can_be_resumed(tour):
    child = tour.begin(second="{text: Late., delay: 5m}")
    for line in child.stderr:
        if "step.tool" in line:
            break
    runners = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    child.communicate(timeout=60)
    gone, alive = psutil.wait_procs(runners, timeout=30)

    assert (len(gone) > 0, alive) == (True, [])
    assert tour("--resume")[0] == 2  # the script differs now
    assert looked(tour) == ["here"]
