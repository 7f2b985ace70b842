"""Children end with their parent, however it ends."""

import asyncio
import signal
import subprocess
import sys

import psutil
import pytest

from devcluster.process import spawn

PARENT = """
import asyncio, os, sys
from devcluster.process import spawn
async def main():
    child = spawn(["sh", "-c", "sleep 60 & echo $!; sleep 60"], output=None)
    os.write(1, f"{os.getpid()} {child.pid}\\n".encode())  # whole, because the child writes as well
    await asyncio.sleep(60)
asyncio.run(main())
"""


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def eventually(check):
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("did not happen in 10 s")


async def test_children_and_grandchildren_of_a_killed_parent_are_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        words = (parent.stdout.readline() + parent.stdout.readline()).split()
        family = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()

    assert {int(word) for word in words} <= {parent.pid, *(process.pid for process in family)}
    for process in family:
        await eventually(lambda pid=process.pid: not alive(pid))


@pytest.mark.parametrize(
    ("command", "code"), [(["true"], 0), (["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], -9)]
)
async def test_the_exit_code_of_a_child_is_reported(command, code):
    assert await spawn(command).wait() == code


async def test_processes_left_in_the_group_of_a_child_are_killed():
    child = spawn(["sh", "-c", "sleep 60 & echo $!"], output=subprocess.PIPE)
    left = int(await asyncio.to_thread(child.stdout.readline))
    await child.wait()
    child.stdout.close()

    await eventually(lambda: not alive(left))


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace_period():
    child = spawn(["sh", "-c", "trap '' TERM; echo armed; while :; do sleep 0.05; done"], output=subprocess.PIPE)
    await asyncio.to_thread(child.stdout.readline)

    assert await child.stop(0.2) == -signal.SIGKILL
    child.stdout.close()


async def test_a_missing_command_is_an_error():
    with pytest.raises(FileNotFoundError):
        spawn(["/no/such"])


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    daemon = os.fork()
    if daemon == 0:
        time.sleep(60)
    else:
        print(daemon, flush=True)
    os._exit(0)
os.wait()
"""
KEEPER = f"""
import asyncio
from devcluster.process import spawn
async def main():
    spawn(["sh", "-c", '"$0" -c "$1"; sleep 60', {sys.executable!r}, {DAEMON!r}], output=None, contained=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for marks in /proc")
async def test_a_daemon_ends_with_its_container():
    child = spawn([sys.executable, "-c", DAEMON], output=subprocess.PIPE, contained=True)
    daemon = int(await asyncio.to_thread(child.stdout.readline))
    await child.wait()
    child.stdout.close()

    await eventually(lambda: not alive(daemon))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for marks in /proc")
async def test_a_daemon_of_a_container_does_not_outlive_the_cluster():
    with subprocess.Popen([sys.executable, "-c", KEEPER], stdout=subprocess.PIPE, text=True) as keeper:
        daemon = int(keeper.stdout.readline())
        keeper.kill()

    await eventually(lambda: not alive(daemon))
