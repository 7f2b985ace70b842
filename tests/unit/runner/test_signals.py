"""Which process sent the signal that stopped a runner, and its handlers in child processes."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from agentjobs_runner.signals import is_own_stop

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
def test_only_a_signal_to_its_own_process_is_caused_by_the_agent(event, args, own):
    assert is_own_stop(event, args) is own


# A process of its own: handlers and hooks are for good.
LISTENING = """
import os, signal, subprocess, sys, threading, time
from agentjobs_runner.signals import StopSignals, block
heard = []
block()
stops = StopSignals(lambda number, own: heard.append((number, own)))
stops.listen()
stops.watch_own()

def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def until_heard(count):
    while len(heard) < count:
        time.sleep(0.01)

def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that a broken runner leaves behind
        work()
        os._exit(0)
    return pid
"""


def listening(code):
    """Run `code` in a process that listens for orders to stop; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", LISTENING + textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_forked_child_dies_of_sigterm_even_if_sent_immediately():
    told = listening("""
        def work():
            for _ in range(100):
                pid = child(signal.pause)
                os.kill(pid, signal.SIGTERM)
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        in_thread(work)
        print(heard)
    """)

    assert told == ["-15"] * 100 + ["[]"]


def test_a_forked_child_has_pythons_handlers_and_no_signal_blocked():
    told = listening("""
        def look():
            handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
            defaults = signal.SIG_DFL, signal.default_int_handler
            print(handlers == defaults, len(signal.pthread_sigmask(signal.SIG_BLOCK, ())), flush=True)
        def work():
            os.waitpid(child(look), 0)
            print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        in_thread(work)
    """)

    assert told == ["True", "0", "0"]


def test_handlers_that_a_child_sets_are_inherited_by_its_children():
    told = listening("""
        def first():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.waitpid(child(lambda: print(signal.getsignal(signal.SIGTERM) == signal.SIG_IGN, flush=True)), 0)
        in_thread(lambda: os.waitpid(child(first), 0))
    """)

    assert told == ["True"]


def test_a_program_started_with_preexec_has_no_signal_blocked():
    told = listening("""
        look = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
        in_thread(lambda: subprocess.run([sys.executable, "-c", look], preexec_fn=lambda: None))
    """)

    assert told == ["0"]


def test_the_parent_still_gets_signals_after_forks():
    told = listening("""
        in_thread(lambda: os.waitpid(child(lambda: None), 0))
        os.kill(os.getpid(), signal.SIGTERM)
        until_heard(1)
        subprocess.run([sys.executable, "-c", f"import os; os.kill({os.getpid()}, 2)"])
        until_heard(2)
        print(*[f"{int(number)}:{own}" for number, own in heard])
    """)

    assert told == ["15:True", "2:False"]
