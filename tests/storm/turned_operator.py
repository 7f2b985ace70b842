"""The operator with a wall clock that a test can turn: seconds in a file of the folder
STORM_CLOCKS, named after its probes' port, are added to the time.

What stays is what a jump of the clock leaves alone in a real process, too: the monotonic clocks.
"""

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentjobs import logs, operator_process
from agentjobs.settings import operator_settings

FILE = Path(os.environ["STORM_CLOCKS"]) / os.environ["AGENTJOBS_PROBE_ADDRESS"].rpartition(":")[2]


def turned() -> datetime:
    """The time as this operator's machine has it."""
    offset = 0.0
    with contextlib.suppress(OSError, ValueError):
        offset = float(FILE.read_text())
    return datetime.now(UTC) + timedelta(seconds=offset)


if __name__ == "__main__":
    settings = operator_settings()
    logs.configure(settings.log_level, settings.log_format)
    operator_process.run(settings, now=turned)
