"""Whatever a process started is found and ended. Each test forks a process of its own, which adopts."""

import os
import signal
import subprocess
import sys
import textwrap

from agentjobs_runner import descendants


def within(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own."""
    whole = "import os, signal, subprocess, time\nfrom agentjobs_runner import descendants\n" + textwrap.dedent(code)
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", whole],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": path},
    )


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_daemonized_program_is_killed():
    run = within("""
        descendants.adopt()
        out = subprocess.run(["sh", "-c", "setsid sleep 3317 >/dev/null 2>&1 & echo $!"], capture_output=True, text=1)
        time.sleep(0.1)
        left = descendants.kill_all(seconds=5)
        print(out.stdout.strip(), left)
    """)

    pid, left = map(int, run.stdout.split())
    assert left == 0
    assert not is_alive(pid)


def test_earlier_processes_and_their_children_keep_running():
    run = within("""
        descendants.adopt()
        mine = subprocess.Popen(["sh", "-c", "sleep 3319 & wait"], start_new_session=True)
        while len(descendants._descendants(None, frozenset())) < 2:
            time.sleep(0.01)
        others = descendants.children()
        subprocess.Popen(["sleep", "3319"], start_new_session=True)
        descendants.kill_all(seconds=5, spare_group=os.getpgrp(), spare=others)
        print(len(descendants._descendants(None, frozenset())), mine.poll())
        os.killpg(mine.pid, 9)
    """)

    assert run.stdout.split() == ["2", "None"]


def test_members_of_the_excluded_group_keep_running():
    run = within("""
        descendants.adopt()
        own = subprocess.Popen(["sleep", "3318"])
        other = subprocess.Popen(["sleep", "3318"], start_new_session=True)
        descendants.kill_all(seconds=5, spare_group=os.getpgrp())
        print(own.poll(), other.wait() if other.returncode is None else other.returncode)
        own.kill()
    """)

    assert run.stdout.split()[0] == "None"


def test_ended_adopted_processes_are_reaped_except_excluded_ones():
    run = within("""
        descendants.adopt()
        subprocess.run(["sh", "-c", "sh -c 'sleep 0.1' & :"])
        ours = subprocess.Popen(["sh", "-c", "exit 7"], start_new_session=True)
        while {one.state for one in descendants._processes().values() if one.parent == os.getpid()} != {"Z"}:
            time.sleep(0.01)
        descendants.reap(os.getpgrp() + 1, spare=(ours.pid,))
        left = [pid for pid, one in descendants._processes().items() if one.parent == os.getpid()]
        print(left == [ours.pid], ours.wait())
    """)

    assert run.stdout.split() == ["True", "7"], run.stderr


def test_a_child_dies_with_its_parent():
    run = within("""
        from functools import partial
        child = subprocess.Popen(
            ["sleep", "3319"], start_new_session=True, stdout=subprocess.DEVNULL,
            preexec_fn=partial(descendants.die_with, os.getpid()),
        )
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)

    pid = int(run.stdout)
    assert run.returncode == -signal.SIGKILL
    until_gone(pid)


def until_gone(pid: int) -> None:
    for _ in range(500):
        if not is_alive(pid) or _state(pid) == "Z":
            return
        descendants.time.sleep(0.01)
    raise AssertionError(f"{pid} lives")


def _state(pid: int) -> str:
    found = descendants._processes().get(pid)
    return found.state if found else ""
