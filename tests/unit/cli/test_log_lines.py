"""Which reader gets which form of a pod's line."""

import io

import pytest

from agentjobs.cli.log_lines import shown

LINE = '{"time": "2026-11-21T20:11:25.342+00:00", "level": "info", "event": "step.tool", "author": "a", "tool": "find"}'
LAST = LINE.replace("step.tool", "step.ended")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("text", "stream", "raw", "told"),
    [
        pytest.param(LINE, Terminal(), False, "20:11:25 a  tool find returned", id="person"),
        pytest.param(LINE, Terminal(), True, LINE, id="json-at-a-terminal"),
        pytest.param(LINE, io.StringIO(), False, LINE, id="pipe"),
        pytest.param(LAST, Terminal(), False, None, id="said-again"),
        pytest.param(LAST, io.StringIO(), False, LAST, id="said-again-in-a-pipe"),
        pytest.param("found 3", Terminal(), False, "found 3", id="print"),
        pytest.param("\x1b[2Jfound", Terminal(), False, "\ufffd[2Jfound", id="hostile-print"),
    ],
)
def test_a_terminal_gets_sentences_and_a_pipe_the_original_lines(monkeypatch, text, stream, raw, told):
    monkeypatch.setenv("NO_COLOR", "1")

    assert shown(text, stream, raw=raw) == told
