"""Whose signal it was that told a runner to stop."""

import os
import signal

import pytest

from agentjobs_runner.attempt import is_own_stop

OWN, OTHER = os.getpid(), os.getpid() + 1


@pytest.mark.parametrize(
    ("event", "args", "own"),
    [
        pytest.param("os.kill", (OWN, signal.SIGTERM), True, id="itself"),
        pytest.param("os.kill", (OWN, 2), True, id="itself-as-ctrl-c"),
        pytest.param("os.kill", (0, signal.SIGTERM), True, id="its-group"),
        pytest.param("os.kill", (-os.getpgrp(), signal.SIGTERM), True, id="its-group-by-number"),
        pytest.param("os.killpg", (os.getpgrp(), signal.SIGTERM), True, id="killpg"),
        pytest.param("signal.pthread_kill", (1, signal.SIGTERM), True, id="a-thread"),
        pytest.param("os.kill", (OWN, 0), False, id="only-looks-whether-it-lives"),
        pytest.param("os.kill", (OTHER, signal.SIGTERM), False, id="a-child"),
        pytest.param("os.killpg", (OTHER, signal.SIGTERM), False, id="a-childs-group"),
        pytest.param("open", ("file", "r", 0), False, id="something-else"),
    ],
)
def test_only_a_signal_to_the_own_process_is_the_agents_doing(event, args, own):
    assert is_own_stop(event, args) is own
