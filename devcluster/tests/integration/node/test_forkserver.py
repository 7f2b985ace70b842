"""A forked program behaves like an executed one, and is ended, reaped and reported like any other."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from devcluster.forkserver import SUPPORTED, ForkServer, ForkServers
from devcluster.process import spawn

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not SUPPORTED, reason="a fork without exec is for Linux"),
]

ABOUT = """
import gc, json, os, signal, sys, threading
if sys.argv[1:] == ["about"]:
    print(json.dumps({
        "argv": sys.argv, "original": sys.orig_argv[1:], "name": __name__, "package": __package__, "cwd": os.getcwd(),
        "path": [entry for entry in sys.path if entry], "environ": dict(os.environ) | {"LC_CTYPE": ""},
        "descriptors": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
        "bytecode": sys.dont_write_bytecode,
        "leads": [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)], "input": os.readlink("/proc/self/fd/0"),
        "masked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "handled": [repr(signal.getsignal(number)) for number in (2, 13, 15, 17)],
        "collects": gc.isenabled(), "streams": [[one.encoding, one.errors, one.line_buffering, one.write_through]
        for one in (sys.stdout, sys.stderr)], "ours": [name for name in sys.modules if name.startswith("devcluster")],
        "main": sys.modules["__main__"].__file__,
    }))
    print("to the end", end="")
    sys.exit(3)
exec(sys.argv[1])
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    server = ForkServer("about", preload=["json", "decimal"], without=["fractions"])
    yield server
    server.close()


@pytest.fixture
def run(server, tmp_path):
    """Start the program with one argument, forked or executed; returns the child."""
    (tmp_path / "about.py").write_text(ABOUT)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    large = {f"LARGE_{number}": "x" * 1000 for number in range(300)}
    env = {"PATH": path, "PYTHONPATH": str(tmp_path), "LANG": "C.UTF-8"} | large

    def build(argument, *, forked=True, folder=tmp_path, options=(), **more):
        command = ["python", *options, "-m", "about", argument]
        forks = server if forked else None
        return spawn(command, env=env | more, folder=folder, output=subprocess.PIPE, contained=True, forks=forks)

    return build


async def ended(child):
    said = await asyncio.to_thread(child.stdout.read)
    child.stdout.close()
    return said.decode(), await child.wait()


def parent_of(child):
    return psutil.Process(child.pid).ppid()


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        pytest.param([], {}, id="plain"),
        pytest.param([], {"PYTHONUNBUFFERED": "1"}, id="unbuffered"),
        pytest.param([], {"PYTHONDONTWRITEBYTECODE": "1"}, id="without-bytecode"),
        pytest.param(["-P"], {}, id="safe-path"),
    ],
)
async def test_a_forked_program_sees_what_an_executed_one_sees(run, options, variables):
    seen = []
    for forked in (True, False):
        said, code = await ended(run("about", forked=forked, options=options, **variables))
        first, rest = said.split("\n")
        about = json.loads(first)
        about["environ"].pop("DEVCLUSTER_CONTAINER")
        seen.append((about, rest, code))

    assert seen[0] == seen[1]
    assert seen[0][1:] == ("to the end", 3)


async def test_modules_are_preloaded_except_the_hidden_ones(run):
    said, code = await ended(run("import sys; print('decimal' in sys.modules, 'fractions' in sys.modules)"))
    imported, _ = await ended(run("import fractions; print(fractions.Fraction(1, 2))"))

    assert (said, code, imported) == ("True False\n", 0, "1/2\n")


async def test_a_program_of_the_server_is_forked_and_any_other_is_executed(run, server):
    forked, executed = run("import time; time.sleep(60)"), run("import time; time.sleep(60)", PYTHONHASHSEED="0")

    assert (parent_of(forked), parent_of(executed)) == (server.pid, os.getpid())
    for child in (forked, executed):
        assert await child.stop(5) == -signal.SIGTERM
        child.stdout.close()


@pytest.mark.parametrize(
    ("program", "code"),
    [
        pytest.param("pass", 0, id="falls-off-its-end"),
        pytest.param("import os; os._exit(70)", 70, id="leaves-at-once"),
        pytest.param("raise SystemExit('no')", 1, id="says-why"),
        pytest.param("import os; os.kill(os.getpid(), 9)", -9, id="is-killed"),
        pytest.param("import ctypes; ctypes.string_at(0)", -11, id="segfaults"),
        pytest.param("raise ValueError", 1, id="raises"),
    ],
)
async def test_the_exit_code_of_a_forked_program_is_reported(run, program, code):
    assert (await ended(run(program)))[1] == code


async def test_a_missing_folder_is_an_error_and_nothing_runs(run, server, tmp_path):
    with pytest.raises(FileNotFoundError):
        run("pass", folder=tmp_path / "nowhere")

    assert psutil.Process(server.pid).children() == []
    assert (await ended(run("print('goes on')")))[0] == "goes on\n"


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
    os._exit(0)
os.wait()
"""


async def test_a_daemon_ends_with_the_forked_program_that_left_it(run):
    said, _ = await ended(run(DAEMON))

    for _ in range(500):
        if not psutil.pid_exists(int(said)) or psutil.Process(int(said)).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the daemon lives")


async def test_each_of_several_servers_forks_the_programs_of_its_module(server, tmp_path):
    (tmp_path / "other.py").write_text("print('other')")
    other = ForkServer("other", preload=["json"])
    servers = ForkServers(server, other)
    env = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(tmp_path)}

    command = ["python", "-P", "-m", "other"]
    child = spawn(command, env=env, folder=tmp_path, output=subprocess.PIPE, forks=servers)
    assert parent_of(child) == other.pid
    assert await ended(child) == ("other\n", 0)
    assert [servers.takes(["python", "-m", name], env) for name in ("about", "other", "third")] == [True, True, False]
    other.close()


async def test_programs_of_a_killed_server_die_with_it_and_new_ones_are_executed(tmp_path, run):
    server = ForkServer("about", preload=["json"])
    path = {"PATH": str(Path(sys.executable).parent), "PYTHONPATH": str(tmp_path)}
    command = ["python", "-m", "about", "import time; time.sleep(60)"]
    child = spawn(command, env=path, folder=tmp_path, output=subprocess.PIPE, contained=True, forks=server)
    os.kill(server.pid, signal.SIGKILL)

    assert await child.wait() == -signal.SIGKILL
    executed = spawn(command, env=path, folder=tmp_path, output=subprocess.PIPE, contained=True, forks=server)
    assert parent_of(executed) == os.getpid()
    executed.send(signal.SIGKILL)
    assert await executed.wait() == -signal.SIGKILL
    executed.stdout.close()
    child.stdout.close()
    server.close()


async def test_a_missing_module_is_reported(capfd):
    with pytest.raises(RuntimeError, match="nowhere has ended"):
        ForkServer("about", preload=["json", "nowhere"])

    assert "No module named 'nowhere'" in capfd.readouterr().err
