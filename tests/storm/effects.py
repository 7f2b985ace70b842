"""The side effect of a storm's agents: one line a call, appended to the file that STORM_EFFECTS names."""

import os

STEPS = 4
"""Of a job that calls the tool once a step."""


def note(step: int) -> str:
    """Write down which start took which step."""
    line = f"{os.environ['AGENTJOBS_JOB']} {os.environ['AGENTJOBS_START']} {step}\n"
    # One write below the size of a page: lines of two processes never mix.
    descriptor = os.open(os.environ["STORM_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    return "noted"
