"""Ctrl-C in `run --local`, typed at a real terminal."""

import os
import pty
import signal
import sys
from contextlib import suppress

import psutil
import pytest

JOB = """
apiVersion: v1
kind: ConfigMap
metadata: {name: slow}
data:
  script: |
    starts:
      - - toolCalls: [{name: waits, args: {}}]
        - text: Done.
---
apiVersion: agentjobs.dev/v1alpha1
kind: AgentJob
metadata: {name: slow}
spec:
  agent: {model: scripted/slow/script, inline: {instruction: Be brief., tools: [{name: "slow_tools:waits"}]}}
  input: {message: Go.}
"""
TOOLS = """
import time
def waits() -> str:
    print("TOOL", "RUNS", flush=True)
    {does}
    return "waited"
"""


class Typist:
    """A person at the terminal of a local run."""

    def __init__(self, folder, does):
        (folder / "slow_tools.py").write_text(TOOLS.format(does=does))
        (folder / "job.yaml").write_text(JOB)
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            # As a login shell starts programs. Tests that run in a shell's background inherit that Ctrl-C is ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(folder)
            program = "from agentjobs.cli import main; main()"
            os.execve(
                sys.executable,
                [sys.executable, "-c", program, "run", "-f", "job.yaml", "--local"],
                {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
            )
        self.seen = ""

    def until(self, text):
        while text not in self.seen:
            self.seen += self._read() or pytest.fail(f"the screen never showed {text!r}:\n{self.seen}")

    def types(self, keys):
        os.write(self.screen, keys.encode())

    def end(self):
        while more := self._read():
            self.seen += more
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self):
        try:
            return os.read(self.screen, 4096).decode("utf-8", "replace")
        except OSError:  # the other side of the terminal is closed
            return ""


@pytest.fixture
def typist(tmp_path):
    made = []

    def start(does):
        made.append(Typist(tmp_path, does))
        return made[-1]

    yield start
    for one in made:
        os.close(one.screen)


def test_the_first_ctrl_c_prints_what_it_waits_for_and_the_second_exits_immediately(typist):
    person = typist("time.sleep(600)")
    person.until("TOOL RUNS")
    person.types("\x03")
    person.until("stopping: waiting up to 60 s for tool waits; press Ctrl-C again to stop now")
    person.types("\x03")

    assert person.end() == 130
    assert person.seen.splitlines()[-1].endswith("interrupted")
    assert "RunnerCrashed" not in person.seen


def test_more_ctrl_c_change_nothing(typist):
    person = typist("time.sleep(600)")
    person.until("TOOL RUNS")
    person.types("\x03")
    person.until("stopping")
    with suppress(OSError):  # it has ended
        for _ in range(5):
            person.types("\x03")

    assert person.end() == 130


def test_the_runner_process_ends_at_a_second_ctrl_c(typist):
    """Under load the two may reach the command line as one."""
    person = typist("time.sleep(600)")
    person.until("TOOL RUNS")
    (guard,) = psutil.Process(person.pid).children()
    (runner,) = guard.children()
    runner.send_signal(signal.SIGINT)
    person.until("stopping")
    runner.send_signal(signal.SIGINT)

    person.until("stopped again")
    assert person.end() == 75


def test_after_one_ctrl_c_the_running_tool_can_finish(typist):
    person = typist("input()")
    person.until("TOOL RUNS")
    person.types("\x03")
    person.until("stopping")
    person.types("\n")

    assert person.end() == 130
    assert "Interrupted: stopped between two steps" in person.seen


def test_a_tool_can_be_debugged_in_a_terminal(typist):
    person = typist("secret = 41; breakpoint()")
    person.until("(Pdb) ")
    person.types("p secret + 1\n")
    person.until("42")
    person.types("continue\n")

    assert person.end() == 0
    assert person.seen.splitlines()[-1] == "Done."
