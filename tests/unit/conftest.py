"""What all tests here share."""

import asyncio
import sys

import pytest

# looptime asks for the current event loop around every test. On Python 3.11 asking makes one where none was ever set,
# as in a synchronous test that runs first; no one closes it, and its ResourceWarning fails the whole run.
asyncio.set_event_loop(None)


class Work:
    """Counts the lines of Python that run in a block."""

    def __enter__(self):
        self.lines, self._before = 0, sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _trace(self, _frame, event, _argument):
        self.lines += event == "line"
        return self._trace


@pytest.fixture
def counted():
    """Counts work instead of time: the same on every machine."""
    return Work
