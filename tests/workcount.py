"""How much work something is, in lines of Python that run: the same on every machine, however busy it is."""

import sys
from collections.abc import Callable


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines run in this thread while `work` does."""
    count = 0

    def trace(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
