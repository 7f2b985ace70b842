"""A program with a fault, and the situation that finds it."""

import sys
import threading
from pathlib import Path

import pytest

from agentjobs.cli.conformance.player import play
from agentjobs.cli.conformance.program import Command
from agentjobs.cli.conformance.situations import SITUATIONS, Work
from agentjobs.cli.conformance.verb import _attempt
from agentjobs.cli.job_builder import Work as File
from agentjobs.cli.local import accepted

PROGRAM = Path(__file__).parent / "program.py"


@pytest.fixture
def judged():
    """Play a situation with the program of a fault; return what is said of it."""

    def judge(name, fault="", *, works=None, spec=None, limit=20.0):
        situation = next(one for one in SITUATIONS if one.name == name)
        words = [sys.executable, str(PROGRAM), fault, *([str(works)] if works is not None else [])]
        attempt = accepted(File(a_job(**spec))) if spec else _attempt(None)
        work = Work(attempt, attempt if works is not None else None, limit=limit)
        return situation.judged(play(situation.scene(work), Command(tuple(words)), threading.Event()))

    return judge


def a_job(**more):
    spec = {"agent": {"container": {}}, "runtime": {"image": "x"}, "input": {"message": "Hi."}, **more}
    return {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "metadata": {"name": "hello"}, "spec": spec}
