"""The end of a log, and whether that is all of it."""

import pytest

from agentjobs.kube.log_tail import newest_lines


@pytest.mark.parametrize(
    ("read", "lines", "kept"),
    [
        pytest.param(b"", 1, b"", id="empty"),
        pytest.param(b"a\nb\n", 2, b"a\nb\n", id="all"),
        pytest.param(b"a\nb\n", 1, b"b\n", id="one more"),
        pytest.param(b"a\nb", 1, b"b", id="a line in progress"),
        pytest.param(b"\n\nb\n", 2, b"\nb\n", id="empty lines"),
        pytest.param(b"\nb\n", 5, b"\nb\n", id="fewer lines"),
    ],
)
def test_the_last_lines_are_kept_and_others_are_reported(read, lines, kept):
    log = newest_lines(read, lines, 100)

    assert (log.content, log.is_truncated) == (kept, kept != read)
